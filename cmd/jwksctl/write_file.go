package main

import (
	"errors"
	"io/fs"
	"os"
	"runtime"

	"github.com/jwksctl/jwksctl/pkg/atomicfile"
)

// createFile writes the file that --out names, which must not exist yet.
func createFile(path string, data []byte, mode fs.FileMode) error {
	err := atomicfile.Create(path, data, mode)
	switch {
	case errors.Is(err, fs.ErrExist):
		return badUsage("--out: %s exists already; move it away first, or name another file", path)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		if cause, ok := errors.AsType[*fs.PathError](err); ok {
			err = cause.Err // the path is that of a temporary file
		}
		return badUsage("--out: cannot create %s: %v", path, err)
	}
	return err
}

// othersMayRead tells whether a stream is a regular file that other users may read. The
// modes of Windows do not say.
func othersMayRead(stream any) bool {
	f, ok := unwrap(stream).(*os.File)
	if !ok || runtime.GOOS == "windows" {
		return false
	}
	info, err := f.Stat()
	return err != nil || (info.Mode().IsRegular() && info.Mode().Perm()&0o044 != 0)
}
