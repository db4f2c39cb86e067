//go:build unix

package seal

import (
	"io/fs"
	"strings"
	"testing"
)

func TestLoadChecksModes(t *testing.T) {
	text := string(format(newSecret()))
	for mode, ok := range map[fs.FileMode]bool{
		0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o660: false, 0o602: false, 0o610: false, 0o777: false,
	} {
		_, err := Load(writeFile(t, text, mode))
		if (err == nil) != ok {
			t.Errorf("mode %04o: %v", mode, err)
		}
		if err != nil && !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %04o: %v lacks the hint", mode, err)
		}
	}
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
}
