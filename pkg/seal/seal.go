package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

const (
	secretSize = 32 // bytes in a key file
	nameSize   = 8  // bytes of a key's name, before hex

	envelopeVersion = 1

	cipherInfo = "jwksctl seal key 1: AES-256-GCM"
	nameInfo   = "jwksctl seal key 1: name"

	redacted = "[seal key]"
)

// Key seals private halves. It is immutable, safe for concurrent use and
// refuses to print itself. The zero Key seals and opens nothing.
type Key struct {
	aead cipher.AEAD
	name string
}

// NewKey makes a key that is written nowhere: what it seals is lost with the
// process. It is meant for stores that live in memory.
func NewKey() (Key, error) {
	return derive(newSecret())
}

func newSecret() []byte {
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // never fails: the runtime ends the process first
	return secret
}

// derive makes the Key that belongs to the 32 bytes of a key file.
func derive(secret []byte) (Key, error) {
	material, err := hkdf.Expand(sha256.New, secret, cipherInfo, secretSize)
	if err != nil {
		return Key{}, fmt.Errorf("derive the sealing key: %v", err)
	}
	name, err := hkdf.Expand(sha256.New, secret, nameInfo, nameSize)
	if err != nil {
		return Key{}, fmt.Errorf("derive the sealing key's name: %v", err)
	}
	block, err := aes.NewCipher(material)
	if err != nil {
		return Key{}, fmt.Errorf("set up AES-256: %v", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return Key{}, fmt.Errorf("set up AES-256-GCM: %v", err)
	}
	return Key{aead: aead, name: "seal-" + hex.EncodeToString(name)}, nil
}

// Name identifies the key: "seal-" and 16 hexadecimal digits, the same for the
// same key file. It may be published.
func (k Key) Name() string { return k.name }

// Seal returns plaintext in an envelope that only Open with the same key and
// context undoes. Two calls never return the same bytes. Neither argument is
// kept or changed.
func (k Key) Seal(plaintext, context []byte) ([]byte, error) {
	if k.aead == nil {
		return nil, errors.New("seal: the key is empty: make it with NewKey, Create or Load")
	}
	return k.aead.Seal([]byte{envelopeVersion}, nil, plaintext, associated(context)), nil //nolint:gosec // this AEAD makes its own random nonce and takes none
}

// Open returns what Seal was given. It fails if sealed was changed in any way,
// if it was sealed under another context or by another key.
func (k Key) Open(sealed, context []byte) ([]byte, error) {
	switch {
	case k.aead == nil:
		return nil, errors.New("open: the seal key is empty: make it with NewKey, Create or Load")
	case len(sealed) == 0:
		return nil, errors.New("open: the sealed half is empty")
	case sealed[0] != envelopeVersion:
		return nil, fmt.Errorf("open: sealed in format %d, this program knows format %d: try a newer one", sealed[0], envelopeVersion)
	}
	plaintext, err := k.aead.Open(nil, nil, sealed[1:], associated(context))
	if err != nil {
		return nil, fmt.Errorf("open: not sealed by %s in this context, or changed since", k.name)
	}
	return plaintext, nil
}

// associated is the associated data of an envelope: all of it that is neither
// secret nor stored under the tag already.
func associated(context []byte) []byte {
	return append([]byte{envelopeVersion}, context...)
}

// String returns a placeholder.
func (Key) String() string { return redacted }

// GoString returns a placeholder.
func (Key) GoString() string { return redacted }

// Format writes a placeholder for every verb and flag.
func (Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// LogValue returns a placeholder.
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText fails: a key leaves the process in its key file alone.
func (Key) MarshalText() ([]byte, error) {
	return nil, errors.New("a seal key refuses to be marshalled")
}
