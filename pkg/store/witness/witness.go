// Package witness is a file beside the sealing key that remembers the newest
// document a machine has seen of a keyset; see keys.Witness for what that is
// good for. It holds public halves only, as the document does.
//
//	witness-ID.json        the document of the keyset ID
//	witness-ID.json.lock   held while the other one is replaced
//
// The file is replaced whole: written beside, made durable, renamed. The system
// releases the lock if its holder dies. What the file holds is judged by its
// reader.
package witness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// Folder holds one witness a keyset. It must exist.
type Folder string

func (f Folder) path(id string) string { return filepath.Join(string(f), "witness-"+id+".json") }

// Load returns what was kept, nil if nothing was.
func (f Folder) Load(id string) ([]byte, error) {
	data, err := os.ReadFile(f.path(id))
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
func (f Folder) Update(id string, decide func(document []byte) []byte) error {
	unlock, err := lockedfile.MutexAt(f.path(id) + ".lock").Lock()
	if err != nil {
		return fmt.Errorf("witness: %v", err)
	}
	defer unlock()
	old, err := f.Load(id)
	if err != nil {
		return err
	}
	document := decide(old)
	if document == nil {
		return nil
	}
	if err := replace(f.path(id), document); err != nil {
		return fmt.Errorf("witness: %v", err)
	}
	return nil
}

// replace appears whole or not at all, also after a power loss.
func replace(path string, document []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = temp.Write(document)
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in dir durable. Windows has no such call and needs
// none.
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
