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

// invariant names one of the numbered invariants (see the package comment) or a rule
// without a number.
type invariant string

const (
	findable        invariant = "1 (findable)"
	oneActive       invariant = "2 (one active key)"
	gate            invariant = "3 (gate)"
	noEarlyRemoval  invariant = "4 (no early removal)"
	revocation      invariant = "5 (revocation)"
	identity        invariant = "6 (kids and versions)"
	activePublished invariant = "7 (active key is published)"
	committedOnly   invariant = "8 (committed only)"
	unreadableKeys  invariant = "10 (unreadable private keys)"
	readsDoNotWrite invariant = "11 (reads do not write)"

	fence         invariant = "(fence)"             // no process acts on a keyset that it has not confirmed for D
	clockFence    invariant = "(clock fence)"       // no process writes while its clock is wrong by more than e, except a revocation or a correction of late landings
	stamps        invariant = "(stamps)"            // a key's stamp is written once, or moved by the correction of a late landing; the document's only grow
	interval      invariant = "(rotation interval)" // the schedule lets a key sign for R
	successor     invariant = "(successor)"         // a step that activates a key publishes the next one
	intent        invariant = "(intent)"            // a command does what it reports, and does it once
	keyLimit      invariant = "(key limit)"         // 16 keys in the JWK Set, 64 in the history
	specimenOnly  invariant = "(specimen)"          // the specimen is not published and signs expired tokens only
	expiredKeys   invariant = "(expired keys)"      // no process publishes or uses a key long after expires_at
	validDocument invariant = "(document)"          // every document is valid
	sealing       invariant = "(sealing)"           // the private keys are sealed under the key that the document names, and a process finds that key if its host has it
	storedKeys    invariant = "(private keys)"      // the store has the private keys that the document says, and no others
)

// checker records what was committed, signed and published, and checks the invariants
// against that.
//
// It does not simulate caches one by one. A cache may have a JWK Set for max-age, and
// for twice that if its clients ignore Age. So the checker needs two times: until when a
// cache may have each set, and until when a token of each key is valid. A key cannot be
// found if a cache may have a set without it while a token of it is valid. Both times
// only grow, and only when a set is published or a token is signed, so it is enough to
// compare them then.
type checker struct {
	world    *world
	versions []version
	tracked  map[string]*trackedKey // by kid
	inOrder  []*trackedKey          // in the order in which the keys were published
	cached   map[keySet]cachedSet

	leeway     time.Duration // what verifiers allow now
	nextLeeway time.Duration // what they allow from leewayFrom on, if that is more
	leewayFrom time.Duration

	clockSkew     time.Duration // of the newest version
	clockSkewFrom time.Duration // after this, no stamp that was computed from a lower one counts

	moves time.Duration // by how long the version that is being committed may move stamps

	canceled    context.Context // for calls that must not wait
	damaged     map[string]bool // kids of the private keys that were damaged in the store
	activatedBy kind            // what changed the active key last
	activations map[int]int     // how often each operation changed the active key
}

// version is one committed document.
type version struct {
	keys.Keyset
	policyChanges int // up to this version
}

// trackedKey is what the checker knows about a key.
type trackedKey struct {
	keys.Key                    // from the newest version that has it
	index         int           // in a keySet
	signed        bool          // at least one token
	tokensEnd     time.Duration // when the last token expires, without leeway
	active        bool          // in the newest version
	deactivatedAt time.Duration
	removed       bool // the newest version does not publish it
	revoked       bool
	bounds        revocationBounds
}

// revocationBounds are keys.RevocationBounds in world time.
type revocationBounds struct{ served, cached, cachedNoAge time.Duration }

func (k *trackedKey) String() string { return fmt.Sprintf("K%d", k.index) }

// tokensValid reports whether a verifier still accepts a token of the key, which must be
// findable.
func (c *checker) tokensValid(k *trackedKey) bool {
	return k.signed && !k.revoked && c.world.now < k.tokensEnd+c.leeway
}

// keySet is a bit set of key indexes.
type keySet [3]uint64

func (s *keySet) add(i int)     { s[i/64] |= 1 << (i % 64) }
func (s keySet) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

// cachedSet says when a JWK Set was last published and until when a cache may have it.
type cachedSet struct{ published, until time.Duration }

func newChecker(w *world, leeway time.Duration) *checker {
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	return &checker{
		world: w, canceled: canceled, leeway: leeway, tracked: map[string]*trackedKey{}, cached: map[keySet]cachedSet{},
		damaged: map[string]bool{}, activations: map[int]int{},
	}
}

func (c *checker) newest() *version {
	if len(c.versions) == 0 {
		return nil
	}
	return &c.versions[len(c.versions)-1]
}

// since returns t in world time.
func since(t time.Time) time.Duration { return t.Sub(epoch) }

// check checks what a process would do now: sign, publish, look up keys.
func (c *checker) check(p *process) {
	ks := p.ring.Keyset()
	c.checkView(p, ks)
	c.checkSpecimen(p, ks)
	c.checkSigning(p, ks)
	c.checkPublishing(p, ks)
	c.checkLookups(p, ks)
}

// checkView checks invariant 8: the process acts on a committed version.
func (c *checker) checkView(p *process, ks keys.Keyset) {
	if ks.Version == 0 || int(ks.Version) > len(c.versions) {
		c.world.violate(committedOnly, "%s acts on version %d, which was never committed", p.name, ks.Version)
	}
	stored := c.versions[ks.Version-1]
	if stored.Active().KeyID() != ks.Active().KeyID() || !stored.ChangedAt.Equal(ks.ChangedAt) || len(stored.Keys) != len(ks.Keys) {
		c.world.violate(committedOnly, "%s acts on a version %d that differs from the committed one", p.name, ks.Version)
	}
	if ks.Version < p.version {
		c.world.violate(identity, "%s goes back from version %d to %d", p.name, p.version, ks.Version)
	}
	p.version = ks.Version
}

// checkFence checks, when a process has acted, that it had confirmed the keyset within
// D by both of its clocks.
func (c *checker) checkFence(p *process, acts string) {
	now, d := p.host.readClocks(), p.ring.Keyset().Policy.MaxStaleness
	if age := max(now.wall.Sub(p.confirmed.wall), now.uptime-p.confirmed.uptime); age > d {
		c.world.violate(fence, "%s %s %v after it last confirmed the keyset; D is %v", p.name, acts, age, d)
	}
}

// checkSpecimen checks that the specimen signs expired tokens only.
func (c *checker) checkSpecimen(p *process, ks keys.Keyset) {
	if ks.Specimen == nil {
		return
	}
	_, _, latest, err := p.ring.Specimen(0).SigningKey(c.canceled)
	switch {
	case err != nil:
		return
	case !ks.Policy.ExpiredTokens:
		c.world.violate(specimenOnly, "%s signs with the specimen, although the policy forbids it", p.name)
	case latest.After(p.host.wallClock().Add(-time.Hour)):
		c.world.violate(specimenOnly, "%s signs a token with the specimen that has not expired", p.name)
	}
	c.checkFence(p, "signs with the specimen")
	c.world.counters["specimens"]++
}

// checkSigning checks and records the longest token that the process would sign now.
func (c *checker) checkSigning(p *process, ks keys.Keyset) {
	w := c.world
	key, _, latest, err := p.ring.SigningKey(context.Background())
	if err != nil {
		c.checkSigningError(p, ks, err)
		return
	}
	c.checkFence(p, "signs")
	k, ok := c.tracked[key.KeyID()]
	switch {
	case !ok:
		w.violate(committedOnly, "%s signs with a key that was never committed", p.name)
	case k.ActiveAt.IsZero():
		w.violate(gate, "%s signs with %s, which is not active in any version", p.name, k)
	case !k.active && w.now-k.deactivatedAt > ks.Policy.MaxStaleness:
		w.violate(oneActive, "%s signs with %s, which has not been active for %v; D is %v", p.name, k, w.now-k.deactivatedAt, ks.Policy.MaxStaleness)
	case !p.privateKeys[k.KeyID()]:
		w.violate(unreadableKeys, "%s signs with %s, whose private key it could not open", p.name, k)
	case k.revoked && w.now > k.bounds.served:
		w.violate(revocation, "%s signs with the revoked %s; the bound was %v", p.name, k, k.bounds.served)
	case w.store.privateKeys[k.KeyID()] == nil && !c.damaged[k.KeyID()] && !k.revoked && w.now-k.deactivatedAt < ks.Policy.MaxStaleness:
		w.violate(noEarlyRemoval, "%s signs with %s, whose private key is already deleted", p.name, k)
	}
	if k.revoked {
		return
	}
	w.counters.signed(c.newest().policyChanges - c.versions[ks.Version-1].policyChanges)
	if !k.Forced {
		for set, s := range c.cached {
			if !set.has(k.index) && s.until > w.now {
				w.violate(findable, "%s signs with %s; a cache may have a set without it, published at %v, until %v", p.name, k, s.published, s.until)
			}
		}
	}
	k.signed, k.tokensEnd = true, max(k.tokensEnd, since(latest))
}

// checkSigningError checks that a process stops signing only because of a private key
// that is damaged, or sealed under a key that it does not have; checkSealingError checks the
// latter.
func (c *checker) checkSigningError(p *process, ks keys.Keyset, err error) {
	switch {
	case errors.Is(err, keys.ErrStale):
		c.world.counters["stale processes"]++
	case errors.Is(err, keys.ErrUnreadable):
		c.world.counters["unreadable keys"]++
	}
	unreadable := p.ring.Status().Unreadable
	for kid, reason := range unreadable {
		if !c.damaged[kid] && !errors.Is(reason, keys.ErrSealingKey) {
			c.world.violate(unreadableKeys, "%s reports that it cannot read the private key of %s, which is intact", p.name, c.tracked[kid])
		}
	}
	if active := ks.Active().KeyID(); errors.Is(err, keys.ErrUnreadable) && !c.damaged[active] && !errors.Is(unreadable[active], keys.ErrSealingKey) {
		c.world.violate(unreadableKeys, "%s does not sign with %s, whose private key is intact: %v", p.name, c.tracked[active], err)
	}
}

// checkPublishing checks and records the JWK Set that the process would publish now.
func (c *checker) checkPublishing(p *process, ks keys.Keyset) {
	w := c.world
	pub, err := p.ring.Published()
	if err != nil {
		return
	}
	c.checkFence(p, "publishes")
	if pub != p.served {
		p.served, p.servedKeys = pub, c.keysOf(p, pub)
	}
	if len(pub.Keys) == 0 || !p.servedKeys.has(c.tracked[ks.Active().KeyID()].index) {
		w.violate(activePublished, "%s publishes a set without its active key", p.name)
	}
	if len(pub.Keys) > 16 {
		w.violate(keyLimit, "%s publishes %d keys", p.name, len(pub.Keys))
	}
	for _, k := range c.inOrder {
		switch has := p.servedKeys.has(k.index); {
		case has && k.revoked:
			c.checkServedRevoked(p, k, pub.MaxAge)
		case has:
			if k.ExpiresAt.Equal(expiresAt(ks, k.KeyID())) && c.expiredLongAgo(p, k.ExpiresAt) {
				w.violate(expiredKeys, "%s publishes %s, which expired at %v", p.name, k, since(k.ExpiresAt))
			}
		case c.tokensValid(k):
			if k.Forced && w.now <= since(k.ReadyAt) {
				continue // the operator forced it and was warned
			}
			w.violate(findable, "%s publishes a set without %s, whose tokens are valid until %v", p.name, k, k.tokensEnd+c.leeway)
		}
	}
	c.cached[p.servedKeys] = cachedSet{w.now, max(c.cached[p.servedKeys].until, w.now+2*pub.MaxAge)}
}

// expiresAt returns a key's stamp in the keyset that a process has.
func expiresAt(ks keys.Keyset, kid string) time.Time {
	if i := indexOf(ks.Keys, kid); i >= 0 {
		return ks.Keys[i].ExpiresAt
	}
	return time.Time{}
}

func indexOf(ks []keys.Key, kid string) int {
	return slices.IndexFunc(ks, func(k keys.Key) bool { return k.KeyID() == kid })
}

// expiredLongAgo reports whether a process must know that a key has expired: its clock
// must read a later time and must not be distrusted.
func (c *checker) expiredLongAgo(p *process, expiresAt time.Time) bool {
	return !expiresAt.IsZero() && c.world.now-since(expiresAt) > c.world.highestClockSkew() && p.ring.Status().Clock == nil
}

func (c *checker) keysOf(p *process, pub *keys.Publication) (set keySet) {
	for _, published := range pub.Keys {
		k, ok := c.tracked[published.KeyID()]
		if !ok {
			c.world.violate(committedOnly, "%s publishes a key that was never committed", p.name)
		}
		set.add(k.index)
	}
	return set
}

func (c *checker) checkServedRevoked(p *process, k *trackedKey, maxAge time.Duration) {
	now := c.world.now
	if now > k.bounds.served || now+maxAge > k.bounds.cached || now+2*maxAge > k.bounds.cachedNoAge {
		c.world.violate(revocation, "%s publishes the revoked %s with max-age %v; the bounds were %+v", p.name, k, maxAge, k.bounds)
	}
	c.world.counters["revoked keys served within bounds"]++
}

// checkLookups checks a process that verifies tokens with the keys of its own Ring.
func (c *checker) checkLookups(p *process, ks keys.Keyset) {
	if _, err := p.ring.Keys(c.canceled, ""); err == nil {
		c.checkFence(p, "verifies")
	}
	for _, k := range ks.Keys {
		if !c.expiredLongAgo(p, k.ExpiresAt) {
			continue
		}
		if found, err := p.ring.Keys(c.canceled, k.KeyID()); err == nil && len(found) > 0 {
			c.world.violate(expiredKeys, "%s verifies with %s, which expired at %v", p.name, c.tracked[k.KeyID()], since(k.ExpiresAt))
		}
	}
	for _, k := range c.inOrder {
		if k.Forced || !c.tokensValid(k) {
			continue
		}
		found, err := p.ring.Keys(context.Background(), k.KeyID())
		if _, withdrawn := errors.AsType[*keys.WithdrawnError](err); withdrawn || (err == nil && len(found) == 0) {
			c.world.violate(findable, "%s does not verify with %s (%v), whose tokens are valid until %v", p.name, k, err, k.tokensEnd+c.leeway)
		}
		break // the oldest key is the first to leave
	}
	for _, k := range slices.Backward(c.inOrder) {
		if !k.revoked {
			continue
		}
		if found, err := p.ring.Keys(context.Background(), k.KeyID()); err == nil && len(found) > 0 && c.world.now > k.bounds.served {
			c.world.violate(revocation, "%s verifies with the revoked %s; the bound was %v", p.name, k, k.bounds.served)
		}
		return
	}
}

// raiseLeeway makes verifiers allow a longer leeway from the time that SetPolicy
// returned. A token that is valid again because of it must be findable.
func (c *checker) raiseLeeway() {
	if c.nextLeeway <= c.leeway || c.world.now < c.leewayFrom {
		return
	}
	c.leeway = c.nextLeeway
	for _, k := range c.inOrder {
		for set, s := range c.cached {
			if c.tokensValid(k) && !k.Forced && !set.has(k.index) && s.until > c.world.now {
				c.world.violate(findable, "with the longer leeway of %v, tokens of %s are valid again; a cache may have a set without it until %v", c.leeway, k, s.until)
			}
		}
	}
}

// lowerLeeway makes verifiers allow less. They must do so before the policy says so.
func (c *checker) lowerLeeway(to time.Duration) {
	if to != 0 && to < c.leeway {
		c.leeway = to
	}
	if to != 0 {
		c.nextLeeway = min(c.nextLeeway, to)
	}
}

// describe returns the keys and stamps of the newest version, for the trace.
func (c *checker) describe() string {
	v := c.newest()
	var b strings.Builder
	stamp := func(name string, t time.Time) {
		if !t.IsZero() {
			fmt.Fprintf(&b, " %s %.3f", name, since(t).Seconds())
		}
	}
	for _, k := range v.Keys {
		fmt.Fprintf(&b, "%s(%s", c.tracked[k.KeyID()], k.State(v.ChangedAt))
		stamp("ready", k.ReadyAt)
		stamp("active", k.ActiveAt)
		stamp("retired", k.RetiredAt)
		stamp("destroy", k.DestroyAt)
		stamp("expires", k.ExpiresAt)
		b.WriteString(") ")
	}
	stamp("acts", v.ActsUntil)
	stamp("docs", v.DocsUntil)
	stamp("tokens", v.TokensUntil)
	return b.String()
}
