// Package witness is a file beside the sealing key that remembers the newest
// keyset document a machine has seen; see keys.Witness for what that is good
// for. It holds public halves only, as the document does.
//
// The file is replaced whole: written beside, made durable, renamed. Processes
// take turns by a lock on a second file, NAME.lock, which the system releases
// if one dies. A file that was not written here is not judged: its reader does.
package witness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// File is a witness at a path. Its folder must exist.
type File struct{ path string }

// At is the witness at path, which need not be there yet.
func At(path string) *File { return &File{path} }

// Load returns what was kept, nil if nothing was.
func (f *File) Load() ([]byte, error) {
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("witness: %v", err)
	}
	return data, nil
}

// Update replaces what was kept by what decide makes of it, and leaves it if
// that is nil.
func (f *File) Update(decide func(document []byte) []byte) error {
	unlock, err := lockedfile.MutexAt(f.path + ".lock").Lock()
	if err != nil {
		return fmt.Errorf("witness: %v", err)
	}
	defer unlock()
	old, err := f.Load()
	if err != nil {
		return err
	}
	document := decide(old)
	if document == nil {
		return nil
	}
	if err := f.replace(document); err != nil {
		return fmt.Errorf("witness: %v", err)
	}
	return nil
}

// replace appears whole or not at all, also after a power loss.
func (f *File) replace(document []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.path)+".*")
	if err != nil {
		return err
	}
	_, err = temp.Write(document)
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	if err := os.Rename(temp.Name(), f.path); err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return nil
}
