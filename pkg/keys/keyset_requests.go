package keys

import (
	"fmt"
	"slices"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// StepRequest is what an operator says with a step that is asked for.
type StepRequest struct {
	Reason string // recorded with the key
	Force  bool   // overrides the gate; never the other guards
}

// Rotate makes the pending key sign now. It refuses while caches may lack that
// key, which Force overrides; Force also takes a fresh key where the pending one
// cannot be opened or is missing. The means must bring a fresh key.
func (ks Keyset) Rotate(now time.Time, m StepInput, o StepRequest) (Keyset, Effect, error) {
	if r := ks.room(now); r != nil {
		return ks, Effect{}, r
	}
	d := ks.draft(now)
	if r := d.takeOver(&m, o, func(next string) { d.rotate(next) }); r != nil {
		return ks, Effect{}, r
	}
	d.at(ks.Active().KeyID()).Reason = o.Reason
	d.publishFresh(m)
	next, effect := d.done()
	return next, effect, nil
}

// takeOver picks the key that signs next and has it take over: the pending one
// if the guards let it, a fresh one if the order is forced and there is no other.
func (d *draft) takeOver(m *StepInput, o StepRequest, by func(kid string)) *Refusal {
	pending, ok := d.ks.Pending()
	unreadable := m.openable(pending)
	switch {
	case ok && unreadable == nil:
		if r := pending.gate(d.now); r != nil && !o.Force {
			return r
		}
		by(pending.KeyID())
		return nil
	case !o.Force && ok:
		return unreadable
	case !o.Force || m.Fresh.KeyID() == "":
		return &Refusal{Guard: GuardStandby, Until: d.readyAt(), Text: fmt.Sprintf(
			"there is no pending key to take over; one that is published now can at %s", stamp(d.readyAt()))}
	}
	if ok {
		d.discard(pending.KeyID(), "its private half could not be opened")
	}
	d.publish(m.Fresh)
	by(m.Fresh.KeyID())
	m.Fresh = jwk.PublicKey{}
	return nil
}

// publishFresh publishes the next pending key, if the means still have one.
func (d *draft) publishFresh(m StepInput) {
	if _, ok := d.ks.Pending(); !ok && m.Fresh.KeyID() != "" {
		d.publish(m.Fresh)
	}
}

// Revoke pulls a key at once: out of the JWKS, its private half destroyed. If
// it was the active key, the pending one signs from the same commit; where that
// one is not ready it refuses, unless forced. A key that has left already is
// marked, so that refusals of its tokens name the reason. Revoking a revoked
// key changes nothing.
func (ks Keyset) Revoke(now time.Time, kid string, m StepInput, o StepRequest) (Keyset, Effect, error) {
	d := ks.draft(now)
	if i := slices.IndexFunc(d.ks.History, func(k Key) bool { return k.KeyID() == kid }); i >= 0 {
		if k := &d.ks.History[i]; k.RevokedAt.IsZero() {
			k.RevokedAt, k.Reason = now, o.Reason
			d.record(StepRevoke, kid)
		}
		next, effect := d.done()
		return next, effect, nil
	}
	k := d.at(kid)
	if k == nil {
		return ks, Effect{}, fmt.Errorf("%w: %s", ErrUnknownKey, kid)
	}
	if k.State(now) == Active {
		if r := d.takeOver(&m, o, d.activate); r != nil {
			return ks, Effect{}, r
		}
		k = d.at(kid) // taking over may have moved it
	}
	k.RevokedAt, k.Reason = now, o.Reason
	if k.DestroyedAt.IsZero() {
		k.DestroyedAt = now
	}
	d.effect.Delete = append(d.effect.Delete, kid)
	d.bury(kid)
	d.record(StepRevoke, kid)
	d.publishFresh(m)
	next, effect := d.done()
	return next, effect, nil
}

// Import makes a key from elsewhere, which the means must bring as the fresh
// one, the pending key in place of the one that was; that one never signed, so
// it may leave at once. The new one waits at the gate like any other. A kid that
// the keyset knows is refused: no kid comes back, and none has two lives.
func (ks Keyset) Import(now time.Time, m StepInput) (Keyset, Effect, error) {
	kid := m.Fresh.KeyID()
	if p, ok := ks.Pending(); ok && p.KeyID() == kid {
		return ks, Effect{}, nil
	}
	if ks.holds(kid) {
		return ks, Effect{}, &Refusal{Guard: GuardKnown, Text: fmt.Sprintf("the keyset knows key %s already; a kid has one life", kid)}
	}
	d := ks.draft(now)
	if p, ok := ks.Pending(); ok {
		d.discard(p.KeyID(), "replaced by an imported key")
	} else if r := ks.room(now); r != nil {
		return ks, Effect{}, r
	}
	d.publish(m.Fresh)
	d.at(kid).Imported = true
	d.record(StepImport, kid)
	next, effect := d.done()
	return next, effect, nil
}

// RevocationBounds says until when a key that is revoked at now may still be seen.
func (ks Keyset) RevocationBounds(now time.Time) RevocationBounds {
	p := ks.Policy
	served := latest(now.Add(p.MaxStaleness+p.ClockSkew), ks.ActsUntil)
	return RevocationBounds{
		Served:          served,
		Cached:          latest(served.Add(p.JWKSMaxAge), ks.DocsUntil),
		CachedWithNoAge: latest(served.Add(2*p.JWKSMaxAge), ks.DocsUntil),
	}
}

// RevocationBounds bounds the after-life of a revoked key in the worst case, a
// process that was cut off from the store just before.
type RevocationBounds struct {
	Served          time.Time `json:"served_until"`              // no process serves the key after this
	Cached          time.Time `json:"cached_until"`              // no compliant cache holds it after this
	CachedWithNoAge time.Time `json:"cached_until_ignoring_age"` // nor one whose readers ignore the Age header
}

// SetPolicy changes the policy. What may still happen under the old one is
// stamped, so that no later step forgets it. A pending key of another algorithm
// or size than the new policy makes is replaced: it never signed, so it may
// leave at once.
func (ks Keyset) SetPolicy(now time.Time, p Policy, m StepInput) (Keyset, Effect, error) {
	if err := p.validate(); err != nil {
		return ks, Effect{}, err
	}
	if p == ks.Policy {
		return ks, Effect{}, nil
	}
	d := ks.draft(now)
	was := ks.Policy
	d.ks.ActsUntil = latest(ks.ActsUntil, now.Add(was.MaxStaleness+was.ClockSkew))
	d.ks.DocsUntil = latest(ks.DocsUntil, d.ks.ActsUntil.Add(2*was.JWKSMaxAge))
	d.ks.TokensUntil = latest(ks.TokensUntil, d.ks.ActsUntil.Add(was.TokenTTL+was.ClockSkew))
	d.ks.Policy = p
	d.record(StepSetPolicy, "")
	otherKeys := p.Algorithm != was.Algorithm || p.KeySize != was.KeySize
	if k, ok := d.ks.Pending(); ok && otherKeys && !p.makes(k.JWK) {
		d.discard(k.KeyID(), fmt.Sprintf("replaced when the policy changed to %s", p.Algorithm))
		d.publishFresh(m)
	}
	next, effect := d.done()
	return next, effect, nil
}

// LeewayValidFrom is from when on verifiers may allow the policy's leeway. A longer
// one than before would revive tokens of keys that retired under the shorter
// one and left on time by it, so it has to wait until it cannot reach them.
func (ks Keyset) LeewayValidFrom(now time.Time) time.Time {
	from := now
	for _, k := range slices.Concat(ks.Keys, ks.History) {
		if !k.ActiveAt.IsZero() && !k.ExpiresAt.IsZero() && k.RevokedAt.IsZero() {
			from = latest(from, k.ExpiresAt.Add(ks.Policy.Leeway))
		}
	}
	return from
}
