//go:build unix

package sqlite

import (
	"os"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

func TestCheckFindsModes(t *testing.T) {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		s, path := storeToCheck(t)
		if err := os.Chmod(path+suffix, 0o644); err != nil {
			t.Fatal(err)
		}
		if r := checks(t, s)["sqlite_modes"]; r.Status != keys.CheckFinding {
			t.Errorf("with %q readable to all: %+v", suffix, r)
		}
	}
}
