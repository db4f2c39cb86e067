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

// Key seals and opens private keys. It is immutable, safe for concurrent use and does
// not print itself. The zero Key seals and opens nothing.
type Key struct {
	aead cipher.AEAD
	name string
}

// NewKey returns a new key that is not stored in a file. It is for stores in memory,
// because nothing can open what it sealed once the process has ended.
func NewKey() (Key, error) {
	return derive(newSecret())
}

func newSecret() []byte {
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // never returns an error
	return secret
}

// derive returns the Key for the 32 bytes of a key file.
func derive(secret []byte) (Key, error) {
	material, err := hkdf.Expand(sha256.New, secret, cipherInfo, secretSize)
	if err != nil {
		return Key{}, fmt.Errorf("derive the sealing key: %v", err)
	}
	name, err := hkdf.Expand(sha256.New, secret, nameInfo, nameSize)
	if err != nil {
		return Key{}, fmt.Errorf("derive the name of the sealing key: %v", err)
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

// Name returns the public name of the key: "seal-" and 16 hexadecimal digits, always
// the same for one key file.
func (k Key) Name() string { return k.name }

// Seal encrypts plaintext into an envelope that only Open with the same key and
// context can decrypt. Two calls never return the same bytes. Seal does not keep or
// change its arguments.
func (k Key) Seal(plaintext, context []byte) ([]byte, error) {
	if k.aead == nil {
		return nil, errors.New("seal: empty sealing key: use NewKey, Create or Load")
	}
	return k.aead.Seal([]byte{envelopeVersion}, nil, plaintext, associated(context)), nil //nolint:gosec // this AEAD generates the nonce
}

// Open returns the plaintext of an envelope. It fails if the envelope was changed, or
// was sealed with another context or another key.
func (k Key) Open(sealed, context []byte) ([]byte, error) {
	switch {
	case k.aead == nil:
		return nil, errors.New("open: empty sealing key: use NewKey, Create or Load")
	case len(sealed) == 0:
		return nil, errors.New("open: the sealed private key is empty")
	case sealed[0] != envelopeVersion:
		return nil, fmt.Errorf("open: sealed in format %d, this release knows format %d: use a newer release", sealed[0], envelopeVersion)
	}
	plaintext, err := k.aead.Open(nil, nil, sealed[1:], associated(context))
	if err != nil {
		return nil, fmt.Errorf("open: not sealed by %s in this context, or changed later", k.name)
	}
	return plaintext, nil
}

// associated returns the associated data of an envelope.
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

// MarshalText always fails.
func (Key) MarshalText() ([]byte, error) {
	return nil, errors.New("a sealing key does not marshal itself")
}
