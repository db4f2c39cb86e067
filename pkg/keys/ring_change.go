package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// A change is tried again while others win the swap, which says that things move
// on, and a few times while the store fails. Each try decides anew on what it
// then reads.
const (
	attempts = 16
	patience = 3
)

// Refresh reads the keyset from the store and confirms or replaces the view.
func (r *Ring) Refresh(ctx context.Context) error {
	r.writes.Lock()
	defer r.writes.Unlock()
	_, err := r.refresh(ctx)
	return err
}

func (r *Ring) refresh(ctx context.Context) (*view, error) {
	for range attempts {
		v, err := r.read(ctx)
		if errors.Is(err, errMoved) {
			continue
		}
		if err != nil {
			return nil, err
		}
		r.show(v)
		r.testify(ctx, v.ks)
		return v, nil
	}
	return nil, fmt.Errorf("%w: %w", ErrUnavailable, errMoved)
}

// read loads the document once and makes a view of it.
func (r *Ring) read(ctx context.Context) (*view, error) {
	at := r.watch.read() // before the read is sent: the answer is at least this fresh
	rec, err := r.store.Load(ctx)
	if errors.Is(err, ErrNoKeyset) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	old := r.view.Load()
	next := view{at: at, store: sighting{rec.Now, at, r.watch.look()}}
	next.raw = rec.Document
	// Not the version but the content says that nothing changed: a store that was
	// restored from a backup comes to the same versions again.
	if old != nil && bytes.Equal(rec.Document, old.raw) && len(old.unreadable()) == 0 {
		next.ks, next.halves, next.active, next.document = old.ks, old.halves, old.active, old.document
		r.watch.learn(next.ks, next.store)
		return &next, nil
	}
	if next.ks, err = decodeKeyset(rec); err != nil {
		return nil, err
	}
	if err := r.remembers(next.ks, old); err != nil {
		return nil, err
	}
	if err := r.openHalves(ctx, &next, old); err != nil {
		return nil, err
	}
	r.watch.learn(next.ks, next.store)
	next.document = publication(next.ks, r.watch.read().safe)
	return &next, nil
}

// show makes a view the one that the process acts on.
func (r *Ring) show(v *view) {
	r.spare.forget(v.ks)
	if old := r.view.Load(); old != nil && !bytes.Equal(old.raw, v.raw) {
		r.tally.saw(old.ks, v.ks)
	}
	r.view.Store(v)
	r.moved.wake()
}

// errMoved says that the keyset changed between two reads of one refresh.
var errMoved = errors.New("the keyset changed while it was read")

// openHalves opens the private halves that the process may sign with. A half
// that is missing may have been destroyed since the document was read, by a
// step that is in a later document; so that is read before anybody cries alarm.
func (r *Ring) openHalves(ctx context.Context, v, old *view) error {
	if name := r.sealer.Name(); name != v.ks.SealingKey {
		return fmt.Errorf("%w: the halves are sealed under %s, this key is %s; give the key file that was made with the store",
			ErrSealingKey, v.ks.SealingKey, name)
	}
	v.halves = map[string]half{}
	for _, k := range v.ks.signers() {
		kid := k.KeyID()
		if old != nil && !old.halves[kid].key.IsZero() {
			v.halves[kid] = old.halves[kid]
			continue
		}
		key, err := r.openHalf(ctx, k.JWK)
		if errors.Is(err, ErrUnavailable) {
			return err
		}
		if errors.Is(err, ErrNoPrivateKey) {
			if rec, again := r.store.Load(ctx); again != nil || rec.Version != v.ks.Version {
				return errMoved
			}
		}
		v.halves[kid] = half{key, err}
	}
	v.active = v.halves[v.ks.Active().KeyID()]
	return nil
}

func (r *Ring) openHalf(ctx context.Context, public jwk.PublicKey) (jwk.PrivateKey, error) {
	sealed, err := r.store.PrivateKey(ctx, public.KeyID())
	if errors.Is(err, ErrNoPrivateKey) {
		return jwk.PrivateKey{}, err
	}
	if err != nil {
		return jwk.PrivateKey{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	der, err := r.sealer.Open(sealed, halfContext(public))
	if err != nil {
		return jwk.PrivateKey{}, err
	}
	key, err := jwk.ParsePKCS8(public.Algorithm(), der)
	if err != nil {
		return jwk.PrivateKey{}, err
	}
	if !key.Public().Equal(public) {
		return jwk.PrivateKey{}, errors.New("it belongs to another key")
	}
	return key, nil
}

// halfContext is what a sealed private half is bound to: the schema, the
// algorithm and the kid, which is the thumbprint of the public half.
func halfContext(k jwk.PublicKey) []byte {
	return fmt.Appendf(nil, "jwksctl private half %d\n%s\n%s", schema, k.Algorithm(), k.KeyID())
}

// decision is one intent, put to the keyset as it stands now. It must find out
// by itself that it was already carried out, and then change nothing: that is
// how an ambiguous commit is not done twice.
type decision func(ks Keyset, now time.Time, m StepInput) (Keyset, Effect, error)

// supply gives a decision the fresh key that it may need, the zero value if it
// needs none. It is asked before the clock is read, since it may take seconds.
type supply func(ks Keyset) (jwk.PrivateKey, error)

// made supplies a new key if the keyset asks for one.
func (r *Ring) made(needed func(Keyset) bool) supply {
	return func(ks Keyset) (jwk.PrivateKey, error) {
		if !needed(ks) {
			return jwk.PrivateKey{}, nil
		}
		return r.spare.take(ks.Policy, r.generate)
	}
}

// change carries a decision through: read, decide, swap, and again if another
// process was first.
func (r *Ring) change(ctx context.Context, fresh supply, decide decision) error {
	r.writes.Lock()
	defer r.writes.Unlock()
	var failed, unclear error
	for tries, misses := 0, 0; tries < attempts && misses < patience && ctx.Err() == nil; tries++ {
		v, err := r.refresh(ctx)
		if errors.Is(err, ErrUnavailable) {
			failed = err
			misses++
			continue
		}
		if err != nil {
			return after(unclear, err)
		}
		m := StepInput{Opened: v.openedHalf}
		key, err := fresh(v.ks)
		if err != nil {
			return after(unclear, err)
		}
		m.Fresh = key.Public()
		now := r.watch.read()
		if refusal := r.watch.trouble(now, v.ks, v.store); refusal != nil {
			return after(unclear, r.refused(refusal))
		}
		next, effect, err := decide(v.ks, now.wall, m)
		if err != nil {
			return after(unclear, r.refused(err))
		}
		if effect.Empty() {
			return nil
		}
		err = r.swap(ctx, v.ks, next, effect, map[string]jwk.PrivateKey{m.Fresh.KeyID(): key}, now)
		if err == nil {
			r.committed(ctx, effect)
			if _, err = r.refresh(ctx); err != nil {
				return fmt.Errorf("%w: the change is made, but could not be read back: %v", ErrUnavailable, err)
			}
			return nil
		}
		failed = err
		if !errors.Is(err, ErrConflict) {
			misses++
		}
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrTooLate) {
			unclear = err
		}
	}
	if failed == nil {
		failed = context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, failed)
}

// after is the error that ends a change. If an earlier try may have been
// committed, nobody must take it for a refusal, after which nothing changed.
func after(unclear, err error) error {
	if unclear == nil {
		return err
	}
	return fmt.Errorf("%w: the change may have been made: %v; then: %v", ErrUnavailable, unclear, err)
}

// swap commits a decision. What it puts is sealed first.
func (r *Ring) swap(ctx context.Context, from, next Keyset, effect Effect, halves map[string]jwk.PrivateKey, now reading) error {
	document, err := next.encode()
	if err != nil {
		return err
	}
	// Half of e is for the write to land, the other half for the clocks. A new
	// policy's stamps are made with the old e.
	e := min(from.Policy.ClockSkew, next.Policy.ClockSkew)
	c := Change{Version: from.Version, Document: document, Delete: effect.Delete, Deadline: now.wall.Add(e / 2)}
	c.Put = make(map[string][]byte, len(effect.Put))
	for _, kid := range effect.Put {
		key := halves[kid]
		der, err := key.MarshalPKCS8()
		if err != nil {
			return err
		}
		if c.Put[kid], err = r.sealer.Seal(der, halfContext(key.Public())); err != nil {
			return err
		}
	}
	return r.store.Swap(ctx, c)
}

// spare is a key made ahead of need.
type spare struct {
	mu  sync.Mutex
	key jwk.PrivateKey
}

// get returns the key if there is one for the policy.
func (s *spare) get(p Policy) (jwk.PrivateKey, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key.IsZero() || !p.makes(s.key.Public()) {
		return jwk.PrivateKey{}, false
	}
	return s.key, true
}

// take returns a key for the policy, making it now if need be. It stays the
// spare until a document shows it, so that a lost swap costs no key. Nothing is
// locked while a key is made, which can take seconds.
func (s *spare) take(p Policy, generate func(jwk.Algorithm, int) (jwk.PrivateKey, error)) (jwk.PrivateKey, error) {
	if key, ok := s.get(p); ok {
		return key, nil
	}
	key, err := generate(p.Algorithm, p.KeySize)
	if err != nil {
		return jwk.PrivateKey{}, fmt.Errorf("making a key: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = key
	return key, nil
}

// forget drops the spare once a document shows it, however that came about.
func (s *spare) forget(ks Keyset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.key.IsZero() && ks.holds(s.key.KeyID()) {
		s.key = jwk.PrivateKey{}
	}
}
