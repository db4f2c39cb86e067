package seal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/jwksctl/jwksctl/pkg/atomicfile"
	"github.com/jwksctl/jwksctl/pkg/fileaccess"
)

// readFile returns the content of the key file at path. The error matches
// [fs.ErrNotExist] if there is no such file. It refuses a file that other users may read
// or change; package fileaccess says who they are.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := fileaccess.CheckLink(path); err != nil {
			return nil, errors.New(err.Error()) // without fs.ErrNotExist: nothing can be created there
		}
		return nil, fmt.Errorf("%w: without it the private keys in the store cannot be read; "+
			"restore the file that was created together with the store", fs.ErrNotExist)
	}
	if err != nil {
		return nil, reason(err)
	}
	defer f.Close() //nolint:errcheck // only read
	text, info, err := readRegular(f)
	if err == nil {
		err = fileaccess.Check(path, info)
	}
	if err != nil {
		return nil, err
	}
	atomicfile.RemoveLeftovers(path) // copies of keys that a killed process left
	return text, nil
}

// reason removes the path from err, because the source has it already.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// readRegular reads a regular file of at most textMax bytes. Others, such as a pipe, could
// block or never end.
func readRegular(f *os.File) (text []byte, info fs.FileInfo, err error) {
	info, err = f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = errors.New("not a regular file")
	case info.Size() > textMax:
		err = errTooLong()
	default:
		text, err = io.ReadAll(f)
	}
	return text, info, err
}

// createFile makes a file of mode 0600 with a new key, and its folder of mode 0700, if
// there is no file. If several processes do so at once, one of them makes the file. A
// file that exists stays as it is.
func createFile(path string) error {
	if _, err := readFile(path); !errors.Is(err, fs.ErrNotExist) {
		return nil // the caller reads it and finds what is wrong
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make its folder: %w: %s", err, hint(err))
	}
	err := atomicfile.Create(path, format(newSecret()), 0o600)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s", err, hint(err))
	}
	return nil
}

// hint says what to do about a file that cannot be made.
func hint(err error) string {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return "free space on the disk, or raise the quota, and retry"
	}
	return "choose a folder that you may write to"
}
