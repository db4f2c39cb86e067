//go:build soak

package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/remote"
	"github.com/jwksctl/jwksctl/pkg/token"
)

const issuer = "https://fleet.example"

// checker takes the part of every verifier. It keeps each JWK Set for as long as any
// compliant cache may, and holds every token that is valid against each of these sets.
type checker struct {
	leeway time.Duration // L

	mu       sync.Mutex
	tokens   []*mintedToken
	sets     []*cachedSet
	revoked  map[string]*revocation // by kid
	active   map[string]bool        // the kids that have signed a token
	newest   string                 // the kid that began to sign last
	row      row                    // of the scenario that runs
	problems []string               // of the scenario that runs
}

type mintedToken struct {
	compact, kid          string
	end                   time.Time // exp + L
	first, last, reported bool      // verified after it was minted, verified before its end, counted as unverifiable
}

// cachedSet is a JWK Set that a cache may still use.
type cachedSet struct {
	keys      []jwk.PublicKey
	kids      map[string]bool
	sent, end time.Time // when it was asked for, and when a cache must have dropped it
	reported  bool      // counted as late
}

// revocation is when a command revoked a key, and what it printed. The times are zero
// until it has ended.
type revocation struct {
	ended      time.Time
	served     time.Time // no process serves the key after this time
	cached     time.Time // no cache has it after this time
	lastServed time.Time // the newest request that was answered with it
}

func newChecker(leeway time.Duration) *checker {
	return &checker{leeway: leeway, revoked: map[string]*revocation{}, active: map[string]bool{}}
}

// minted takes a token that a server has minted.
func (c *checker) minted(body []byte) error {
	var answer struct{ Token, Kid string }
	if err := json.Unmarshal(body, &answer); err != nil {
		return err
	}
	var claims struct{ Exp int64 }
	if err := json.Unmarshal(token.Inspect(answer.Token).Claims, &claims); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.row.minted++
	if !c.active[answer.Kid] {
		c.active[answer.Kid], c.newest = true, answer.Kid
		c.row.activations++
	}
	c.tokens = append(c.tokens, &mintedToken{compact: answer.Token, kid: answer.Kid, end: time.Unix(claims.Exp, 0).Add(c.leeway)})
	return nil
}

var maxAge = regexp.MustCompile(`\bmax-age=(\d+)\b`)

// fetched takes a JWK Set. A shared cache may keep it for M from when it sent its
// request (RFC 9111, section 4.2.3), and a client that ignores Age for another M.
func (c *checker) fetched(body []byte, header http.Header, sent time.Time) error {
	set, problems, err := jwk.ParseSet(body)
	if err != nil {
		return err
	}
	if len(problems) > 0 || len(set.Keys) == 0 {
		return fmt.Errorf("a JWK Set of %d keys and the problems %v", len(set.Keys), problems)
	}
	m := maxAge.FindStringSubmatch(header.Get("Cache-Control"))
	if m == nil {
		return fmt.Errorf("a JWK Set without max-age: %q", header.Get("Cache-Control"))
	}
	seconds, err := strconv.Atoi(m[1])
	if err != nil {
		return err
	}
	cached := &cachedSet{keys: set.Keys, kids: map[string]bool{}, sent: sent, end: sent.Add(2 * time.Duration(seconds) * time.Second)}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range set.Keys {
		if k.KeyID() != k.Thumbprint() {
			return fmt.Errorf("kid %s is not the thumbprint %s: two keys could have it", k.KeyID(), k.Thumbprint())
		}
		cached.kids[k.KeyID()] = true
		if r := c.revoked[k.KeyID()]; r != nil && sent.After(r.lastServed) {
			r.lastServed = sent
		}
	}
	c.row.sets++
	c.sets = append(c.sets, cached)
	return nil
}

// revoking says that a command is about to revoke a key: its tokens need not verify
// from now on.
func (c *checker) revoking(kid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.revoked[kid] == nil {
		c.revoked[kid] = &revocation{}
	}
}

// wasRevoked takes the times that the command has printed.
func (c *checker) wasRevoked(kid string, served, cached time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.revoked[kid]
	r.ended, r.served, r.cached = time.Now(), served, cached
	c.row.revocations++
}

// check holds the tokens that are valid now against the sets that a cache may use now.
func (c *checker) check() {
	c.mu.Lock()
	now := time.Now()
	c.sets = slices.DeleteFunc(c.sets, func(s *cachedSet) bool { return now.After(s.end) })
	c.tokens = slices.DeleteFunc(c.tokens, func(t *mintedToken) bool { return now.After(t.end) })
	byKid := map[string][]*mintedToken{}
	for _, t := range c.tokens {
		if c.revoked[t.kid] == nil {
			byKid[t.kid] = append(byKid[t.kid], t)
		}
	}
	for _, set := range c.sets {
		for kid, tokens := range byKid {
			if !set.kids[kid] {
				c.unverifiable("no key "+kid, set, tokens...)
			}
		}
		for kid := range set.kids {
			c.checkBounds(kid, set)
		}
	}
	verify := c.pairs(now, byKid)
	c.mu.Unlock()
	for _, p := range verify {
		c.verify(p)
	}
}

// checkBounds checks that a set has no key that it may not have any more.
func (c *checker) checkBounds(kid string, set *cachedSet) {
	r := c.revoked[kid]
	if r == nil || r.ended.IsZero() || set.reported || !set.sent.After(r.served) && !set.end.After(r.cached) {
		return
	}
	set.reported = true
	c.row.servedLate++
	c.problem("key %s, which nobody serves after %v and no cache has after %v, was in a set that was asked for at %v and may be cached until %v",
		kid, r.served, r.cached, set.sent, set.end)
}

// pair is a token and the set that a verifier has.
type pair struct {
	token *mintedToken
	set   *cachedSet
}

// pairs chooses what to verify. A signature is verified twice, because all sets that
// have a kid have the same key: the oldest set must have the key of a new token, and
// the newest set must still have the key of a token that is about to expire.
func (c *checker) pairs(now time.Time, byKid map[string][]*mintedToken) (verify []pair) {
	if len(c.sets) == 0 {
		return nil
	}
	byAge := func(a, b *cachedSet) int { return a.sent.Compare(b.sent) }
	oldest, newest := slices.MinFunc(c.sets, byAge), slices.MaxFunc(c.sets, byAge)
	for _, tokens := range byKid {
		for _, t := range tokens {
			if !t.first {
				t.first = true
				verify = append(verify, pair{t, oldest})
			}
			if !t.last && t.end.Sub(now) < time.Second {
				t.last = true
				verify = append(verify, pair{t, newest})
			}
		}
	}
	return verify
}

func (c *checker) verify(p pair) {
	v := token.Verifier{Keys: remote.Static{Set: jwk.Set{Keys: p.set.keys}}, Issuer: []string{issuer}, Leeway: c.leeway}
	_, err := v.Verify(context.Background(), p.token.compact)
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.row.verified++
	case now.Before(p.token.end) && now.Before(p.set.end) && c.revoked[p.token.kid] == nil:
		c.unverifiable(err.Error(), p.set, p.token)
	}
}

// unverifiable counts tokens that a compliant verifier rejects.
func (c *checker) unverifiable(why string, set *cachedSet, tokens ...*mintedToken) {
	for _, t := range tokens {
		if t.reported {
			continue
		}
		t.reported = true
		c.row.unverifiable++
		c.problem("a token of %s that is valid until %v and a set that was asked for at %v and may be cached until %v: %s", t.kid, t.end, set.sent, set.end, why)
	}
}

func (c *checker) problem(format string, args ...any) {
	c.problems = append(c.problems, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// report adds a problem that was found elsewhere.
func (c *checker) report(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.problem("%v", err)
}

// count changes the row of the scenario that runs.
func (c *checker) count(change func(*row)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.row)
}

// current returns the row of the scenario that runs.
func (c *checker) current() row {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.row
}

// newestKid is the kid that began to sign last.
func (c *checker) newestKid() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newest
}

// isRevoked reports whether a command has revoked a key, or tries to.
func (c *checker) isRevoked(kid string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.revoked[kid] != nil
}

// untilForgotten is how long caches may have keys that were revoked.
func (c *checker) untilForgotten() (d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.revoked {
		d = max(d, time.Until(r.cached))
	}
	return d
}

// begin begins a scenario.
func (c *checker) begin(engine, scenario string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.row = row{engine: engine, scenario: scenario, begun: time.Now()}
}

// end ends a scenario, and returns its figures and what is wrong.
func (c *checker) end() (row, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.row
	r.took = time.Since(r.begun)
	for _, revoked := range c.revoked {
		if revoked.ended.After(r.begun) {
			r.gone = max(r.gone, revoked.lastServed.Sub(revoked.ended))
		}
	}
	problems := c.problems
	c.problems = nil
	if n := len(problems); n > 10 {
		problems = append(problems[:10:10], fmt.Sprintf("and %d more", n-10))
	}
	var errs []error
	for _, p := range problems {
		errs = append(errs, errors.New(p))
	}
	return r, errors.Join(errs...)
}
