// Package witness stores, in files outside of the store, the newest document of a keyset
// that this machine has seen, and which store had a keyset. keys.Witness says what the
// document is for. The other file shows that a store which is empty was lost.
//
//	witness-ID.json  0600  the document of the keyset ID
//	store-HASH.json  0600  {"store": NAME, "keyset": ID}; HASH is from the name of the store
//
// The folder follows from the settings alone: beside the sealing key if the store is a
// file, so that both are kept and moved together, and else the user's state folder. It
// never follows from what can be written now, because a witness that is looked for in
// another folder after a change of rights protects nobody. If the folder cannot be written,
// as that of a Kubernetes Secret, there is a warning and no witness.
//
// The files contain public keys only. Each is replaced as a whole. The package takes no
// lock and does not check the document.
package witness

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/jwksctl/jwksctl/pkg/atomicfile"
)

// Folder is a folder with one witness for each keyset, and one record for each store. It
// is made when something is written.
type Folder string

func (f Folder) path(id string) string { return filepath.Join(string(f), "witness-"+id+".json") }

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
	return f.replace(f.path(id), document)
}

func (f Folder) replace(path string, data []byte) error {
	err := os.MkdirAll(string(f), 0o700)
	if err == nil {
		err = atomicfile.Replace(path, data, 0o600)
	}
	return f.storeError(err)
}

// record is the file that says which keyset a store had.
type record struct {
	Store  string `json:"store"`
	Keyset string `json:"keyset"`
}

// RecordPath is the path of the record of a store.
func (f Folder) RecordPath(store string) string {
	hash := sha256.Sum256([]byte(store))
	return filepath.Join(string(f), "store-"+hex.EncodeToString(hash[:8])+".json")
}

// Record records that a store has the keyset id. The name of the store must have no
// password.
func (f Folder) Record(store, id string) error {
	if known, ok, err := f.Recorded(store); err == nil && ok && known == id {
		return nil
	}
	data, err := json.Marshal(record{store, id})
	if err != nil {
		return f.storeError(err)
	}
	return f.replace(f.RecordPath(store), append(data, '\n'))
}

// Recorded returns the keyset that a store had, as far as this machine knows, and whether
// it had one. The id of a damaged record is "".
func (f Folder) Recorded(store string) (id string, ok bool, err error) {
	data, err := os.ReadFile(f.RecordPath(store))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("witness: %v: chown it to the user that runs jwksctl, or move it away", err)
	}
	var r record
	if json.Unmarshal(data, &r) != nil {
		return "", true, nil
	}
	return r.Keyset, true, nil
}

// OtherRecord returns the path of a record that names another keyset than id, and the store
// of it; "" if there is none. A damaged record counts as one.
func (f Folder) OtherRecord(id string) (path, store string, err error) {
	entries, err := os.ReadDir(string(f))
	if err != nil {
		return "", "", err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "store-") || !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		path := filepath.Join(string(f), e.Name())
		data, err := os.ReadFile(path)
		if err != nil {
			return "", "", err
		}
		var r record
		if json.Unmarshal(data, &r) != nil || r.Keyset != id {
			return path, r.Store, nil
		}
	}
	return "", "", nil
}

// storeError says what to do about an error of Store.
func (f Folder) storeError(err error) error {
	switch {
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("witness: %v: if the store is a file, copy the sealing key into a folder that can be written, and name the copy in seal_key; "+
			"else set XDG_STATE_HOME to such a folder", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("witness: %v: give the user that runs jwksctl the right to write to %s", err, string(f))
	case err != nil:
		return fmt.Errorf("witness: %v: check the disk of %s", err, string(f))
	}
	return nil
}
