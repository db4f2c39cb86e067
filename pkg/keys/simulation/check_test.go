package simulation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// The checker knows what was really committed, minted and served, and by that
// judges the invariants, which a finding names by their number:
//
//	 1  a token is findable in every JWKS that a compliant cache may hold, until exp plus L
//	 2  each version has one active key, and processes disagree on it for D at most
//	 3  no key signs before its ready_at, unless by force
//	 4  no key leaves before the last token that it could have signed is dead
//	 5  nobody serves, and no cache holds, a revoked key beyond the bounds that are told
//	 6  one kid is one key for ever, none comes back, and versions only grow
//	 7  a JWKS holds the active key
//	 8  nobody acts on what is not committed
//	10  a private half that cannot be opened stops signing and is not replaced
//	11  what only reads never writes
//
// and rules of less weight by a name. (9, that nothing private is told, is for
// other tests.)
//
// It needs no caches to play through. A compliant cache may hold a JWK Set for
// max-age, and one whose reader ignores Age for twice that. So what matters of
// a set is until when somebody may hold it, and what matters of a key is until
// when a token of it lives. A key cannot be found in the overlap of "a set
// without it may be held" and "a token of it lives". Both begin in a moment at
// which the checker looks, and both only grow, so it is enough to compare them
// when a token is minted and when a set is served.
type checker struct {
	world    *world
	versions []version
	lives    map[string]*life
	order    []*life           // the lives, in the order in which the keys appeared
	held     map[kidset]period // what caches may hold

	leeway     time.Duration // what verifiers allow now
	nextLeeway time.Duration // what they allow from leewayFrom on, if that is more
	leewayFrom time.Duration

	skew     time.Duration // the clock_skew of the newest version
	skewFrom time.Duration // when nothing that was stamped under a lower one is left

	ended     context.Context // of who waits for nothing
	corrupted map[string]bool // the halves that somebody destroyed or garbled
	lastTurn  kind            // what changed the active key last
	turns     map[int]int     // how often each order changed the active key
}

// version is one committed document.
type version struct {
	keys.Keyset
	landed   time.Duration
	policies int // changed so far
}

// life is what the checker knows of a key.
type life struct {
	keys.Key               // as the newest version that names it has it
	index    int           // in kidset
	minted   bool          // a token was
	dies     time.Duration // when the last token is over, without leeway
	signs    bool          // it is the active key of the newest version
	stopped  time.Duration // when it ceased to be
	gone     bool          // it is in no JWKS of the newest version
	revoked  bool
	bound    withdrawal
}

type withdrawal struct{ served, cached, cachedNoAge time.Duration }

func (l *life) String() string { return fmt.Sprintf("K%d", l.index) }

// kidset is a set of keys by their index.
type kidset [3]uint64

func (s *kidset) add(i int)     { s[i/64] |= 1 << (i % 64) }
func (s kidset) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

// period is when a set was served last and until when a cache may hold it.
type period struct{ served, until time.Duration }

func newChecker(w *world, leeway time.Duration) *checker {
	ended, end := context.WithCancel(context.Background())
	end()
	return &checker{
		world: w, ended: ended, leeway: leeway, lives: map[string]*life{}, held: map[kidset]period{},
		corrupted: map[string]bool{}, turns: map[int]int{},
	}
}

func (c *checker) newest() *version {
	if len(c.versions) == 0 {
		return nil
	}
	return &c.versions[len(c.versions)-1]
}

func since(t time.Time) time.Duration { return t.Sub(epoch) }

// process judges what a process would do now: sign, publish, find keys.
func (c *checker) process(p *process) {
	ks := p.ring.Keyset()
	c.known(p, ks)
	c.specimen(p, ks)
	c.mint(p, ks)
	c.serve(p, ks)
	c.find(p, ks)
}

// known is invariant 8: what a process acts on was committed.
func (c *checker) known(p *process, ks keys.Keyset) {
	if ks.Version == 0 || int(ks.Version) > len(c.versions) {
		c.world.violate("8", "%s acts on version %d, which nobody committed", p.name, ks.Version)
	}
	stored := c.versions[ks.Version-1]
	if stored.Active().KeyID() != ks.Active().KeyID() || !stored.ChangedAt.Equal(ks.ChangedAt) || len(stored.Keys) != len(ks.Keys) {
		c.world.violate("8", "%s acts on a version %d that is not the committed one", p.name, ks.Version)
	}
	if ks.Version < p.highest {
		c.world.violate("6", "%s went back from version %d to %d", p.name, p.highest, ks.Version)
	}
	p.highest = ks.Version
}

// fence is what D bounds: nobody acts on what was not confirmed for D, by
// whichever clock says that it is longer. Whoever did act calls it.
func (c *checker) fence(p *process, does string) {
	now, d := p.host.moment(), p.ring.Keyset().Policy.MaxStaleness
	if age := max(now.wall.Sub(p.confirmed.wall), now.up-p.confirmed.up); age > d {
		c.world.violate("the fence", "%s %s %v after it asked the store, D is %v", p.name, does, age, d)
	}
}

// specimen judges a token that is signed as if by an expired key.
func (c *checker) specimen(p *process, ks keys.Keyset) {
	if ks.Specimen == nil {
		return
	}
	_, _, latest, err := p.ring.Specimen(0).SigningKey(c.ended)
	switch {
	case err != nil:
		return
	case !ks.Policy.ExpiredTokens:
		c.world.violate("the specimen", "%s signs with it, which the policy forbids", p.name)
	case latest.After(p.host.wall().Add(-time.Hour)):
		c.world.violate("the specimen", "%s signs a token that has not expired", p.name)
	}
	c.fence(p, "signs as if by an expired key")
	c.world.seen["specimens"]++
}

// mint judges a token that the process would mint now, to live as long as it may.
func (c *checker) mint(p *process, ks keys.Keyset) {
	w := c.world
	key, _, latest, err := p.ring.SigningKey(context.Background())
	if err != nil {
		c.refusesToSign(p, ks, err)
		return
	}
	c.fence(p, "signs")
	l, ok := c.lives[key.KeyID()]
	switch {
	case !ok:
		w.violate("8", "%s signs with a key that nobody committed", p.name)
	case l.ActiveAt.IsZero():
		w.violate("3", "%s signs with %s, which is not active in any version", p.name, l)
	case !l.signs && w.now-l.stopped > ks.Policy.MaxStaleness:
		w.violate("2", "%s signs with %s, which ceased to be active %v ago; D is %v", p.name, l, w.now-l.stopped, ks.Policy.MaxStaleness)
	case !p.opened[l.KeyID()]:
		w.violate("10", "%s signs with %s, whose private half it could not open", p.name, l)
	case l.revoked && w.now > l.bound.served:
		w.violate("5", "%s signs with %s, which was revoked; the bound was %v", p.name, l, l.bound.served)
	case w.store.halves[l.KeyID()] == nil && !c.corrupted[l.KeyID()] && !l.revoked && w.now-l.stopped < ks.Policy.MaxStaleness:
		w.violate("4", "%s signs with %s, whose private half is destroyed", p.name, l)
	}
	if l.revoked {
		return
	}
	w.seen.signed(c.newest().policies - c.versions[ks.Version-1].policies)
	if !l.Forced {
		for set, period := range c.held {
			if !set.has(l.index) && period.until > w.now {
				w.violate("1", "%s signs with %s; a set without it, served at %v, may be held until %v", p.name, l, period.served, period.until)
			}
		}
	}
	l.minted, l.dies = true, max(l.dies, since(latest))
}

// refusesToSign is invariant 10 from the other side: no false alarm.
func (c *checker) refusesToSign(p *process, ks keys.Keyset, err error) {
	switch {
	case errors.Is(err, keys.ErrStale):
		c.world.seen["stale processes"]++
	case errors.Is(err, keys.ErrUnreadable):
		c.world.seen["unreadable keys"]++
	}
	for kid := range p.ring.Status().Unreadable {
		if !c.corrupted[kid] {
			c.world.violate("10", "%s cries alarm over %s, whose private half is well", p.name, c.lives[kid])
		}
	}
	if errors.Is(err, keys.ErrUnreadable) && !c.corrupted[ks.Active().KeyID()] {
		c.world.violate("10", "%s does not sign with %s, whose private half is well: %v", p.name, c.lives[ks.Active().KeyID()], err)
	}
}

// serve judges the JWKS that the process would serve now.
func (c *checker) serve(p *process, ks keys.Keyset) {
	w := c.world
	pub, err := p.ring.Published()
	if err != nil {
		return
	}
	c.fence(p, "publishes")
	if pub != p.served {
		p.served, p.set = pub, c.set(p, pub)
	}
	if len(pub.Keys) == 0 || !p.set.has(c.lives[ks.Active().KeyID()].index) {
		w.violate("7", "%s serves a set without its active key", p.name)
	}
	if len(pub.Keys) > 16 {
		w.violate("the cap", "%s serves %d keys", p.name, len(pub.Keys))
	}
	for _, l := range c.order {
		switch has := p.set.has(l.index); {
		case has && l.revoked:
			c.servesRevoked(p, l, pub.MaxAge)
		case has:
			if !l.ExpiresAt.IsZero() && l.ExpiresAt.Equal(stampIn(ks, l.KeyID())) && w.now-since(l.ExpiresAt) > w.highestSkew() && p.ring.Status().Clock == nil {
				w.violate("the states", "%s serves %s, which expired at %v", p.name, l, since(l.ExpiresAt))
			}
		case l.minted && !l.revoked && w.now < l.dies+c.leeway:
			if l.Forced && w.now <= since(l.ReadyAt) {
				continue // the price of force, which the operator was told
			}
			w.violate("1", "%s serves a set without %s, whose tokens live until %v", p.name, l, l.dies+c.leeway)
		}
	}
	c.held[p.set] = period{w.now, max(c.held[p.set].until, w.now+2*pub.MaxAge)}
}

// stampIn is when a key expires as a process sees it.
func stampIn(ks keys.Keyset, kid string) time.Time {
	for _, k := range ks.Keys {
		if k.KeyID() == kid {
			return k.ExpiresAt
		}
	}
	return time.Time{}
}

func (c *checker) set(p *process, pub *keys.Publication) (set kidset) {
	for _, k := range pub.Keys {
		l, ok := c.lives[k.KeyID()]
		if !ok {
			c.world.violate("8", "%s serves a key that nobody committed", p.name)
		}
		set.add(l.index)
	}
	return set
}

// servesRevoked is invariant 5.
func (c *checker) servesRevoked(p *process, l *life, maxAge time.Duration) {
	now := c.world.now
	if now > l.bound.served || now+maxAge > l.bound.cached || now+2*maxAge > l.bound.cachedNoAge {
		c.world.violate("5", "%s serves %s, which is revoked, with max-age %v; the bounds were %v", p.name, l, maxAge, l.bound)
	}
	c.world.seen["revoked keys served in time"]++
}

// find is invariants 1 and 5 for a process that verifies by its own Ring.
func (c *checker) find(p *process, ks keys.Keyset) {
	if _, err := p.ring.Keys(c.ended, ""); err == nil {
		c.fence(p, "verifies")
	}
	for _, k := range ks.Keys {
		if k.ExpiresAt.IsZero() || c.world.now-since(k.ExpiresAt) <= c.world.highestSkew() || p.ring.Status().Clock != nil {
			continue
		}
		if found, err := p.ring.Keys(c.ended, k.KeyID()); err == nil && len(found) > 0 {
			c.world.violate("the states", "%s verifies with %s, which expired at %v", p.name, c.lives[k.KeyID()], since(k.ExpiresAt))
		}
	}
	for _, l := range c.order {
		if !l.minted || l.revoked || l.Forced || c.world.now >= l.dies+c.leeway {
			continue
		}
		found, err := p.ring.Keys(context.Background(), l.KeyID())
		if _, withdrawn := errors.AsType[*keys.WithdrawnError](err); withdrawn || (err == nil && len(found) == 0) {
			c.world.violate("1", "%s does not verify with %s (%v), whose tokens live until %v", p.name, l, err, l.dies+c.leeway)
		}
		break // the oldest is the first to be forgotten
	}
	for _, l := range slices.Backward(c.order) {
		if !l.revoked {
			continue
		}
		if found, err := p.ring.Keys(context.Background(), l.KeyID()); err == nil && len(found) > 0 && c.world.now > l.bound.served {
			c.world.violate("5", "%s would verify with %s, which is revoked; the bound was %v", p.name, l, l.bound.served)
		}
		return
	}
}

// adoptLeeway has the verifiers allow more once SetPolicy said that they may.
// No token that was dead may come to life by it and miss its key.
func (c *checker) adoptLeeway() {
	if c.nextLeeway <= c.leeway || c.world.now < c.leewayFrom {
		return
	}
	c.leeway = c.nextLeeway
	for _, l := range c.order {
		for set, period := range c.held {
			if l.minted && !l.revoked && !l.Forced && !set.has(l.index) && period.until > c.world.now && l.dies+c.leeway > c.world.now {
				c.world.violate("1", "a leeway of %v revives tokens of %s, and a set without it may be held until %v", c.leeway, l, period.until)
			}
		}
	}
}

// lowerLeeway has the verifiers allow less, which they must before the policy does.
func (c *checker) lowerLeeway(to time.Duration) {
	if to != 0 && to < c.leeway {
		c.leeway = to
	}
	if to != 0 {
		c.nextLeeway = min(c.nextLeeway, to)
	}
}

// describe is the newest version, for the trace.
func (c *checker) describe() string {
	v := c.newest()
	var b strings.Builder
	at := func(name string, t time.Time) {
		if !t.IsZero() {
			fmt.Fprintf(&b, " %s %.3f", name, since(t).Seconds())
		}
	}
	for _, k := range v.Keys {
		fmt.Fprintf(&b, "%s(%s", c.lives[k.KeyID()], k.State(v.ChangedAt))
		at("ready", k.ReadyAt)
		at("active", k.ActiveAt)
		at("retired", k.RetiredAt)
		at("destroy", k.DestroyAt)
		at("expires", k.ExpiresAt)
		b.WriteString(") ")
	}
	at("acts", v.ActsUntil)
	at("docs", v.DocsUntil)
	at("tokens", v.TokensUntil)
	return b.String()
}
