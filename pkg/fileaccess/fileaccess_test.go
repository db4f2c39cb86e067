package fileaccess

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		facts
		want string // in the error; "" for none
	}{
		"ours alone":                             {facts{mode: 0o600, owned: true}, ""},
		"ours, read-only":                        {facts{mode: 0o400, owned: true}, ""},
		"fsGroup":                                {facts{mode: 0o660, ourGroup: true}, ""},
		"fsGroup and ours":                       {facts{mode: 0o660, owned: true, ourGroup: true}, ""},
		"a Secret with fsGroup":                  {facts{mode: 0o440, ourGroup: true, readOnly: true}, ""},
		"a Secret without fsGroup":               {facts{mode: 0o444, readOnly: true}, ""},
		"a Secret with the default mode":         {facts{mode: 0o644, readOnly: true}, ""},
		"a Secret of root in a pod of root":      {facts{mode: 0o444, owned: true, ourGroup: true, readOnly: true}, "mount it with mode 0400"},
		"a read-only mount, written to by all":   {facts{mode: 0o666, readOnly: true}, "mount it with mode 0400"},
		"a read-only mount, written to by group": {facts{mode: 0o464, readOnly: true}, "mount it with mode 0400"},
		"another owner, readable to all":         {facts{mode: 0o444}, "chmod 600"},
		"another group may read":                 {facts{mode: 0o640, owned: true}, "a group that is not one of ours: chmod 600"},
		"another group may write":                {facts{mode: 0o620, owned: true}, "a group that is not one of ours: chmod 600"},
		"others may read":                        {facts{mode: 0o604, owned: true, ourGroup: true}, "0604 lets other users"},
		"others may write":                       {facts{mode: 0o602, owned: true, ourGroup: true}, "0602 lets other users"},
		"others may execute":                     {facts{mode: 0o601, owned: true, ourGroup: true}, "0601 lets other users"},
	} {
		err := tt.check()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func TestCheckOfARealFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // nothing is refused there
	}
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, -1, os.Getegid()); err != nil { // BSDs take the group of the folder
		t.Fatal(err)
	}
	for mode, ok := range map[fs.FileMode]bool{0o600: true, 0o660: true, 0o440: true, 0o604: false, 0o444: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(path, info); (err == nil) != ok {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}

func TestCheckLink(t *testing.T) {
	dir := t.TempDir()
	file, good, broken, chain := filepath.Join(dir, "file"), filepath.Join(dir, "good"), filepath.Join(dir, "broken"), filepath.Join(dir, "chain")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{good: file, broken: "nowhere", chain: broken} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		file:                                  "",
		good:                                  "",
		filepath.Join(dir, "none"):            "",
		filepath.Join(dir, "none", "file"):    "",
		filepath.Join(file, "below a file"):   "",
		broken:                                broken + " is a symbolic link to nowhere, which does not exist",
		chain:                                 chain + " is a symbolic link to " + broken,
		filepath.Join(broken, "file"):         broken + " is a symbolic link to nowhere",
		filepath.Join(broken, "none", "file"): broken + " is a symbolic link to nowhere",
	} {
		err := CheckLink(path)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}
