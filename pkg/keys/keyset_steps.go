package keys

import (
	"slices"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// draft is a keyset while one decision changes it: one reading of the clock, and the
// changes so far.
type draft struct {
	ks     Keyset
	now    time.Time
	safe   time.Time // not later than the true time; now, unless the clock cannot be trusted
	effect Effect
}

func (ks Keyset) draft(now time.Time) *draft {
	ks.Keys = append(make([]Key, 0, len(ks.Keys)+1), ks.Keys...) // a step adds at most one key
	ks.History = slices.Clone(ks.History)
	return &draft{ks: ks, now: now, safe: now}
}

// finish returns the result. A keyset that was not changed keeps its version.
func (d *draft) finish() (Keyset, Effect) {
	if !d.effect.Empty() {
		d.ks.Version++
		d.ks.ChangedAt = latest(d.ks.ChangedAt, d.now)
	}
	return d.ks, d.effect
}

func (d *draft) addEvent(s Step, kid string) {
	d.effect.Events = append(d.effect.Events, Event{Step: s, KeyID: kid, At: d.now})
}

// key returns the pending, active or retired key kid, nil if there is none.
func (d *draft) key(kid string) *Key {
	for i := range d.ks.Keys {
		if d.ks.Keys[i].KeyID() == kid {
			return &d.ks.Keys[i]
		}
	}
	return nil
}

// readyAt is the time from which a key that is published now may sign. A process
// that has not read the new document may serve the old one for D, and every cache
// drops the old one within 2M after that.
func (d *draft) readyAt() time.Time {
	p := d.ks.Policy
	return latest(d.now.Add(p.MaxStaleness+2*p.JWKSMaxAge+p.ClockSkew), d.ks.DocsUntil)
}

// publish adds the next pending key.
func (d *draft) publish(fresh jwk.PublicKey) {
	d.addKey(Key{JWK: fresh, CreatedAt: d.now, ReadyAt: d.readyAt()})
	d.addEvent(StepPublish, fresh.KeyID())
}

func (d *draft) addKey(k Key) {
	d.ks.Keys = append(d.ks.Keys, k)
	d.effect.Put = append(d.effect.Put, k.KeyID())
}

// rotate retires the active key and activates the key kid.
func (d *draft) rotate(kid string) {
	d.retire(d.ks.Active().KeyID())
	d.activate(kid)
}

// retire ends a key's signing. A process that has not read the new document may sign
// with the key for D, and a token of that process is valid for T after that.
func (d *draft) retire(kid string) {
	k, p := d.key(kid), d.ks.Policy
	k.RetiredAt = d.now
	k.DestroyAt = latest(d.now.Add(p.MaxStaleness+p.ClockSkew), d.ks.ActsUntil)
	k.ExpiresAt = latest(d.now.Add(p.MaxStaleness+p.TokenTTL+2*p.ClockSkew), d.ks.TokensUntil).Add(p.Leeway)
}

func (d *draft) activate(kid string) {
	k := d.key(kid)
	k.ActiveAt = d.now
	k.Forced = d.safe.Before(k.ReadyAt)
	d.addEvent(StepActivate, kid)
}

// destroy deletes the private key of a retired key.
func (d *draft) destroy(kid string) {
	d.key(kid).DestroyedAt = d.now
	d.effect.Delete = append(d.effect.Delete, kid)
	d.addEvent(StepDestroy, kid)
}

// expire moves a retired key to the history.
func (d *draft) expire(kid string) {
	if k := d.key(kid); k.DestroyedAt.IsZero() {
		d.destroy(kid)
	}
	d.moveToHistory(kid)
	d.addEvent(StepExpire, kid)
}

// moveToHistory moves a key that is no longer published to the history. A history
// that is too long loses its oldest expired key first and a revoked key only if it
// has no expired one; it never loses an imported key.
func (d *draft) moveToHistory(kid string) {
	d.ks.History = slices.Insert(d.ks.History, 0, *d.key(kid))
	d.ks.Keys = slices.DeleteFunc(d.ks.Keys, func(k Key) bool { return k.KeyID() == kid })
	d.trimHistory()
}

func (d *draft) trimHistory() {
	for len(d.ks.History) > maxHistory {
		i := d.leastNeeded()
		if i < 0 {
			return
		}
		d.ks.History = slices.Delete(d.ks.History, i, i+1)
	}
}

// leastNeeded is the index of the key that the history drops next, -1 if there is
// none.
func (d *draft) leastNeeded() int {
	revoked := -1
	for i, k := range slices.Backward(d.ks.History) {
		switch {
		case k.Imported:
		case k.RevokedAt.IsZero():
			return i
		case revoked < 0:
			revoked = i
		}
	}
	return revoked
}

// discard removes a key that never signed. It may leave at once, because no token
// names it.
func (d *draft) discard(kid, reason string) {
	k := d.key(kid)
	k.RetiredAt, k.DestroyedAt, k.ExpiresAt, k.Reason = d.now, d.now, d.now, reason
	d.effect.Delete = append(d.effect.Delete, kid)
	d.moveToHistory(kid)
	d.addEvent(StepExpire, kid)
}

// replaceSpecimen makes the specimen match the policy. It returns the new key if it
// did not use it.
func (d *draft) replaceSpecimen(fresh jwk.PublicKey) jwk.PublicKey {
	if d.ks.Policy.ExpiredTokens && fresh.KeyID() == "" {
		return fresh
	}
	if old := d.ks.Specimen; old != nil {
		d.effect.Delete = append(d.effect.Delete, old.KeyID())
		d.ks.Specimen = nil
		d.addEvent(StepDestroy, old.KeyID())
	}
	if !d.ks.Policy.ExpiredTokens {
		return fresh
	}
	kid := fresh.KeyID()
	d.ks.Specimen = &Key{JWK: fresh, CreatedAt: d.now, RetiredAt: d.now, ExpiresAt: d.now}
	d.effect.Put = append(d.effect.Put, kid)
	d.addEvent(StepSpecimen, kid)
	return jwk.PublicKey{}
}

// createKeyset is the first version of a keyset: an active key and a pending one,
// which may become active at once, because every document ever published has it.
func createKeyset(p Policy, sealingKey string, now time.Time, active, pending jwk.PublicKey) (Keyset, Effect) {
	d := Keyset{Schema: schema, ID: active.KeyID(), SealingKey: sealingKey, Policy: p}.draft(now)
	d.addKey(Key{JWK: active, CreatedAt: now, ReadyAt: now, ActiveAt: now})
	d.addKey(Key{JWK: pending, CreatedAt: now, ReadyAt: now})
	d.addEvent(StepCreate, active.KeyID())
	return d.finish()
}
