//go:build unix

package sqlite

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "jwksctl")
	path := filepath.Join(dir, "keys.db")
	swap(t, openStore(t, path), keys.Change{Document: []byte("one")})
	for name, want := range map[string]fs.FileMode{
		dir: 0o700, path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600,
	} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %04o, want %04o", filepath.Base(name), info.Mode().Perm(), want)
		}
	}
}

// On a volume whose files belong to a group, the log and its index do too.
func TestModesOfAGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	if err := createFile(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		t.Fatal(err)
	}
	swap(t, openStore(t, path), keys.Change{Document: []byte("one")})
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o660 {
			t.Errorf("%s: %v, %v, want mode 0660", filepath.Base(name), info, err)
		}
	}
}
