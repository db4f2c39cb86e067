package keys

import (
	"fmt"
	"slices"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// StepRequest is what an operator adds when asking for a step.
type StepRequest struct {
	Reason string // recorded with the key
	Force  bool   // overrides the gate; never the other guards
}

// Rotate makes the pending key the active one now. It refuses while caches may lack
// that key, unless the request is forced. A forced rotation also takes the new key
// of the input if the pending key is missing or cannot be opened. The input must
// have a new key.
func (ks Keyset) Rotate(now time.Time, in StepInput, req StepRequest) (Keyset, Effect, error) {
	if r := ks.checkCap(now); r != nil {
		return ks, Effect{}, r
	}
	d := ks.draft(now)
	if r := d.takeOver(&in, req, d.rotate); r != nil {
		return ks, Effect{}, r
	}
	d.key(ks.Active().KeyID()).Reason = req.Reason
	d.publishFresh(in)
	next, effect := d.finish()
	return next, effect, nil
}

// takeOver chooses the key that signs next and passes it to activate: the pending
// key if the guards allow it; the new key of the input if the request is forced and
// the pending key is of no use.
func (d *draft) takeOver(in *StepInput, req StepRequest, activate func(kid string)) *Refusal {
	pending, ok := d.ks.Pending()
	unreadable := in.checkOpened(pending)
	switch {
	case ok && unreadable == nil:
		if r := pending.checkGate(d.safe); r != nil && !req.Force {
			return r
		}
		activate(pending.KeyID())
		return nil
	case !req.Force && ok:
		return unreadable
	case !req.Force || in.Fresh.KeyID() == "":
		return &Refusal{Guard: GuardStandby, Until: d.readyAt(), Text: fmt.Sprintf(
			"there is no pending key to take over; one that is published now can at %s", formatTime(d.readyAt()))}
	}
	if ok {
		d.discard(pending.KeyID(), "its private key could not be opened")
	}
	d.publish(in.Fresh)
	activate(in.Fresh.KeyID())
	in.Fresh = jwk.PublicKey{}
	return nil
}

// publishFresh publishes the new key of the input as the next pending one, if there
// is no pending key, the input still has one, and the clock can be trusted.
func (d *draft) publishFresh(in StepInput) {
	if _, ok := d.ks.Pending(); !ok && in.Fresh.KeyID() != "" && in.Safe.IsZero() {
		d.publish(in.Fresh)
	}
}

// Revoke removes a key from the JWKS at once and destroys its private key. If it was
// the active key, the pending one signs from the same commit; if that one is not
// ready, Revoke refuses unless the request is forced. A key that has left already is
// marked as revoked, so that refusals of its tokens name the reason. To revoke a
// revoked key changes nothing.
//
// A clock that cannot be trusted does not keep a key from being revoked; see
// StepInput.Safe.
func (ks Keyset) Revoke(now time.Time, kid string, in StepInput, req StepRequest) (Keyset, Effect, error) {
	d := ks.draft(now)
	d.safe = earliest(now, in.Safe)
	if i := slices.IndexFunc(d.ks.History, func(k Key) bool { return k.KeyID() == kid }); i >= 0 {
		if k := &d.ks.History[i]; k.RevokedAt.IsZero() {
			k.RevokedAt, k.Reason = now, req.Reason
			d.addEvent(StepRevoke, kid)
		}
		next, effect := d.finish()
		return next, effect, nil
	}
	k := d.key(kid)
	if k == nil {
		return ks, Effect{}, fmt.Errorf("%w: %s", ErrUnknownKey, kid)
	}
	if k.State(now) == Active {
		if r := d.takeOver(&in, req, d.activate); r != nil {
			return ks, Effect{}, r
		}
		k = d.key(kid) // takeOver may have moved it in memory
	}
	k.RevokedAt, k.Reason = now, req.Reason
	if k.DestroyedAt.IsZero() {
		k.DestroyedAt = now
	}
	d.effect.Delete = append(d.effect.Delete, kid)
	d.moveToHistory(kid)
	d.addEvent(StepRevoke, kid)
	d.publishFresh(in)
	next, effect := d.finish()
	return next, effect, nil
}

// Import makes a key that was generated elsewhere the pending key. The input has it
// as its new key. The previous pending key leaves at once, because it never signed.
// The imported key waits at the gate like any other. Import refuses a kid that is or
// was in the keyset.
func (ks Keyset) Import(now time.Time, in StepInput) (Keyset, Effect, error) {
	kid := in.Fresh.KeyID()
	if p, ok := ks.Pending(); ok && p.KeyID() == kid {
		return ks, Effect{}, nil
	}
	if ks.contains(kid) {
		return ks, Effect{}, &Refusal{Guard: GuardKnown, Text: fmt.Sprintf("key %s is or was in this keyset; a kid cannot be used again", kid)}
	}
	d := ks.draft(now)
	if p, ok := ks.Pending(); ok {
		d.discard(p.KeyID(), "replaced by an imported key")
	} else if r := ks.checkCap(now); r != nil {
		return ks, Effect{}, r
	}
	d.publish(in.Fresh)
	d.key(kid).Imported = true
	d.addEvent(StepImport, kid)
	next, effect := d.finish()
	return next, effect, nil
}

// SetPolicy changes the policy. It records the limits of what the old policy allowed
// in the three document stamps, which every later step respects. If the algorithm or
// the key size changes and the pending key does not match, that key is replaced. It
// may leave at once, because it never signed.
func (ks Keyset) SetPolicy(now time.Time, p Policy, in StepInput) (Keyset, Effect, error) {
	if err := p.validate(); err != nil {
		return ks, Effect{}, err
	}
	if p == ks.Policy {
		return ks, Effect{}, nil
	}
	d := ks.draft(now)
	old := ks.Policy
	d.ks.ActsUntil = latest(ks.ActsUntil, now.Add(old.MaxStaleness+old.ClockSkew))
	d.ks.DocsUntil = latest(ks.DocsUntil, d.ks.ActsUntil.Add(2*old.JWKSMaxAge))
	d.ks.TokensUntil = latest(ks.TokensUntil, d.ks.ActsUntil.Add(old.TokenTTL+old.ClockSkew))
	d.ks.Policy = p
	d.addEvent(StepSetPolicy, "")
	otherKeys := p.Algorithm != old.Algorithm || p.KeySize != old.KeySize
	if k, ok := d.ks.Pending(); ok && otherKeys && !p.matchesKey(k.JWK) {
		d.discard(k.KeyID(), fmt.Sprintf("replaced when the policy changed to %s", p.Algorithm))
		d.publishFresh(in)
	}
	next, effect := d.finish()
	return next, effect, nil
}
