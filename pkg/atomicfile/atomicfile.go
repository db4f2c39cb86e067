// Package atomicfile writes files that are either complete or absent.
//
// The data is written to a temporary file in the same folder, flushed to the
// disk, and then given its name in one step. A reader, also one after a power loss,
// therefore sees the old content, the new content, or no file, and never a part.
// When a function returns, the content and the name are durable.
//
// The folder must exist. The package takes no lock: if several processes replace
// one file at the same time, the last one wins.
//
// A process that is killed can leave its temporary file, .NAME.DIGITS.tmp. The next
// write of the same file removes those that are older than a minute.
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// leftoverAge is the age from which a temporary file counts as one of a process that
// was killed. A write takes milliseconds, and seconds on a slow disk.
const leftoverAge = time.Minute

// Replace makes data the content of the file at path, with the permissions perm,
// whether or not the file exists. The file keeps its owner and group if the process
// may set them; a new one gets those of its folder. Therefore, a service can still use
// a file that root has replaced.
func Replace(path string, data []byte, perm fs.FileMode) error {
	like, err := os.Stat(path)
	if err != nil {
		like, err = os.Stat(filepath.Dir(path))
	}
	if err != nil {
		return err
	}
	temp, err := writeTemp(path, data, perm, like)
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
	temp, err := writeTemp(path, data, perm, nil)
	if err != nil {
		return err
	}
	defer os.Remove(temp) //nolint:errcheck // a later write removes it
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

// RemoveLeftovers removes the temporary files that killed processes left beside path.
// Errors are ignored, because such a file only takes space.
func RemoveLeftovers(path string) {
	prefix, suffix, _ := strings.Cut(tempPattern(path), "*")
	entries, _ := os.ReadDir(filepath.Dir(path))
	for _, entry := range entries {
		digits, isTemp := strings.CutPrefix(entry.Name(), prefix)
		digits, hasSuffix := strings.CutSuffix(digits, suffix)
		if !isTemp || !hasSuffix || strings.Trim(digits, "0123456789") != "" {
			continue
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > leftoverAge {
			_ = os.Remove(filepath.Join(filepath.Dir(path), entry.Name()))
		}
	}
}

// CheckFolder returns an error if no file can be created beside path.
func CheckFolder(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), tempPattern(path))
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// tempPattern is the pattern of the names of the temporary files for path, with an
// asterisk in place of the digits.
func tempPattern(path string) string { return "." + filepath.Base(path) + ".*.tmp" }

// writeTemp writes data to a new file beside path and returns its name. If like is not
// nil, the file gets its owner and group.
func writeTemp(path string, data []byte, perm fs.FileMode, like fs.FileInfo) (name string, err error) {
	RemoveLeftovers(path)
	const tempPerm = 0o600 // of os.CreateTemp
	f, err := os.CreateTemp(filepath.Dir(path), tempPattern(path))
	if err != nil {
		return "", err
	}
	if like != nil {
		setOwner(f, like)
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
