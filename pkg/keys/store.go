package keys

import (
	"context"
	"errors"
	"time"
)

// Store holds one keyset: a document and, beside it, the sealed private halves
// of its keys. An engine sees bytes only; what they mean is this package's
// business. Every engine must pass storetest.Run.
//
// The document changes by compare-and-swap alone. There are no locks and no
// leader: any process may try a step, and the swap arbitrates.
type Store interface {
	// Load returns the newest committed document. The read is linearizable: it
	// sees every Swap that was reported done before Load was called. On a store
	// that holds no keyset it returns ErrNoKeyset.
	Load(ctx context.Context) (Record, error)

	// PrivateKey returns the sealed private half that a Swap put under kid, or
	// ErrNoPrivateKey.
	PrivateKey(ctx context.Context, kid string) ([]byte, error)

	// Swap commits c whole or not at all. ErrConflict says that the keyset is
	// not (or no longer) at c.Version and that nothing was written. ErrTooLate
	// says that c.Deadline had passed and that nothing was written. After any
	// other error the change may or may not have been committed: read again.
	Swap(ctx context.Context, c Change) error

	// Wait blocks until the keyset may have left version, or ctx is done, in
	// which case it returns ctx's error. It is a hint: it may return too early,
	// and a caller that needs the truth calls Load.
	Wait(ctx context.Context, version uint64) error

	// Close releases what the store holds. It is called once, last.
	Close() error
}

// Record is a committed document.
type Record struct {
	Version  uint64    // starts at 1 and grows by 1 with each Swap
	Document []byte    // as given to Swap
	Now      time.Time // the engine's own clock during the read; zero if it has none but ours
}

// Change is what one Swap commits.
type Change struct {
	Version  uint64            // the version that is replaced; 0 creates the keyset, if absent
	Document []byte            // the new document; never empty
	Put      map[string][]byte // sealed private halves to add, by kid
	Delete   []string          // kids whose private half goes; absent ones are passed over

	// Deadline is the wall-clock moment after which the change must not become
	// visible any more: its stamps were computed from an earlier reading of the
	// clock and hold only for a write that lands soon. Zero means no deadline.
	Deadline time.Time
}

// What a Store reports and its callers may match. Any other error of a Store
// means that it cannot be reached or used now.
var (
	ErrNoKeyset     = errors.New("the store holds no keyset")
	ErrNoPrivateKey = errors.New("the store holds no private half for this kid")
	ErrConflict     = errors.New("the keyset was changed by another process")
	ErrTooLate      = errors.New("the write did not reach the store in time")
)
