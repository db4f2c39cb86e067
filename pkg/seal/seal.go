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
	secretSize = 32 // bytes in a line of a source
	nameSize   = 8  // bytes of a key's name, before hex

	envelopeVersion = 1

	cipherInfo = "jwksctl seal key 1: AES-256-GCM"
	nameInfo   = "jwksctl seal key 1: name"

	redacted = "[seal key]"
)

// sealingKey seals and opens private keys. It is immutable, safe for concurrent use and
// does not print itself. One without a cipher seals and opens nothing.
type sealingKey struct {
	aead cipher.AEAD
	name string
}

func newSecret() []byte {
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // never returns an error
	return secret
}

// derive returns the key for the 32 bytes in a line of a source.
func derive(secret []byte) (sealingKey, error) {
	material, err := hkdf.Expand(sha256.New, secret, cipherInfo, secretSize)
	if err != nil {
		return sealingKey{}, fmt.Errorf("derive the sealing key: %v", err)
	}
	name, err := hkdf.Expand(sha256.New, secret, nameInfo, nameSize)
	if err != nil {
		return sealingKey{}, fmt.Errorf("derive the name of the sealing key: %v", err)
	}
	block, err := aes.NewCipher(material)
	if err != nil {
		return sealingKey{}, fmt.Errorf("set up AES-256: %v", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealingKey{}, fmt.Errorf("set up AES-256-GCM: %v", err)
	}
	return sealingKey{aead: aead, name: "seal-" + hex.EncodeToString(name)}, nil
}

// seal encrypts plaintext into an envelope that only open with the same key and context
// can decrypt. Two calls never return the same bytes.
func (k sealingKey) seal(plaintext, context []byte) ([]byte, error) {
	if k.aead == nil {
		return nil, fmt.Errorf("seal: the source has no key %s", k.name)
	}
	return k.aead.Seal([]byte{envelopeVersion}, nil, plaintext, associated(context)), nil //nolint:gosec // this AEAD generates the nonce
}

// open returns the plaintext of an envelope. It fails if the envelope was changed, or
// was sealed with another context or another key.
func (k sealingKey) open(sealed, context []byte) ([]byte, error) {
	switch {
	case k.aead == nil:
		return nil, fmt.Errorf("open: the source has no key %s", k.name)
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
func (sealingKey) String() string { return redacted }

// GoString returns a placeholder.
func (sealingKey) GoString() string { return redacted }

// Format writes a placeholder for every verb and flag.
func (sealingKey) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// LogValue returns a placeholder.
func (sealingKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText always fails.
func (sealingKey) MarshalText() ([]byte, error) {
	return nil, errors.New("a sealing key does not marshal itself")
}
