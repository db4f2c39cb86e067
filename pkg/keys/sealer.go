package keys

import "context"

// Sealer protects private keys at rest. It has the sealing keys of this machine, which come
// from a source outside of the store. The context is authenticated, not stored: Open fails
// unless it gets the bytes that Seal got, so that a sealed private key cannot be passed off
// as another one.
//
// The document names the sealing key under which all private keys are, so that a process
// without that key fails at its start and not when it first needs a private key.
type Sealer interface {
	// Names lists the sealing keys as of the last read of the source. The first one seals
	// the private keys of a new keyset. A name identifies a key and discloses nothing of it.
	Names() []string

	// Reload reads the source again. If that fails, the keys stay as they are. A process
	// does so when it meets a name that it does not know.
	Reload(ctx context.Context) error

	// Seal and Open fail if the source does not have the key with that name.
	Seal(name string, plaintext, context []byte) ([]byte, error)
	Open(name string, sealed, context []byte) ([]byte, error)

	// Source says where the keys come from, for messages.
	Source() string
}
