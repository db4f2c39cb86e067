package keys

// Sealer protects private halves at rest. The context is authenticated, not
// stored: Open fails unless it is given the bytes that Seal was given, so that
// a sealed half cannot be passed off as another key's.
type Sealer interface {
	// Name identifies the sealing key without giving anything of it away. The
	// document records it, so that a process with another sealing key learns
	// so at its start and not when it first needs a half.
	Name() string
	Seal(plaintext, context []byte) ([]byte, error)
	Open(sealed, context []byte) ([]byte, error)
}
