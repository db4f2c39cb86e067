//go:build unix

package atomicfile

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// A file that root replaces stays that of the service that owns it. A process that is
// not root keeps the group, if it is one of its own.
func TestReplaceKeepsOwnerAndGroup(t *testing.T) {
	owner, group := os.Getuid(), os.Getgid()
	if owner == 0 {
		owner, group = 4711, 4712
	} else if groups, err := os.Getgroups(); err == nil && len(groups) > 0 {
		group = slices.Max(groups)
	}
	check := func(path string) {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if s := info.Sys().(*syscall.Stat_t); int(s.Uid) != owner || int(s.Gid) != group {
			t.Errorf("%s belongs to %d:%d, want %d:%d", filepath.Base(path), s.Uid, s.Gid, owner, group)
		}
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, owner, group); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(path)

	// A new file gets the owner and group of its folder.
	folder := t.TempDir()
	if err := os.Chown(folder, owner, group); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(folder, "new")
	if err := Replace(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(path)
}
