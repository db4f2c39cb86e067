package keys

// Sealer protects private keys at rest. The context is authenticated, not stored:
// Open fails unless it gets the bytes that Seal got, so that a sealed private key
// cannot be passed off as another one.
type Sealer interface {
	// Name identifies the sealing key and discloses nothing of it. The document
	// records it, so that a process with another sealing key fails at its start and
	// not when it first needs a private key.
	Name() string
	Seal(plaintext, context []byte) ([]byte, error)
	Open(sealed, context []byte) ([]byte, error)
}
