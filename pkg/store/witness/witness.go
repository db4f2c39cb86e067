// Package witness stores, in a file beside the sealing key, the newest document of
// a keyset that this machine has seen; keys.Witness says what that is for. The file
// contains public keys only, as the document does.
//
//	witness-ID.json  0600  the document of the keyset ID
//
// The document is replaced as a whole. The package takes no lock and does not check
// the document.
package witness

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/jwksctl/jwksctl/pkg/atomicfile"
)

// Folder is a folder with one witness for each keyset. It must exist.
type Folder string

func (f Folder) path(id string) string { return filepath.Join(string(f), "witness-"+id+".json") }

// Files returns the names of the files of all keysets.
func (f Folder) Files() []string {
	entries, _ := os.ReadDir(string(f)) // a folder that cannot be read shows no witness
	var names []string
	for _, entry := range entries {
		if ok, _ := filepath.Match("witness-*.json", entry.Name()); ok {
			names = append(names, entry.Name())
		}
	}
	return names
}

// Load returns the stored document, nil if there is none.
func (f Folder) Load(id string) ([]byte, error) {
	data, err := os.ReadFile(f.path(id))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("witness: %v: chown it to the user that runs jwksctl", err)
	case err != nil:
		return nil, fmt.Errorf("witness: %v: move it away if this persists", err)
	}
	return data, nil
}

// Store replaces the stored document.
func (f Folder) Store(id string, document []byte) error {
	return f.storeError(atomicfile.Replace(f.path(id), document, 0o600))
}

// storeError says what to do about an error of Store.
func (f Folder) storeError(err error) error {
	switch {
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("witness: %v: it is written beside the sealing key: copy that key into a folder that can be written, and set seal_key_file to the copy", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("witness: %v: give the user that runs jwksctl the right to write to %s", err, string(f))
	case err != nil:
		return fmt.Errorf("witness: %v: check the disk of %s", err, string(f))
	}
	return nil
}
