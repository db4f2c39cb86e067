package keys

import (
	"slices"
	"time"
)

// AcceptClock takes now as right although the newest stamp of the document is later,
// because a clock that was far ahead wrote it. Until then no process takes a step.
//
// A time in the future at which something happened becomes now. A time at which
// something falls due, and that is nearer to the newest stamp than to now, becomes what
// it would be if its step were taken now, or stays as far behind or ahead of the newest
// stamp as it was, whichever is later. Nothing changes if no stamp is more than
// clock_skew ahead.
//
// It is sound if now is right and the other clock was ahead by more than twice the
// longest duration of the policies that it saw.
func (ks Keyset) AcceptClock(now time.Time, _ StepInput) (Keyset, Effect, error) {
	a := acceptance{now: now, newest: ks.ChangedAt}
	if a.newest.Sub(now) <= ks.Policy.ClockSkew {
		return ks, Effect{}, nil
	}
	d := ks.draft(now)
	d.ks.ChangedAt = now
	d.ks.ClockEpoch++
	p := ks.Policy
	d.ks.ActsUntil = a.due(ks.ActsUntil, now.Add(p.MaxStaleness+p.ClockSkew))
	d.ks.DocsUntil = a.due(ks.DocsUntil, d.ks.ActsUntil.Add(2*p.JWKSMaxAge))
	d.ks.TokensUntil = a.due(ks.TokensUntil, d.ks.ActsUntil.Add(p.TokenTTL+p.ClockSkew))
	for i := range d.ks.Keys {
		k := &d.ks.Keys[i]
		retired := d.ks.draft(now)
		retired.retire(k.KeyID())
		taken := retired.key(k.KeyID())
		k.ReadyAt = a.due(k.ReadyAt, d.readyAt())
		k.DestroyAt = a.due(k.DestroyAt, taken.DestroyAt)
		k.ExpiresAt = a.due(k.ExpiresAt, taken.ExpiresAt)
		a.events(k)
	}
	for i := range d.ks.History {
		a.gone(&d.ks.History[i])
	}
	d.ks.Writes = slices.Clone(ks.Writes)
	for i := range d.ks.Writes {
		w := &d.ks.Writes[i]
		w.Deadline, w.LandedAfter = a.past(w.Deadline), a.past(w.LandedAfter)
	}
	if ks.Specimen != nil {
		specimen := *ks.Specimen
		a.gone(&specimen)
		d.ks.Specimen = &specimen
	}
	d.addEvent(StepAcceptClock, "")
	next, effect := d.finish()
	return next, effect, nil
}

// withoutFuture is the same version of the keyset with the stamps as AcceptClock would
// move them.
func (ks Keyset) withoutFuture(now time.Time) Keyset {
	next, _, _ := ks.AcceptClock(now, StepInput{}) // it refuses nothing
	next.Version = ks.Version
	return next
}

// acceptance moves stamps from the future back.
type acceptance struct{ now, newest time.Time }

// past is t, or now if t is in the future.
func (a acceptance) past(t time.Time) time.Time {
	if t.After(a.now) {
		return a.now
	}
	return t
}

// due moves a time at which something falls due. taken is the time that the step would
// give it now.
func (a acceptance) due(t, taken time.Time) time.Time {
	if !t.After(taken) || t.Sub(a.now) <= a.newest.Sub(t) {
		return t
	}
	return earliest(t, latest(taken, a.now.Add(t.Sub(a.newest))))
}

// events moves the times at which something happened to a key.
func (a acceptance) events(k *Key) {
	for _, t := range []*time.Time{&k.CreatedAt, &k.ActiveAt, &k.RetiredAt, &k.DestroyedAt, &k.RevokedAt} {
		*t = a.past(*t)
	}
}

// gone moves the stamps of a key for which nothing falls due any more.
func (a acceptance) gone(k *Key) {
	a.events(k)
	k.ReadyAt, k.DestroyAt, k.ExpiresAt = a.past(k.ReadyAt), a.past(k.DestroyAt), a.past(k.ExpiresAt)
}
