package keys

import (
	"context"
	"fmt"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// Step takes every timed step that is due, until none is, or a guard holds the
// rest back. It makes the keys that it needs.
func (r *Ring) Step(ctx context.Context) error {
	needed := func(ks Keyset) bool { return due(ks.NewKeyNeededAt(), r.watch.read().wall) }
	for range attempts {
		var held []*Refusal
		var more bool
		err := r.change(ctx, r.made(needed),
			func(ks Keyset, now time.Time, m StepInput) (Keyset, Effect, error) {
				next, effect, refused := ks.Advance(now, m)
				held, more = refused, !effect.Empty() && due(next.Next(), now) // it may have made room
				return next, effect, nil
			})
		if err != nil {
			return err
		}
		if !more {
			return r.refused(refusals(held))
		}
	}
	return nil
}

func due(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

func always(Keyset) bool { return true }

func nothing(Keyset) (jwk.PrivateKey, error) { return jwk.PrivateKey{}, nil }

// Rotate retires the key that is active now and has its successor sign. It is
// done when that key is no longer active, whoever did it. The errors are
// *Refusal and ErrUnavailable.
func (r *Ring) Rotate(ctx context.Context, o StepRequest) error {
	from := r.Keyset().Active().KeyID()
	return r.change(ctx, r.made(always), func(ks Keyset, now time.Time, m StepInput) (Keyset, Effect, error) {
		if ks.Active().KeyID() != from {
			return ks, Effect{}, nil
		}
		return ks.Rotate(now, m, o)
	})
}

// Revoke pulls a key at once and then publishes a successor where one is
// missing. The errors are *Refusal, ErrUnknownKey and ErrUnavailable.
func (r *Ring) Revoke(ctx context.Context, kid string, o StepRequest) error {
	needed := func(ks Keyset) bool { // a forced take-over may have nothing else to fall back on
		return o.Force && ks.Active().KeyID() == kid
	}
	err := r.change(ctx, r.made(needed), func(ks Keyset, now time.Time, m StepInput) (Keyset, Effect, error) {
		return ks.Revoke(now, kid, m, o)
	})
	if err != nil {
		return err
	}
	// The revocation holds, whatever becomes of the successor: a later step of
	// any process makes up for it.
	if err := r.Step(ctx); err != nil {
		r.log.WarnContext(ctx, "the successor of a revoked key is not published yet", "reason", err.Error())
	}
	return nil
}

// Import makes a key from elsewhere the pending one; see Keyset.Import.
func (r *Ring) Import(ctx context.Context, key jwk.PrivateKey) error {
	return r.change(ctx, func(Keyset) (jwk.PrivateKey, error) { return key, nil }, Keyset.Import)
}

// Export returns the private half of the active or the pending key. The error is
// ErrUnreadable, or ErrUnknownKey for a key that has none any more.
func (r *Ring) Export(kid string) (jwk.PrivateKey, error) {
	h, ok := r.view.Load().halves[kid]
	switch {
	case !ok:
		return jwk.PrivateKey{}, fmt.Errorf("%w with a private half: %s", ErrUnknownKey, kid)
	case h.err != nil:
		return jwk.PrivateKey{}, fmt.Errorf("%w: key %s: %v", ErrUnreadable, kid, h.err)
	}
	return h.key, nil
}

// SetPolicy lays the settings over the policy and returns what that changed.
func (r *Ring) SetPolicy(ctx context.Context, s Settings) ([]Difference, error) {
	var changed []Difference
	err := r.change(ctx, nothing, func(ks Keyset, now time.Time, m StepInput) (Keyset, Effect, error) {
		p, err := ks.Policy.With(s)
		if err != nil {
			return ks, Effect{}, err
		}
		if diff := ks.Policy.Differences(p); len(diff) > 0 {
			changed = diff
		}
		return ks.SetPolicy(now, p, m)
	})
	return changed, err
}

// Preview puts a decision to the keyset as it was last read and commits nothing.
// The key that it would publish is made up.
func (r *Ring) Preview(decide func(ks Keyset, now time.Time, m StepInput) (Keyset, Effect, error)) (Keyset, error) {
	v, now := r.view.Load(), r.watch.read()
	if refusal := r.watch.trouble(now, v.ks, v.store); refusal != nil {
		return v.ks, refusal
	}
	fresh, err := r.spare.take(v.ks.Policy, r.generate)
	if err != nil {
		return v.ks, err
	}
	next, _, err := decide(v.ks, now.wall, StepInput{Fresh: fresh.Public(), Opened: v.openedHalf})
	return next, err
}

// Keyset is the newest document that the process has read.
func (r *Ring) Keyset() Keyset { return r.view.Load().ks }

// Policy is that of Keyset, which is large to hand over for each request.
func (r *Ring) Policy() Policy { return r.view.Load().ks.Policy }
