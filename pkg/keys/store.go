package keys

import (
	"context"
	"errors"
	"time"
)

// Store contains one keyset: a document and the sealed private keys that belong to
// it. To an engine both are opaque bytes. Every engine must pass storetest.Run.
//
// The document changes by compare-and-swap alone. There are no locks and no leader:
// any process may try a step, and the swap decides which one succeeds.
type Store interface {
	// Load returns the newest committed document. The read is linearizable: it sees
	// every Swap that returned success before Load was called. If the store has no
	// keyset, it returns ErrNoKeyset.
	Load(ctx context.Context) (Record, error)

	// PrivateKey returns the sealed private key that a Swap put under kid, or
	// ErrNoPrivateKey.
	PrivateKey(ctx context.Context, kid string) ([]byte, error)

	// PrivateKeyIDs returns the kid of each sealed private key in the store, in any order:
	// those that no document names too. Like Load, the read is linearizable. It returns
	// none if the store has no keyset.
	PrivateKeyIDs(ctx context.Context) ([]string, error)

	// Swap commits all of c or nothing. ErrConflict says that the keyset is not (or no
	// longer) at c.Version and that nothing was written. ErrTooLate says that c.Deadline
	// had passed and that nothing was written. After any other error the change may or
	// may not have been committed, so the caller has to read again.
	Swap(ctx context.Context, c Change) error

	// Wait blocks until the keyset may no longer be at version, or until ctx is done,
	// in which case it returns ctx's error. It is a hint: it may return too early, and
	// only Load shows the current version.
	Wait(ctx context.Context, version uint64) error

	// MinClockSkew is the shortest clock_skew (e) under which the engine can keep a change
	// from becoming visible later than its stamps allow; 0 if every policy is long enough.
	MinClockSkew() time.Duration

	// Close releases the resources of the store. It is called once, last.
	Close() error
}

// Record is a committed document.
type Record struct {
	Version  uint64    // starts at 1, or at Change.First, and grows by 1 with each Swap
	Document []byte    // as given to Swap
	Now      time.Time // by the engine's own clock during the read; zero if it uses the clock of this machine
}

// Change is what one Swap commits.
type Change struct {
	Version  uint64            // the version to replace; 0 creates the keyset if there is none
	Document []byte            // the new document; never empty
	Put      map[string][]byte // sealed private keys to add or replace, by kid
	Delete   []string          // kids whose private keys to delete, also if they are in Put; unknown ones are ignored

	// Deadline is the time by the wall clock after which the change must not become
	// visible any more: its stamps were computed from an earlier reading of the clock
	// and are right only if the write lands soon. Zero means no deadline. The document
	// contains it too, so that processes notice if a write lands later nevertheless.
	Deadline time.Time

	// First is the version at which a keyset begins that is created with versions behind
	// it, in another store; 0 means 1. It has no meaning unless Version is 0.
	First uint64
}

// NewVersion is the version of the keyset after the change.
func (c Change) NewVersion() uint64 {
	if c.Version == 0 && c.First != 0 {
		return c.First
	}
	return c.Version + 1
}

// The errors of a Store that callers may match. Any other error means that the store
// cannot be reached or used now.
var (
	ErrNoKeyset     = errors.New("the store has no keyset")
	ErrNoPrivateKey = errors.New("the store has no private key for this kid")
	ErrConflict     = errors.New("the keyset was changed by another process")
	ErrTooLate      = errors.New("the write did not reach the store in time")
)

// StoreError is an error of a store whose cause the engine knows. Any client of a server
// may read its Problem.
type StoreError struct {
	Problem string // one sentence without addresses, names and secrets: what is wrong with the store
	Err     error  // the details, for the log
}

func (e *StoreError) Error() string { return e.Problem + ": " + e.Err.Error() }
func (e *StoreError) Unwrap() error { return e.Err }
