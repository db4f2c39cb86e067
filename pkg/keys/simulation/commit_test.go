package simulation

import (
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// commit judges a new version when it lands.
func (c *checker) commit(by *process, doing action, ks keys.Keyset, change keys.Change) {
	w, was := c.world, c.newest()
	if ks.Version != uint64(len(c.versions))+1 {
		w.violate("6", "%s commits version %d after %d", by.name, ks.Version, len(c.versions))
	}
	c.appear(by, ks, change)
	this := version{Keyset: ks, landed: w.now}
	if was != nil {
		if this.policies = was.policies; was.Policy != ks.Policy {
			this.policies++
		}
	}
	c.versions = append(c.versions, this)
	if was != nil {
		c.stamps(by, *was, ks)
		c.turnover(by, doing, *was, ks, change)
	}
	if _, ok := ks.Pending(); !ok && was == nil {
		w.violate("the standby", "%s founds a keyset without a successor", by.name)
	}
	c.leave(by, was, ks)
	c.halves(by, ks)
	c.policyChanged(was, ks)
}

// appear takes the new version's stamps into the lives: invariants 2 and 6, and
// the rules that no specimen is published and that stamps only move later.
func (c *checker) appear(by *process, ks keys.Keyset, change keys.Change) {
	w := c.world
	active, pending := 0, 0
	for _, k := range ks.Keys {
		kid := k.KeyID()
		l, ok := c.lives[kid]
		if !ok {
			if change.Put[kid] == nil {
				w.violate("10", "%s publishes a key without its private half", by.name)
			}
			l = &life{index: len(c.order)}
			c.lives[kid] = l
			c.order = append(c.order, l)
		}
		if l.gone {
			w.violate("6", "%s brings %s back", by.name, l)
		}
		c.later(by, l, k)
		l.Key = k
		switch {
		case !k.RevokedAt.IsZero():
			w.violate("5", "%s leaves the revoked %s among the keys", by.name, l)
		case !k.RetiredAt.IsZero():
		case !k.ActiveAt.IsZero():
			active++
		default:
			pending++
		}
	}
	if active != 1 || pending > 1 {
		w.violate("2", "version %d has %d active and %d pending keys", ks.Version, active, pending)
	}
	for _, k := range ks.History {
		if l, ok := c.lives[k.KeyID()]; ok {
			c.later(by, l, k)
			l.Key = k
		}
	}
	if s := ks.Specimen; s != nil && c.lives[s.KeyID()] != nil {
		w.violate("the specimen", "it stands in the JWKS of version %d", ks.Version)
	}
}

// later holds the stamps to "written once".
func (c *checker) later(by *process, l *life, k keys.Key) {
	pairs := [][2]time.Time{
		{l.CreatedAt, k.CreatedAt},
		{l.ReadyAt, k.ReadyAt},
		{l.ActiveAt, k.ActiveAt},
		{l.RetiredAt, k.RetiredAt},
		{l.DestroyAt, k.DestroyAt},
		{l.DestroyedAt, k.DestroyedAt},
		{l.ExpiresAt, k.ExpiresAt},
		{l.RevokedAt, k.RevokedAt},
	}
	for i, p := range pairs {
		if !p[0].IsZero() && !p[1].Equal(p[0]) {
			c.world.violate("the stamps", "%s moves stamp %d of %s from %v to %v", by.name, i, l, since(p[0]), since(p[1]))
		}
	}
}

// stamps holds the document's own stamps to the same rule.
func (c *checker) stamps(by *process, was version, ks keys.Keyset) {
	if ks.ActsUntil.Before(was.ActsUntil) || ks.DocsUntil.Before(was.DocsUntil) || ks.TokensUntil.Before(was.TokensUntil) || ks.ChangedAt.Before(was.ChangedAt) {
		c.world.violate("the stamps", "%s moves a stamp of the document back", by.name)
	}
}

// turnover judges which key signs from this version on: invariants 3 and 10,
// the interval, and that nobody carries an order out twice.
func (c *checker) turnover(by *process, doing action, was version, ks keys.Keyset, change keys.Change) {
	w := c.world
	old, now := c.lives[was.Active().KeyID()], c.lives[ks.Active().KeyID()]
	if p, ok := was.Pending(); ok {
		c.discarded(by, doing, was, ks, p)
	}
	if old == now {
		return
	}
	old.signs, old.stopped, now.signs = false, w.now, true
	c.turns[doing.order]++
	switch kid := now.KeyID(); {
	case c.turns[doing.order] > 1 && doing.kind == doRotate:
		w.violate("the intent", "%s carries one order to rotate out twice", by.name)
	case now.Forced && !doing.force:
		w.violate("3", "%s forces %s without an order to", by.name, now)
	case now.ActiveAt.Before(now.ReadyAt) && !now.Forced:
		w.violate("3", "%s activates %s at %v, before %v", by.name, now, since(now.ActiveAt), since(now.ReadyAt))
	case !by.opened[kid] && change.Put[kid] == nil:
		w.violate("10", "%s activates %s, whose private half it could not open", by.name, now)
	case doing.kind == doStep && now.ActiveAt.Before(old.ActiveAt.Add(was.Policy.RotationInterval)):
		w.violate("the interval", "%s activates %s after %v; R is %v", by.name, now, now.ActiveAt.Sub(old.ActiveAt), was.Policy.RotationInterval)
	}
	if _, ok := ks.Pending(); !ok && doing.kind != doRevoke && !now.Forced {
		w.violate("the standby", "%s rotates to %s and publishes no successor in the same swap", by.name, now)
	}
	c.countTurnover(doing, now)
}

func (c *checker) countTurnover(doing action, now *life) {
	seen := c.world.seen
	if now.Forced {
		seen["forced steps"]++
	}
	seen["rotations"]++
	switch doing.kind {
	case doStep:
		seen["timed rotations"]++
	case doRotate:
		if c.lastTurn == doRotate {
			seen["two orders to rotate in a row"]++
		}
	default:
	}
	c.lastTurn = doing.kind
}

// discarded holds the pending key to its place: it makes way for a revocation,
// for another algorithm, for an imported key or for an order with force, and for
// nothing else.
func (c *checker) discarded(by *process, doing action, was version, ks keys.Keyset, pending keys.Key) {
	l := c.lives[pending.KeyID()]
	if holds(ks.Keys, pending.KeyID()) {
		return
	}
	if l.RevokedAt.IsZero() && was.Policy.Algorithm == ks.Policy.Algorithm && !doing.force && doing.kind != doImport {
		c.world.violate("10", "%s replaces the pending %s by itself", by.name, l)
	}
}

func holds(ks []keys.Key, kid string) bool {
	for _, k := range ks {
		if k.KeyID() == kid {
			return true
		}
	}
	return false
}

// leave judges the keys that are in the JWKS no more: invariants 4 and 5.
func (c *checker) leave(by *process, was *version, ks keys.Keyset) {
	w := c.world
	if len(c.versions) == 1 {
		c.lives[ks.Active().KeyID()].signs = true
	}
	for _, l := range c.order {
		if l.gone && l.revoked == !l.RevokedAt.IsZero() {
			continue
		}
		l.gone = !holds(ks.Keys, l.KeyID())
		switch {
		case !l.gone:
		case !l.RevokedAt.IsZero():
			b := ks.RevocationBounds(l.RevokedAt)
			l.revoked, l.bound = true, withdrawal{since(b.Served), since(b.Cached), since(b.CachedWithNoAge)}
			if was != nil {
				w.seen["revocations of "+string(stateIn(was.Keyset, l.KeyID(), w))+" keys"]++
			}
		case l.minted && w.now < l.dies+c.leeway:
			w.violate("4", "%s takes %s out, whose tokens live until %v", by.name, l, l.dies+c.leeway)
		}
	}
}

func stateIn(ks keys.Keyset, kid string, w *world) keys.State {
	for _, k := range ks.Sorted(epoch.Add(w.now)) {
		if k.KeyID() == kid {
			return k.State(epoch.Add(w.now))
		}
	}
	return ""
}

// halves holds the store to the document: the halves of keys that may sign are
// there, those of revoked and destroyed ones are not.
func (c *checker) halves(by *process, ks keys.Keyset) {
	w := c.world
	for _, l := range c.order {
		kid := l.KeyID()
		half := w.store.halves[kid] != nil
		switch {
		case half && (l.revoked || l.gone || !l.DestroyedAt.IsZero()):
			w.violate("the halves", "%s keeps the private half of %s, which is gone", by.name, l)
		case !half && !l.gone && l.DestroyedAt.IsZero() && !c.corrupted[kid]:
			w.violate("the halves", "%s destroys the private half of %s and does not say so", by.name, l)
		}
	}
	if n := len(ks.History); n > 64 {
		w.violate("the cap", "version %d remembers %d keys", ks.Version, n)
	}
}

// policyChanged takes note of what binds verifiers and clocks from now on.
func (c *checker) policyChanged(was *version, ks keys.Keyset) {
	c.lowerLeeway(ks.Policy.Leeway) // again, where two orders crossed
	c.world.lowerSkew(ks.Policy.ClockSkew)
	if l := ks.Policy.Leeway; l > c.leeway && l != c.nextLeeway {
		c.nextLeeway, c.leewayFrom = l, since(ks.LeewayValidFrom(ks.ChangedAt))
	}
	if was == nil || was.Policy == ks.Policy {
		return
	}
	c.world.seen.policyChange(was.Policy, ks.Policy)
	c.skew, c.skewFrom = ks.Policy.ClockSkew, c.world.now
	for _, k := range ks.Keys {
		c.skewFrom = max(c.skewFrom, since(k.ReadyAt), since(k.ExpiresAt))
	}
	c.skewFrom = max(c.skewFrom, since(ks.ActsUntil), since(ks.DocsUntil), since(ks.TokensUntil.Add(ks.Policy.Leeway))) + ks.Policy.ClockSkew
	for _, h := range c.world.hosts {
		if h.jump.Abs() < 2*ks.Policy.ClockSkew { // too small, by now, for anybody to notice
			h.setRight()
		}
	}
}

// reported judges an error that an operation ends with, if any: a step never
// makes a document that breaks the rules of one.
func (c *checker) reported(p *process, err error) {
	if err != nil && strings.Contains(err.Error(), "broken keyset") {
		c.world.violate("the document", "%s: %v", p.name, err)
	}
}

// done judges what a process reports of an order: a command is done
// only when a version contains its effect, and a refusal means that nothing
// was changed.
func (c *checker) done(p *process, a action, before version, kid string, err error) {
	w, now := c.world, c.newest()
	if err != nil {
		if isRefusal(err) && c.turns[p.doing.order] > 0 {
			w.violate("the intent", "%s was refused (%v) what it had carried out", p.name, err)
		}
		return
	}
	switch a.kind {
	case doRotate:
		if now.Active().KeyID() == kid {
			w.violate("the intent", "%s reports a rotation that did not happen", p.name)
		}
	case doRevoke:
		if !c.lives[kid].revoked {
			w.violate("5", "%s reports a revocation that did not happen", p.name)
		}
	case doImport:
		w.seen["imports"]++
		if c.lives[kid] == nil {
			w.violate("the intent", "%s reports an import that did not happen", p.name)
		}
	case doPolicy:
		for _, v := range c.versions[before.Version-1:] {
			if a.agrees(v.Policy) {
				return
			}
		}
		w.violate("the intent", "%s reports a policy that was never set", p.name)
	default:
	}
}
