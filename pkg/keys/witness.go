package keys

import "errors"

// Witness keeps the newest document that a machine has seen, outside of the store. A
// store that was restored from a backup does not have the changes since the backup,
// and cannot detect that. A machine with a witness refuses such a store until an
// operator accepts it. Then the witness supplies what is missing.
//
// What a witness has only grows: a process replaces the document only by one that
// knows every key and every change of it. There is no lock. If two processes replace
// it at the same time, the older of their documents may be the last one. Every process
// compares the witness with the store at each refresh, so that the next one stores the
// newer document again.
//
// Its limits: a machine that has no witness yet accepts the store as it is. A change
// that no process with a witness has read is in no witness. A store that was wiped and
// created again has another keyset, with a witness of its own.
type Witness interface {
	// Load returns the document that was kept of the keyset id, nil if there is none.
	Load(id string) ([]byte, error)

	// Store replaces that document. The replacement is durable, and a Load of any
	// process returns one of the two documents as a whole.
	Store(id string, document []byte) error
}

// ErrWitness says that the witness is damaged, or cannot be read by AcceptRestore,
// which needs it. For all else, a witness that cannot be read or written is a warning
// in the log.
var ErrWitness = errors.New("the witness cannot be used")
