// Package atomicfile writes files that are either complete or absent.
//
// The data is written to a temporary file in the same folder, flushed to the
// disk, and then given its name in one step. A reader, also one after a power loss,
// therefore sees the old content, the new content, or no file, and never a part.
// When a function returns, the content and the name are durable.
//
// The folder must exist. The package takes no lock: if several processes replace
// one file at the same time, the last one wins.
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Replace makes data the content of the file at path, with the permissions perm,
// whether or not the file exists.
func Replace(path string, data []byte, perm fs.FileMode) error {
	temp, err := writeTemp(path, data, perm)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(filepath.Dir(path))
}

// Create makes a new file at path. If there is one already, also if another process
// creates it at the same time, that file stays as it is and the error matches
// [fs.ErrExist].
//
// A file system without hard links cannot do this in one step. There the file is
// written in place, and a reader may see a part of it.
func Create(path string, data []byte, perm fs.FileMode) error {
	return create(path, data, perm, os.Link)
}

// create is Create with a replaceable [os.Link].
func create(path string, data []byte, perm fs.FileMode, link func(oldName, newName string) error) error {
	temp, err := writeTemp(path, data, perm)
	if err != nil {
		return err
	}
	defer os.Remove(temp) //nolint:errcheck // a leftover temporary file is harmless
	err = link(temp, path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		err = createInPlace(path, data, perm)
	}
	return errors.Join(err, syncDir(filepath.Dir(path)))
}

func createInPlace(path string, data []byte, perm fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	if err := writeAndClose(f, data); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// writeTemp writes data to a new file beside path and returns its name.
func writeTemp(path string, data []byte, perm fs.FileMode) (name string, err error) {
	const tempPerm = 0o600 // of os.CreateTemp
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", err
	}
	if perm != tempPerm { // some file systems, such as FAT, refuse every chmod
		err = f.Chmod(perm)
	}
	if err := errors.Join(err, writeAndClose(f, data)); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// writeAndClose returns after the data has reached the disk.
func writeAndClose(f *os.File, data []byte) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes the names in a folder survive a power loss. Windows has no such
// call and does not need one.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
