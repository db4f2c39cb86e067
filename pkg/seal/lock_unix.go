//go:build unix

package seal

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// lock locks the folder of the file, because the file itself is replaced. The lock ends
// with the process, also if that is killed.
func lock(path string) (*os.File, error) {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	return folder, nil
}
