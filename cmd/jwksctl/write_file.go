package main

import (
	"errors"
	"io/fs"

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
