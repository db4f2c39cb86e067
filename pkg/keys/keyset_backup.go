package keys

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	jsonv2 "github.com/go-json-experiment/json"
)

const backupFormat = "jwksctl-backup-1"

// ErrBackup says that a file is not a backup, or a damaged one.
var ErrBackup = errors.New("unusable backup")

// Backup is a keyset as it was at one version, with its sealed private keys. The package
// comment describes it as a file.
type Backup struct {
	keyset      Keyset
	document    []byte            // keyset as it is stored
	privateKeys map[string][]byte // sealed, by kid
}

// Keyset is the document of the backup.
func (b Backup) Keyset() Keyset { return b.keyset }

// PrivateKeys is the number of private keys.
func (b Backup) PrivateKeys() int { return len(b.privateKeys) }

// backupFile is a Backup as a file.
type backupFile struct {
	Format      string            `json:"format"`
	Document    json.RawMessage   `json:"document"`
	PrivateKeys map[string][]byte `json:"private_keys"`
	SHA256      string            `json:"sha256"`
}

// Encode returns the backup as a file. The file of one version is always the same.
func (b Backup) Encode() ([]byte, error) {
	return backupFile{Format: backupFormat, Document: b.document, PrivateKeys: b.privateKeys}.encode()
}

// encode writes the file with its checksum, which is that of the file with an empty one.
func (f backupFile) encode() ([]byte, error) {
	f.SHA256 = ""
	data, err := f.marshal()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	f.SHA256 = hex.EncodeToString(sum[:])
	return f.marshal()
}

func (f backupFile) marshal() ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(f)
	return out.Bytes(), err
}

// ParseBackup reads the file of a backup. It refuses a file that differs in any byte from
// what Encode has written. Its errors match ErrBackup.
func ParseBackup(data []byte) (Backup, error) {
	b, err := parseBackup(data)
	if err != nil {
		return Backup{}, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	return b, nil
}

func parseBackup(data []byte) (Backup, error) {
	var f backupFile
	if err := json.Unmarshal(data, &struct{ Format *string }{&f.Format}); err != nil {
		return Backup{}, fmt.Errorf("it is cut short, or not a backup: %w", err)
	}
	if f.Format != backupFormat {
		return Backup{}, fmt.Errorf("its format is %.40q, not %q: use the jwksctl that wrote it", f.Format, backupFormat)
	}
	if err := jsonv2.Unmarshal(data, &f, jsonv2.RejectUnknownMembers(true)); err != nil {
		return Backup{}, err
	}
	written, err := f.encode()
	if err != nil {
		return Backup{}, err
	}
	if !bytes.Equal(written, data) {
		return Backup{}, errors.New("it was changed since it was written: its checksum is wrong")
	}
	return newBackup(f.Document, f.PrivateKeys)
}

// newBackup checks that the document and the private keys belong together.
func newBackup(document []byte, privateKeys map[string][]byte) (Backup, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, document); err != nil {
		return Backup{}, err
	}
	b := Backup{document: compact.Bytes(), privateKeys: privateKeys}
	var err error
	if b.keyset, err = parseKeyset(b.document); err != nil {
		return b, err
	}
	if err := b.keyset.checkMoved(); err != nil {
		return b, err
	}
	known := b.keyset.privateKeys()
	for kid, sealed := range privateKeys {
		if len(sealed) == 0 || !slices.Contains(known, kid) {
			return b, fmt.Errorf("the private key of %.60q is empty, or does not belong to the keyset", kid)
		}
	}
	for _, k := range b.keyset.signers() {
		if privateKeys[k.KeyID()] == nil {
			return b, fmt.Errorf("the private key of key %s is missing", k.KeyID())
		}
	}
	return b, nil
}

// privateKeys lists the keys whose private key the store may have: those that sign, and
// retired ones until their private key is deleted.
func (ks Keyset) privateKeys() []string {
	var kids []string
	for _, k := range ks.signers() {
		kids = append(kids, k.KeyID())
	}
	for _, k := range ks.Keys {
		if !k.RetiredAt.IsZero() && k.DestroyedAt.IsZero() {
			kids = append(kids, k.KeyID())
		}
	}
	return kids
}
