package keys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// The errors of a Ring that callers may match, besides *Refusal and the errors of
// the Store.
var (
	// ErrUnavailable: the store could not be read or written.
	ErrUnavailable = errors.New("the key store is unavailable")
	// ErrStale: the keyset was not confirmed with the store for max_staleness.
	ErrStale = errors.New("the keyset could not be confirmed with the store for too long")
	// ErrSealingKey: this machine does not have the key under which the private keys are sealed.
	ErrSealingKey = errors.New("the sealing key of the keyset is missing")
	// ErrClockSkew: clock_skew is shorter than Store.MinClockSkew.
	ErrClockSkew = errors.New("clock_skew is too short for this store")
	// ErrUnreadable: a private key is missing or cannot be opened.
	ErrUnreadable = errors.New("the private key cannot be opened")
	// ErrReader: the process only publishes; see OpenReader.
	ErrReader = errors.New("this process only publishes (auth: off): use a server or a command that has the sealing key")
	// ErrNoSpecimen: the policy says expired_tokens false.
	ErrNoSpecimen = errors.New("the policy keeps no expired key (expired_tokens is false)")
)

// Options are what a Ring needs.
type Options struct {
	Store  Store
	Sealer Sealer
	Clock  Clock        // the zero value is the machine's clock
	Log    *slog.Logger // nil discards

	// Witness keeps a copy of the newest document on this machine; nil means that
	// the machine has none.
	Witness Witness

	// Generate generates keys; nil means jwk.Generate. It is called in the
	// background, before a key is needed.
	Generate func(jwk.Algorithm, int) (jwk.PrivateKey, error)

	// Changed is told of each change that the ring has committed: the keyset before and
	// after it, and its steps. It is called once, when the commit is known to be durable,
	// and while the ring is locked: it must not change or refresh it. nil is not told.
	Changed func(ctx context.Context, before, after Keyset, steps []Event)
}

// Ring is one process's live view of the keyset. It signs and publishes from memory.
// It acts on what it last confirmed with the store for at most max_staleness. Its
// methods may be called from many goroutines.
type Ring struct {
	store    Store
	sealer   Sealer
	witness  Witness
	clock    *clockMonitor
	log      *slog.Logger
	generate func(jwk.Algorithm, int) (jwk.PrivateKey, error)
	changed  func(ctx context.Context, before, after Keyset, steps []Event)
	reader   bool // it only publishes: see OpenReader

	view        atomic.Pointer[view]
	viewChanged broadcast  // there is a new view
	updates     sync.Mutex // is locked during a refresh and during a change
	spare       spareKey
	counters    counters
	access      storeAccess

	witnessFailing bool            // the witness could not be read or written; guarded by updates
	unclear        []unclearCommit // oldest first, at most maxAttempts; guarded by updates
}

// view is what the process knows at one time. It is never modified.
type view struct {
	ks          Keyset
	document    []byte    // ks as the store returned it
	confirmedAt reading   // taken before the read that confirmed ks was sent
	storeTime   storeTime // by the store's own clock, of that read
	privateKeys map[string]privateKey
	active      privateKey // of privateKeys, the one that signs
	publication *Publication
	late        []lateLanding // which ks has yet to allow for
	sealingKey  error         // why this machine cannot open private keys that are not open yet, or nil; it matches ErrSealingKey
}

// privateKey is a private key that this process opened, or why it could not.
type privateKey struct {
	key jwk.PrivateKey
	err error
}

// Read returns the keyset as the store has it now. It opens no private key and
// creates nothing. It uses only the Store, the Witness and the Log of the options.
func Read(ctx context.Context, o Options) (Keyset, error) {
	r := newRing(o)
	for range maxAttempts {
		v, err := r.loadChecked(ctx)
		if err == nil {
			return v.ks, nil
		}
		if !errors.Is(err, errChangedDuringRead) {
			return Keyset{}, err
		}
	}
	return Keyset{}, fmt.Errorf("%w: %w", ErrUnavailable, errChangedDuringRead)
}

// Open reads the keyset and opens the private keys. It never creates anything: an
// empty store is ErrNoKeyset, a sealing key that this machine does not have is ErrSealingKey, a clock_skew that is
// too short for the store is ErrClockSkew. A private key that cannot be opened is no error
// here: the ring publishes, and SigningKey returns the reason.
func Open(ctx context.Context, o Options) (*Ring, error) {
	r := newRing(o)
	if err := r.Refresh(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// OpenReader reads the keyset for a process that only publishes. The ring opens no
// private key, takes no step and generates no key: what would sign or change something
// returns ErrReader. It does not use the Sealer of the options.
func OpenReader(ctx context.Context, o Options) (*Ring, error) {
	o.Sealer = nil
	r := newRing(o)
	r.reader = true
	if err := r.Refresh(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Create creates the keyset under the policy if the store has none, and opens it. If
// several processes create it at the same time, one succeeds and the others open
// that keyset.
func Create(ctx context.Context, o Options, p Policy) (*Ring, error) {
	return CreateWithKey(ctx, o, p, jwk.PrivateKey{})
}

// CreateWithKey is Create with the key that signs first, which was generated elsewhere.
// The zero value is a key that Create generates.
func CreateWithKey(ctx context.Context, o Options, p Policy, first jwk.PrivateKey) (*Ring, error) {
	r := newRing(o)
	var failed error
	failures := 0
	for range maxAttempts {
		err := r.Refresh(ctx)
		if err == nil {
			return r, nil
		}
		if !errors.Is(err, ErrNoKeyset) {
			return nil, err
		}
		if err := errors.Join(p.validate(), p.checkClockSkew(o.Store.MinClockSkew())); err != nil {
			return nil, err
		}
		if failures == maxFailures || errors.Is(failed, context.DeadlineExceeded) || ctx.Err() != nil {
			break
		}
		// Another process may have created the keyset: the next refresh decides.
		failed = r.create(ctx, p, first)
		if !errors.Is(failed, ErrConflict) && !errors.Is(failed, ErrTooLate) {
			failures++
		}
	}
	return nil, fmt.Errorf("%w: %w", ErrUnavailable, failed)
}

// create tries once to create the keyset.
func (r *Ring) create(ctx context.Context, p Policy, first jwk.PrivateKey) error {
	active, pending, err := r.firstPair(p, first)
	if err != nil {
		return err
	}
	now := r.clock.readUnchecked()
	ks, effect := createKeyset(p, r.sealer.Names()[0], now.wall, active.Public(), pending.Public())
	if !first.IsZero() {
		ks.Keys[0].Imported = true
		ks.ID = pending.KeyID() // other keysets may begin with the same key
	}
	put := map[string]jwk.PrivateKey{active.KeyID(): active, pending.KeyID(): pending}
	return r.swap(ctx, Keyset{Policy: p}, ks, effect, put, now.wall)
}

func newRing(o Options) *Ring {
	r := &Ring{store: o.Store, sealer: o.Sealer, witness: o.Witness, clock: newClockMonitor(o.Clock), log: o.Log, generate: o.Generate, changed: o.Changed}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.generate == nil {
		r.generate = jwk.Generate
	}
	return r
}

// firstPair is the first active key, which may be given, and the first pending one. It
// generates two keys in parallel, so that a first start takes no longer than one key.
func (r *Ring) firstPair(p Policy, first jwk.PrivateKey) (a, b jwk.PrivateKey, err error) {
	if !first.IsZero() {
		b, err = r.generate(p.Algorithm, p.KeySize)
		return first, b, err
	}
	var second error
	done := make(chan struct{})
	go func() {
		defer close(done)
		b, second = r.generate(p.Algorithm, p.KeySize)
	}()
	a, err = r.generate(p.Algorithm, p.KeySize)
	<-done
	return a, b, errors.Join(err, second)
}

// Keyset is the newest document that the process has read.
func (r *Ring) Keyset() Keyset { return r.view.Load().ks }

// Policy is the policy of Keyset.
func (r *Ring) Policy() Policy { return r.view.Load().ks.Policy }
