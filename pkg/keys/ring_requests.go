package keys

import (
	"context"
	"fmt"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// Step takes every timed step that is due, until none is due or a guard holds the
// remaining ones back. It generates the keys that the steps need.
func (r *Ring) Step(ctx context.Context) error {
	needed := func(ks Keyset) bool { return isDue(ks.NewKeyNeededAt(), r.clock.read().wall) }
	for range maxAttempts {
		var refused []*Refusal
		var more bool
		err := r.change(ctx, r.newKeyIf(needed), clockTrusted,
			func(ks Keyset, now time.Time, in StepInput) (Keyset, Effect, error) {
				next, effect, refusals := ks.Advance(now, in)
				// A step may need a second new key, or the room that this one made.
				refused, more = refusals, !effect.Empty() && isDue(next.Next(), now)
				return next, effect, nil
			})
		if err != nil {
			return err
		}
		if !more {
			return r.countRefused(firstRefusal(refused))
		}
	}
	return nil
}

func isDue(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

// Rotate retires the key that is active now and has its successor sign. It is done
// when that key is no longer active, also if another process retired it. The errors
// are *Refusal and ErrUnavailable.
func (r *Ring) Rotate(ctx context.Context, req StepRequest) error {
	from := r.Keyset().Active().KeyID()
	needed := func(Keyset) bool { return true }
	return r.change(ctx, r.newKeyIf(needed), clockTrusted, func(ks Keyset, now time.Time, in StepInput) (Keyset, Effect, error) {
		if ks.Active().KeyID() != from {
			return ks, Effect{}, nil
		}
		return ks.Rotate(now, in, req)
	})
}

// Revoke revokes a key at once and then publishes a successor if one is missing. It
// does so also if this machine's clock cannot be trusted, but then a process with a
// right clock has to publish the successor. The errors are *Refusal, ErrUnknownKey and
// ErrUnavailable.
func (r *Ring) Revoke(ctx context.Context, kid string, req StepRequest) error {
	needed := func(ks Keyset) bool { // a forced request may find no other key to take over
		return req.Force && ks.Active().KeyID() == kid
	}
	err := r.change(ctx, r.newKeyIf(needed), clockAny, revocation(kid, req))
	if err != nil {
		return err
	}
	// The revocation is done even if this fails: a later step of any process publishes
	// the successor.
	if err := r.Step(ctx); err != nil {
		r.log.WarnContext(ctx, "the successor of a revoked key is not published yet", "error", err.Error())
	}
	return nil
}

func revocation(kid string, req StepRequest) decision {
	return func(ks Keyset, now time.Time, in StepInput) (Keyset, Effect, error) {
		return ks.Revoke(now, kid, in, req)
	}
}

// Import makes a key that was generated elsewhere the pending one; see Keyset.Import.
func (r *Ring) Import(ctx context.Context, key jwk.PrivateKey) error {
	imported := func(context.Context, Keyset) (keysToStore, error) { return keysToStore{fresh: key}, nil }
	return r.change(ctx, imported, clockTrusted, Keyset.Import)
}

// Export returns the private key of the active or the pending key. The error is
// ErrUnreadable, or ErrUnknownKey if the keyset has no private key for the kid.
func (r *Ring) Export(kid string) (jwk.PrivateKey, error) {
	k, ok := r.view.Load().privateKeys[kid]
	switch {
	case r.reader:
		return jwk.PrivateKey{}, ErrReader
	case !ok:
		return jwk.PrivateKey{}, fmt.Errorf("%w with a private key: %s", ErrUnknownKey, kid)
	case k.err != nil:
		return jwk.PrivateKey{}, fmt.Errorf("%w: key %s: %v", ErrUnreadable, kid, k.err)
	}
	return k.key, nil
}

// SetPolicy applies the settings to the policy and returns what that changed. Settings
// that change nothing are never refused.
func (r *Ring) SetPolicy(ctx context.Context, s Settings) ([]Difference, error) {
	s.MinClockSkew = r.store.MinClockSkew()
	var changed []Difference
	err := r.change(ctx, noKeys, clockTrustedToChange, func(ks Keyset, now time.Time, in StepInput) (Keyset, Effect, error) {
		p, err := ks.Policy.With(s)
		if err != nil {
			return ks, Effect{}, err
		}
		if diff := ks.Policy.Differences(p); len(diff) > 0 {
			changed = diff
		}
		return ks.SetPolicy(now, p, in)
	})
	return changed, err
}

// AcceptClock takes this machine's clock as right although it is behind the newest
// stamp; see Keyset.AcceptClock. It refuses a clock that jumped or that differs from
// the store's.
func (r *Ring) AcceptClock(ctx context.Context) error {
	return r.change(ctx, noKeys, clockDespiteStamps, Keyset.AcceptClock)
}

// PreviewAcceptClock is the keyset as AcceptClock would make it. It commits nothing.
func (r *Ring) PreviewAcceptClock() (Keyset, error) {
	return r.preview(clockDespiteStamps, Keyset.AcceptClock)
}

// Preview applies a decision to the keyset as it was last read and commits nothing.
func (r *Ring) Preview(decide func(ks Keyset, now time.Time, in StepInput) (Keyset, Effect, error)) (Keyset, error) {
	return r.preview(clockTrusted, decide)
}

// PreviewRevocation is the keyset as Revoke would make it. It commits nothing.
func (r *Ring) PreviewRevocation(kid string, req StepRequest) (Keyset, error) {
	return r.preview(clockAny, revocation(kid, req))
}

func (r *Ring) preview(rule clockRule, decide decision) (Keyset, error) {
	v := r.view.Load()
	if r.reader {
		return v.ks, ErrReader
	}
	fresh, err := r.spare.getOrGenerate(v.ks.Policy, r.generate)
	if err != nil {
		return v.ks, err
	}
	next, _, _, err := r.decide(v, fresh.Public(), rule, decide)
	return next, err
}
