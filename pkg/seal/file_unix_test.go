//go:build unix

package seal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpenChecksModes(t *testing.T) {
	text := string(format(newSecret()))
	for mode, ok := range map[fs.FileMode]bool{
		0o600: true, 0o400: true, 0o640: true, 0o440: true, 0o660: true, 0o604: false, 0o644: false, 0o602: false, 0o777: false,
	} {
		_, err := load(writeFile(t, text, mode))
		if (err == nil) != ok {
			t.Errorf("mode %04o: %v", mode, err)
		}
		if err != nil && !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %04o: %v lacks the hint", mode, err)
		}
	}
	// The group of the file is ours, and a folder is no key file.
	if _, err := load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
}

// A link without a target is not a file that is missing: Create must not try to make it.
func TestALinkThatLeadsNowhere(t *testing.T) {
	dir := t.TempDir()
	link, folder := filepath.Join(dir, "seal.key"), filepath.Join(dir, "folder")
	for name, target := range map[string]string{link: "secrets/seal.key", folder: "volume"} {
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		link:                              "seal.key is a symbolic link to secrets/seal.key, which does not exist",
		filepath.Join(folder, "seal.key"): "folder is a symbolic link to volume, which does not exist",
	} {
		for name, open := range map[string]func(string) (*Sealer, error){"Open": load, "Create": create} {
			if _, err := open(path); err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s(%s) = %v, want %q", name, path, err, want)
			}
		}
	}
}
