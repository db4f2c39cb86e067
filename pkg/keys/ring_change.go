package keys

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// A change is tried again up to maxAttempts times while other processes win the swap,
// and until the store has failed maxFailures times. Each attempt reads the keyset and
// decides anew.
const (
	maxAttempts = 16
	maxFailures = 3
)

// decision is a request applied to the keyset as it is now. If the keyset shows that
// the request was already carried out, a decision changes nothing. Therefore, a
// commit with an unknown outcome is not done twice.
type decision func(ks Keyset, now time.Time, in StepInput) (Keyset, Effect, error)

// clockRule says what a decision needs of this machine's clock.
type clockRule int

const (
	// clockTrusted refuses the decision while the clock cannot be trusted.
	clockTrusted clockRule = iota

	// clockTrustedToChange refuses it then too, unless the decision changes nothing.
	clockTrustedToChange

	// clockDespiteStamps refuses it too, unless only the newest stamp says so.
	clockDespiteStamps

	// clockAny takes the decision in any case. If the clock cannot be trusted, the stamps
	// are the document's newest one or later, and StepInput.Safe is set.
	clockAny
)

// keysToStore are the private keys that a decision may put into the store.
type keysToStore struct {
	fresh jwk.PrivateKey            // a new key; the zero value if there is none
	again map[string]jwk.PrivateKey // keys that the store has, by kid, to be sealed again
}

// byKid has the keys by their kids.
func (k keysToStore) byKid() map[string]jwk.PrivateKey {
	out := map[string]jwk.PrivateKey{k.fresh.KeyID(): k.fresh}
	maps.Copy(out, k.again)
	return out
}

// keysFunc returns the private keys that a decision may need. It is called before the
// clock is read, because it may take seconds.
type keysFunc func(ctx context.Context, ks Keyset) (keysToStore, error)

// noKeys is the keysFunc of a decision that needs none.
func noKeys(context.Context, Keyset) (keysToStore, error) { return keysToStore{}, nil }

// newKeyIf returns a new key if the keyset needs one.
func (r *Ring) newKeyIf(needed func(Keyset) bool) keysFunc {
	return func(_ context.Context, ks Keyset) (keysToStore, error) {
		if !needed(ks) {
			return keysToStore{}, nil
		}
		key, err := r.spare.getOrGenerate(ks.Policy, r.generate)
		return keysToStore{fresh: key}, err
	}
}

// readAndPrepare reads the keyset, and gets the keys for a decision, unless late landings
// have to be corrected first.
func (r *Ring) readAndPrepare(ctx context.Context, keys keysFunc) (*view, keysToStore, error) {
	v, err := r.refresh(ctx)
	if err != nil || len(v.late) > 0 {
		return v, keysToStore{}, err
	}
	store, err := keys(ctx, v.ks)
	return v, store, err
}

// decide applies a decision to a view, by one reading of the clock. decidedAt is the
// time by which its stamps were computed; zero if the clock cannot be trusted, in which
// case no stamp depends on when the decision is committed.
func (r *Ring) decide(
	v *view, fresh jwk.PublicKey, rule clockRule, decide decision,
) (next Keyset, effect Effect, decidedAt time.Time, err error) {
	now, in := r.clock.read(), StepInput{Fresh: fresh, Opened: v.opened}
	at, decidedAt := now.wall, now.wall
	checked := v.ks
	if rule == clockDespiteStamps {
		checked.ChangedAt = time.Time{}
	}
	refusal := r.clock.check(now, checked, v.storeTime)
	if refusal != nil && (rule == clockTrusted || rule == clockDespiteStamps) {
		return v.ks, Effect{}, at, refusal
	}
	if refusal != nil && rule == clockAny {
		decidedAt = time.Time{}
		if in.Safe = v.storeTime.safe(now); now.jumped {
			at = in.Safe // a time of the future would keep every right clock from taking steps
		}
		at = latest(at, v.ks.ChangedAt)
	}
	next, effect, err = decide(v.ks, at, in)
	if refusal != nil && rule == clockTrustedToChange && !effect.Empty() {
		return v.ks, Effect{}, at, refusal
	}
	return next, effect, decidedAt, err
}

// change carries a decision out: read, decide, swap, and again if another process was
// first. Late landings are corrected before the decision, so that no decision is based
// on a stamp that is too early.
func (r *Ring) change(ctx context.Context, keys keysFunc, rule clockRule, decide decision) error {
	if r.reader {
		return ErrReader
	}
	r.updates.Lock()
	defer r.updates.Unlock()
	var failed, unclear error
	for attempts, failures := 0, 0; attempts < maxAttempts && failures < maxFailures && ctx.Err() == nil; attempts++ {
		v, store, err := r.readAndPrepare(ctx, keys)
		if errors.Is(err, ErrUnavailable) {
			failed = err
			if errors.Is(err, context.DeadlineExceeded) {
				break // a store that does not answer has kept the caller waiting for long enough
			}
			failures++
			continue
		}
		if err != nil {
			return orUnclear(unclear, err)
		}
		if len(v.late) > 0 {
			if failed = r.postpone(ctx, v); failed != nil && !errors.Is(failed, ErrConflict) {
				failures++
			}
			continue
		}
		next, effect, decidedAt, err := r.decide(v, store.fresh.Public(), rule, decide)
		if err != nil {
			return orUnclear(unclear, r.countRefused(err))
		}
		if effect.Empty() {
			return nil
		}
		err = r.swap(ctx, v.ks, next, effect, store.byKid(), decidedAt)
		if err == nil {
			if _, err = r.refresh(ctx); err != nil {
				return fmt.Errorf("%w: the change is made, but could not be read back: %v", ErrUnavailable, err)
			}
			return nil
		}
		failed = err
		if !errors.Is(err, ErrConflict) {
			failures++
		}
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrTooLate) {
			unclear = err
		}
	}
	if failed == nil {
		failed = context.Cause(ctx)
	}
	return changeFailed(unclear, failed)
}

// changeFailed is the error of a change that was given up. failed is what happened last.
func changeFailed(unclear, failed error) error {
	switch {
	case errors.Is(failed, ErrTooLate), errors.Is(failed, ErrConflict): // these say that nothing was written
		return orUnclear(unclear, fmt.Errorf("%w: %w", ErrUnavailable, failed))
	case errors.Is(failed, ErrUnavailable):
		return failed
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, failed)
}

// orUnclear is the error that ends a change. If an earlier attempt may have been
// committed, the error must not look like a refusal, after which nothing is changed.
func orUnclear(unclear, err error) error {
	if unclear == nil {
		return err
	}
	return fmt.Errorf("%w: the change may have been made: %v; then: %v", ErrUnavailable, unclear, err)
}

// swap seals the private keys that the effect stores, which are among keys, and commits a
// decision. decidedAt is zero if the decision may land at any time.
func (r *Ring) swap(ctx context.Context, from, next Keyset, effect Effect, keys map[string]jwk.PrivateKey, decidedAt time.Time) error {
	// Half of e is for the write to land, the other half is for the clocks. A policy
	// change computes its stamps with the old e.
	e := min(from.Policy.ClockSkew, next.Policy.ClockSkew)
	c := Change{Version: from.Version, Delete: effect.Delete}
	if !decidedAt.IsZero() {
		c.Deadline = decidedAt.Add(e / 2)
	}
	var err error
	if c.Document, err = next.withWrite(c.Deadline).encode(); err != nil {
		return err
	}
	c.Put = make(map[string][]byte, len(effect.Put))
	for _, kid := range effect.Put {
		key := keys[kid]
		der, err := key.MarshalPKCS8()
		if err != nil {
			return err
		}
		if c.Put[kid], err = r.sealer.Seal(next.SealingKey, der, sealingContext(key.Public())); err != nil {
			return err
		}
	}
	err = r.commit(ctx, c)
	r.noteCommit(ctx, unclearCommit{from, next, effect.Events, c}, err)
	return err
}
