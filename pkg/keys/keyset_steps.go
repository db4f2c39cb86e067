package keys

import (
	"slices"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// draft is a keyset in the middle of one decision: one reading of the clock,
// and what has been done so far.
type draft struct {
	ks     Keyset
	now    time.Time
	effect Effect
}

func (ks Keyset) draft(now time.Time) *draft {
	ks.Keys = append(make([]Key, 0, len(ks.Keys)+1), ks.Keys...) // with room for the next key
	ks.History = slices.Clone(ks.History)
	return &draft{ks: ks, now: now}
}

// done closes the decision. An unchanged keyset keeps its version.
func (d *draft) done() (Keyset, Effect) {
	if !d.effect.Empty() {
		d.ks.Version++
		d.ks.ChangedAt = latest(d.ks.ChangedAt, d.now)
	}
	return d.ks, d.effect
}

func (d *draft) record(s Step, kid string) {
	d.effect.Events = append(d.effect.Events, Event{Step: s, KeyID: kid, At: d.now})
}

func (d *draft) at(kid string) *Key {
	for i := range d.ks.Keys {
		if d.ks.Keys[i].KeyID() == kid {
			return &d.ks.Keys[i]
		}
	}
	return nil
}

// readyAt is from when a key that is published now may sign: whoever has not
// seen it yet serves the document without it for D, and every cache that may
// hold such a document drops it within 2M after that.
func (d *draft) readyAt() time.Time {
	p := d.ks.Policy
	return latest(d.now.Add(p.MaxStaleness+2*p.JWKSMaxAge+p.ClockSkew), d.ks.DocsUntil)
}

// publish adds the next pending key.
func (d *draft) publish(fresh jwk.PublicKey) {
	d.add(Key{JWK: fresh, CreatedAt: d.now, ReadyAt: d.readyAt()})
	d.record(StepPublish, fresh.KeyID())
}

func (d *draft) add(k Key) {
	d.ks.Keys = append(d.ks.Keys, k)
	d.effect.Put = append(d.effect.Put, k.KeyID())
}

// rotate makes the key kid the active one and retires the one that was.
func (d *draft) rotate(kid string) {
	d.retire(d.ks.Active().KeyID())
	d.activate(kid)
}

// retire ends a key's signing. Whoever has not seen that goes on signing with
// it for D, and its tokens live for T after that.
func (d *draft) retire(kid string) {
	k, p := d.at(kid), d.ks.Policy
	k.RetiredAt = d.now
	k.DestroyAt = latest(d.now.Add(p.MaxStaleness+p.ClockSkew), d.ks.ActsUntil)
	k.ExpiresAt = latest(d.now.Add(p.MaxStaleness+p.TokenTTL+2*p.ClockSkew), d.ks.TokensUntil).Add(p.Leeway)
}

func (d *draft) activate(kid string) {
	k := d.at(kid)
	k.ActiveAt = d.now
	k.Forced = d.now.Before(k.ReadyAt)
	d.record(StepActivate, kid)
}

// destroy deletes the private half of a retired key.
func (d *draft) destroy(kid string) {
	d.at(kid).DestroyedAt = d.now
	d.effect.Delete = append(d.effect.Delete, kid)
	d.record(StepDestroy, kid)
}

// expire moves a retired key into the history.
func (d *draft) expire(kid string) {
	if k := d.at(kid); k.DestroyedAt.IsZero() {
		d.destroy(kid)
	}
	d.bury(kid)
	d.record(StepExpire, kid)
}

// bury moves a key that is no longer published into the history, which forgets
// the oldest expired key first, a revoked one after those, an imported one never.
func (d *draft) bury(kid string) {
	d.ks.History = slices.Insert(d.ks.History, 0, *d.at(kid))
	d.ks.Keys = slices.DeleteFunc(d.ks.Keys, func(k Key) bool { return k.KeyID() == kid })
	d.trim()
}

// trim bounds the history.
func (d *draft) trim() {
	for len(d.ks.History) > maxHistory {
		i := d.forgettable()
		if i < 0 {
			return
		}
		d.ks.History = slices.Delete(d.ks.History, i, i+1)
	}
}

// forgettable is the key of the history that is missed least, -1 if there is none.
func (d *draft) forgettable() int {
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

// discard takes out a key that never signed. It needs no farewell: there is no
// token of it.
func (d *draft) discard(kid, reason string) {
	k := d.at(kid)
	k.RetiredAt, k.DestroyedAt, k.ExpiresAt, k.Reason = d.now, d.now, d.now, reason
	d.effect.Delete = append(d.effect.Delete, kid)
	d.bury(kid)
	d.record(StepExpire, kid)
}

// specimen brings the specimen in line with the policy and returns the fresh
// key if it did not use it.
func (d *draft) specimen(fresh jwk.PublicKey) jwk.PublicKey {
	if d.ks.Policy.ExpiredTokens && fresh.KeyID() == "" {
		return fresh
	}
	if old := d.ks.Specimen; old != nil {
		d.effect.Delete = append(d.effect.Delete, old.KeyID())
		d.ks.Specimen = nil
		d.record(StepDestroy, old.KeyID())
	}
	if !d.ks.Policy.ExpiredTokens {
		return fresh
	}
	kid := fresh.KeyID()
	d.ks.Specimen = &Key{JWK: fresh, CreatedAt: d.now, RetiredAt: d.now, ExpiresAt: d.now}
	d.effect.Put = append(d.effect.Put, kid)
	d.record(StepSpecimen, kid)
	return jwk.PublicKey{}
}

// found is the first version of a keyset: an active key and a pending one that
// may follow at once, since no cache holds any document without it.
func found(p Policy, sealingKey string, now time.Time, active, pending jwk.PublicKey) (Keyset, Effect) {
	d := Keyset{Schema: schema, ID: active.KeyID(), SealingKey: sealingKey, Policy: p}.draft(now)
	d.add(Key{JWK: active, CreatedAt: now, ReadyAt: now, ActiveAt: now})
	d.add(Key{JWK: pending, CreatedAt: now, ReadyAt: now})
	d.record(StepCreate, active.KeyID())
	return d.done()
}
