package keys

import "errors"

// Witness keeps the newest document that a machine has seen, outside of the store. A
// store that was restored from a backup does not have the changes since the backup,
// and cannot detect that. A machine with a witness refuses such a store until an
// operator accepts it. Then the witness supplies what is missing.
//
// Its limits: a machine that has no witness yet accepts the store as it is. A change
// that no machine with a witness has read is in no witness. A store that was wiped and
// created again has another keyset, with a witness of its own.
type Witness interface {
	// Load returns the document that was kept of the keyset id, nil if there is none.
	Load(id string) ([]byte, error)

	// Update replaces that document by the result of decide; nil leaves it as it is.
	// The replacement is durable, and no update of another process comes between.
	Update(id string, decide func(document []byte) []byte) error
}

// ErrWitness says that the content of the witness cannot be used.
var ErrWitness = errors.New("the witness cannot be used; if it is damaged, move it away, and this machine accepts the store as it is")
