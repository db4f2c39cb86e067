package keys

import (
	"context"
	"errors"
	"fmt"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// AcceptRestore opens a store that was restored from a backup, and merges what the
// witness has into it, so that no key that has left comes back. A key whose private
// key is not in the backup cannot sign: if it is the pending key it is replaced; if
// it is the active key it stays unreadable until a rotation.
//
// It is no error if there is nothing to accept.
func AcceptRestore(ctx context.Context, o Options) (*Ring, error) {
	return acceptRestore(ctx, o, false)
}

// AcceptRestoreAndClock is AcceptRestore for a store of which the backup, or what the
// witness has, was written by a clock that was far ahead. It takes this machine's clock
// as right; see Keyset.AcceptClock.
func AcceptRestoreAndClock(ctx context.Context, o Options) (*Ring, error) {
	return acceptRestore(ctx, o, true)
}

func acceptRestore(ctx context.Context, o Options, acceptClock bool) (*Ring, error) {
	r := newRing(o)
	var err error
	for range maxAttempts { // a process without a witness may change the restored store meanwhile
		err = r.acceptOnce(ctx, acceptClock)
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrTooLate) && !errors.Is(err, errChangedDuringRead) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return r, r.Refresh(ctx)
}

func (r *Ring) acceptOnce(ctx context.Context, acceptClock bool) error {
	restored, err := r.loadUsable(ctx)
	if err != nil {
		return err
	}
	seen, _, err := loadWitness(r.witness, restored)
	if err != nil && !errors.Is(err, ErrWitness) {
		err = fmt.Errorf("%w: %v", ErrWitness, err)
	}
	if err != nil || restored.ks.checkNotRestored(seen) == nil {
		return err
	}
	return r.commitMerge(ctx, restored.ks, seen, acceptClock)
}

// commitMerge replaces the restored document by its merge with seen.
func (r *Ring) commitMerge(ctx context.Context, restored, seen Keyset, acceptClock bool) error {
	v := view{ks: seen}
	v.ks.Version, v.ks.SealingKey = restored.Version, restored.SealingKey // of the private keys that the store has
	switch err := r.openPrivateKeys(ctx, &v, nil); {
	case errors.Is(err, errChangedDuringRead):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case err != nil:
		return err
	}
	fresh, err := r.spare.getOrGenerate(seen.Policy, r.generate)
	if err != nil {
		return err
	}
	r.clock.setPolicy(seen)
	now := r.clock.read()
	if acceptClock {
		restored, seen = restored.withoutFuture(now.wall), seen.withoutFuture(now.wall)
	}
	for _, ks := range []Keyset{restored, seen} {
		if refusal := r.clock.check(now, ks, storeTime{}); refusal != nil {
			return refusal
		}
	}
	next, effect := restored.merge(seen, now.wall, StepInput{Fresh: fresh.Public(), Opened: v.opened})
	if err := r.swap(ctx, restored, next, effect, map[string]jwk.PrivateKey{fresh.KeyID(): fresh}, now.wall); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}
