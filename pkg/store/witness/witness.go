// Package witness stores, in a file beside the sealing key, the newest document of
// a keyset that this machine has seen; keys.Witness says what that is for. The file
// contains public keys only, as the document does.
//
//	witness-ID.json        the document of the keyset ID
//	witness-ID.json.lock   locked while the document is replaced
//
// The document is replaced as a whole, and the operating system releases the lock of
// a process that ends. The package does not check the document.
package witness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/lockedfile"

	"github.com/jwksctl/jwksctl/pkg/atomicfile"
)

// Folder is a folder with one witness for each keyset. It must exist.
type Folder string

func (f Folder) path(id string) string { return filepath.Join(string(f), "witness-"+id+".json") }

// Load returns the stored document, nil if there is none.
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

// Update passes the stored document to decide and stores what decide returns, unless
// that is nil. No other process updates the document in between.
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
	if err := atomicfile.Replace(f.path(id), document, 0o600); err != nil {
		return fmt.Errorf("witness: %v", err)
	}
	return nil
}
