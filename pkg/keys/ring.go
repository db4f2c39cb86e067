package keys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// What a Ring reports and its callers may match, besides *Refusal and the
// Store's own errors.
var (
	// ErrUnavailable: the store could not be read or written.
	ErrUnavailable = errors.New("the key store is unavailable")
	// ErrStale: the keyset was not confirmed with the store for max_staleness.
	ErrStale = errors.New("the keyset could not be confirmed with the store for too long")
	// ErrSealingKey: the private halves are sealed under another key.
	ErrSealingKey = errors.New("this is not the sealing key of the keyset")
	// ErrUnreadable: a private half is missing or cannot be opened.
	ErrUnreadable = errors.New("the private half cannot be opened")
	// ErrNoSpecimen: the policy says expired_tokens false.
	ErrNoSpecimen = errors.New("the policy keeps no expired key (expired_tokens is false)")
)

// Options are the parts a Ring is made of.
type Options struct {
	Store  Store
	Sealer Sealer
	Clock  Clock        // the zero value is the machine's
	Log    *slog.Logger // nil discards

	// Witness remembers on this machine what the store must not forget; nil if
	// nothing does.
	Witness Witness

	// Generate makes keys; nil means jwk.Generate. It is called in the
	// background, ahead of need.
	Generate func(jwk.Algorithm, int) (jwk.PrivateKey, error)
}

// Ring is one process's live view of the keyset. It signs and publishes from
// memory, and acts on what it last confirmed with the store for max_staleness
// at most. Its methods may be called from many goroutines.
type Ring struct {
	store    Store
	sealer   Sealer
	witness  Witness
	watch    *watch
	log      *slog.Logger
	generate func(jwk.Algorithm, int) (jwk.PrivateKey, error)

	view   atomic.Pointer[view]
	moved  broadcast  // a new view was stored
	writes sync.Mutex // held by whoever refreshes or changes the keyset
	spare  spare
	tally  tally

	testified  mark // what the witness was last told; guarded by writes
	speechless bool // the witness could not be told; guarded by writes
}

// view is what the process knows at one time. It is never changed.
type view struct {
	ks       Keyset
	raw      []byte   // ks as the store had it
	at       reading  // taken before the read that confirmed it was sent
	store    sighting // of the store's own clock by that read
	halves   map[string]half
	active   half // of halves, the one that signs
	document *Publication
}

// half is a private half that this process opened, or why it could not.
type half struct {
	key jwk.PrivateKey
	err error
}

// Read returns the keyset as it stands in the store now, for who only looks at
// it: no private half is opened and nothing is created. The witness may be nil.
func Read(ctx context.Context, s Store, w Witness) (Keyset, error) {
	rec, err := s.Load(ctx)
	if errors.Is(err, ErrNoKeyset) {
		return Keyset{}, err
	}
	if err != nil {
		return Keyset{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	ks, err := decodeKeyset(rec)
	if err != nil {
		return Keyset{}, err
	}
	return ks, ks.agrees(w)
}

// Open reads the keyset and opens the private halves. It never creates
// anything: an empty store is ErrNoKeyset, another sealing key ErrSealingKey.
// A half that cannot be opened is no error here: the ring publishes, and
// SigningKey says what is wrong.
func Open(ctx context.Context, o Options) (*Ring, error) {
	r := newRing(o)
	if err := r.Refresh(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Create creates the keyset under the policy if the store holds none, and opens
// it. Of several processes that found at once, one does and the others open
// what it made.
func Create(ctx context.Context, o Options, p Policy) (*Ring, error) {
	r := newRing(o)
	var failed error
	for range attempts {
		err := r.Refresh(ctx)
		if err == nil {
			return r, nil
		}
		if !errors.Is(err, ErrNoKeyset) {
			return nil, err
		}
		if err := p.validate(); err != nil {
			return nil, err
		}
		// Whatever this says, the next refresh tells what is true.
		if failed = r.found(ctx, p); ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("%w: %w", ErrUnavailable, failed)
}

// found tries once to create the keyset.
func (r *Ring) found(ctx context.Context, p Policy) error {
	active, pending, err := r.makePair(p)
	if err != nil {
		return err
	}
	now := r.watch.look()
	ks, effect := found(p, r.sealer.Name(), now.wall, active.Public(), pending.Public())
	put := map[string]jwk.PrivateKey{active.KeyID(): active, pending.KeyID(): pending}
	if err := r.swap(ctx, Keyset{Policy: p}, ks, effect, put, now); err != nil {
		return err
	}
	r.committed(ctx, effect)
	return nil
}

func newRing(o Options) *Ring {
	r := &Ring{store: o.Store, sealer: o.Sealer, witness: o.Witness, watch: newWatch(o.Clock), log: o.Log, generate: o.Generate}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.generate == nil {
		r.generate = jwk.Generate
	}
	return r
}

// makePair makes two keys at once, so that a first start waits for one only.
func (r *Ring) makePair(p Policy) (a, b jwk.PrivateKey, err error) {
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

// SigningKey is the key that signs now, the reading of the clock that a token
// minted with it must use for iat, and the latest exp it may get. It satisfies
// token.Signer. The error is ErrStale or ErrUnreadable.
func (r *Ring) SigningKey(context.Context) (key jwk.PrivateKey, now, latest time.Time, err error) {
	v, at := r.view.Load(), r.watch.read()
	if err := v.fresh(at); err != nil {
		return jwk.PrivateKey{}, time.Time{}, time.Time{}, err
	}
	if err := v.active.err; err != nil {
		return jwk.PrivateKey{}, time.Time{}, time.Time{}, fmt.Errorf("%w: active key %s: %v", ErrUnreadable, v.ks.Active().KeyID(), err)
	}
	return v.active.key, at.wall, at.safe.Add(v.ks.Policy.TokenTTL), nil
}

// Keys finds public keys by kid; it satisfies token.KeySource.
func (r *Ring) Keys(_ context.Context, kid string) ([]jwk.PublicKey, error) {
	v, at := r.view.Load(), r.watch.read()
	if err := v.fresh(at); err != nil {
		return nil, err
	}
	return v.ks.Find(kid, at.safe)
}

// Publication is the JWK Set as a process serves it. It is never changed: as
// long as Published returns the same pointer, the content is the same.
type Publication struct {
	Keys   []jwk.PublicKey
	MaxAge time.Duration // whole seconds
	until  time.Time     // the clock alone changes the content then; zero if it does not
}

// Published is the JWK Set to serve now. The error is ErrStale.
func (r *Ring) Published() (*Publication, error) {
	v, at := r.view.Load(), r.watch.read()
	if err := v.fresh(at); err != nil {
		return nil, err
	}
	if until := v.document.until; until.IsZero() || at.safe.Before(until) {
		return v.document, nil
	}
	again := *v
	again.document = publication(v.ks, at.safe)
	r.view.CompareAndSwap(v, &again) // losing means that a newer view is there, or will be asked next time
	return again.document, nil
}

func publication(ks Keyset, now time.Time) *Publication {
	return &Publication{Keys: ks.Public(now), MaxAge: ks.Policy.JWKSMaxAge, until: ks.publicUntil(now)}
}

// openedHalf tells whether this process can sign with a key.
func (v *view) openedHalf(kid string) bool {
	h, ok := v.halves[kid]
	return ok && h.err == nil
}

// fresh is the fence: what was not confirmed for D must not be acted on.
func (v *view) fresh(at reading) error {
	if age := at.since(v.at); age > v.ks.Policy.MaxStaleness {
		return fmt.Errorf("%w: %v ago, max_staleness is %v", ErrStale, age.Round(time.Second), v.ks.Policy.MaxStaleness)
	}
	return nil
}

// Specimen signs as a key does that has expired: with a key of its own that was
// never published, at a time that lies so far back that a token of length ttl
// expired one hour ago; a ttl of 0 means token_ttl.
func (r *Ring) Specimen(ttl time.Duration) *SpecimenSigner { return &SpecimenSigner{r, ttl} }

// SpecimenSigner satisfies token.Signer.
type SpecimenSigner struct {
	ring *Ring
	ttl  time.Duration
}

// SigningKey waits until there is a specimen, or ctx is done.
func (s *SpecimenSigner) SigningKey(ctx context.Context) (key jwk.PrivateKey, now, latest time.Time, err error) {
	for {
		moved := s.ring.moved.wait()
		v, at := s.ring.view.Load(), s.ring.watch.read()
		switch {
		case v.fresh(at) != nil:
			return key, now, latest, v.fresh(at)
		case !v.ks.Policy.ExpiredTokens:
			return key, now, latest, ErrNoSpecimen
		case v.ks.Specimen != nil:
			h := v.halves[v.ks.Specimen.KeyID()]
			if h.err != nil {
				return key, now, latest, fmt.Errorf("%w: specimen: %v", ErrUnreadable, h.err)
			}
			ttl := s.ttl
			if ttl == 0 {
				ttl = v.ks.Policy.TokenTTL
			}
			end := at.wall.Add(-time.Hour)
			return h.key, end.Add(-ttl), end, nil
		}
		select {
		case <-ctx.Done():
			return key, now, latest, fmt.Errorf("%w: the expired key is still being made", ErrUnavailable)
		case <-moved:
		}
	}
}

// broadcast wakes everybody who waits.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}
