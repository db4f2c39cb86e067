package simulation

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

var searchWhole = flag.Bool("search.whole", false, "allow one write more in each search, which takes ten times as long")

// TestSearch goes through every course that a tiny world can take, so that a
// small counter-example cannot hide behind luck. Time goes in ticks of one
// second. There are two processes, whose clocks differ by one tick (e/2), writes
// that land at once or one tick (e/2) later, and the worst cache. In each tick each process may refresh, step, or carry out an order, as long
// as there are some left; and it signs and publishes whenever it may, since that
// can only make things worse.
//
// States that differ only in what has passed are one state. So the search ends
// by itself, and each world is followed until all that it did is past.
func TestSearch(t *testing.T) {
	second := func(n time.Duration) time.Duration { return n * time.Second }
	policy := func(r, d, m, tt time.Duration) keys.Policy {
		p, err := keys.NewPolicy(keys.Settings{
			RotationInterval: second(r), MaxStaleness: second(d), JWKSMaxAge: second(m), TokenTTL: second(tt),
			Leeway: second(1), ClockSkew: second(2),
			Algorithm: jwk.EdDSA, Issuer: "https://issuer.example", ExpiredTokens: new(bool),
		})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	more := -1
	if *searchWhole && !raceEnabled { // the search is one goroutine: a small one shows as much of a race
		more = 0
	}
	small, large := policy(7, 1, 1, 1), policy(10, 2, 2, 2)
	for _, tt := range []struct {
		name                                string
		start, other                        keys.Policy
		rotations, changes, revokes, writes int
	}{
		{"rotations", small, small, 2, 0, 0, 3 + more},
		{"a rotation and a revocation", small, small, 1, 0, 1, 2 + more},
		{"a rotation, and a policy that grows", small, large, 1, 1, 0, 2 + more},
		{"a rotation, and a policy that shrinks", large, small, 1, 1, 0, 2 + more},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSearch(t, tt.start, tt.other)
			for _, offsets := range [][2]int{{0, 1}, {1, 0}} {
				s.from(budget{tt.rotations, tt.changes, tt.revokes, tt.writes}, offsets)
			}
			t.Logf("%d states", len(s.seen))
		})
	}
}

// search goes breadth first, so that the first trace that it finds is a
// shortest one.
type search struct {
	t        *testing.T
	policies [2]keys.Policy
	pool     []jwk.PublicKey
	index    map[string]int // of the pool, by kid
	seen     map[fingerprint]step
}

type fingerprint [16]byte

// step is how a state was reached first.
type step struct {
	from fingerprint
	move
}

// move is one thing that happens.
type move struct {
	now, process int8
	what         what
	late         bool
}

type what int8

const (
	starts what = iota
	waits
	refreshes
	steps
	rotates
	changes
	revokes
)

func (m move) String() string {
	text := [...]string{
		"starts", "waits", "refreshes", "steps", "rotates", "changes the policy", "revokes the active key",
	}[m.what]
	if m.late {
		text += ", which lands a tick later"
	}
	return fmt.Sprintf("%d: process %d %s", m.now, m.process, text)
}

// budget is what may still be ordered, and how many writes there may be,
// timed ones included.
type budget struct{ rotations, changes, revokes, writes int }

// state is a moment of the tiny world. All times are in ticks.
type state struct {
	now     int
	doc     *keys.Keyset
	views   [2]*keys.Keyset
	ages    [2]int // since a process confirmed its view
	offsets [2]int // of the clocks
	lacking int    // until when a set may be held that lacks a key not yet made
	keys    []mark // by their index in the pool
	flight  *landing
	left    budget
	policy  int // which one counts
}

// mark is what a key has left behind.
type mark struct {
	lacking int // until when a set without it may be held
	dies    int // when its last token is over, leeway included; 0 for none
	bound   int // once revoked, until when it may be served
	revoked bool
}

// landing is a write on its way.
type landing struct {
	doc    *keys.Keyset
	at, by int
	policy int
}

func (st *state) at(p int) time.Time { return tick(st.now + st.offsets[p]) }

func tick(n int) time.Time { return epoch.Add(time.Duration(n) * time.Second) }

func ticks(t time.Time) int { return int(t.Sub(epoch) / time.Second) }

func seconds(d time.Duration) int { return int(d / time.Second) }

func newSearch(t *testing.T, start, other keys.Policy) *search {
	s := &search{t: t, policies: [2]keys.Policy{start, other}, index: map[string]int{}, seen: map[fingerprint]step{}}
	for i, k := range readyMade().eddsa {
		s.pool = append(s.pool, k.Public())
		s.index[k.KeyID()] = i
	}
	return s
}

func (s *search) from(left budget, offsets [2]int) {
	a, b := s.pool[0], s.pool[1]
	doc := &keys.Keyset{
		Schema: 1, ID: a.KeyID(), Version: 1, ChangedAt: tick(0), SealingKey: "search", Policy: s.policies[0],
		Keys: []keys.Key{
			{JWK: a, CreatedAt: tick(0), ReadyAt: tick(0), ActiveAt: tick(0)},
			{JWK: b, CreatedAt: tick(0), ReadyAt: tick(0)},
		},
	}
	first := state{doc: doc, views: [2]*keys.Keyset{doc, doc}, offsets: offsets, keys: make([]mark, 2), left: left}
	frontier := s.visit(first, step{}, nil)
	for len(frontier) > 0 {
		var next []state
		for _, st := range frontier {
			from := s.fingerprint(&st)
			s.moves(st, func(after state, m move) { next = s.visit(after, step{from, m}, next) })
		}
		frontier = next
	}
}

// visit adds a state to those that are gone through next, if it is a new one.
func (s *search) visit(st state, how step, next []state) []state {
	mark := s.fingerprint(&st)
	if _, ok := s.seen[mark]; ok {
		return next
	}
	s.seen[mark] = how
	if broken := s.look(&st); broken != "" {
		var path []string
		for how := s.seen[mark]; how.what != starts; how = s.seen[how.from] {
			path = append(path, how.String())
		}
		slices.Reverse(path)
		s.t.Fatalf("the search breaks invariant %s\nwith clocks that are off by %v:\n%s", broken, st.offsets, strings.Join(path, "\n"))
	}
	return append(next, st)
}

// look has both processes sign and publish if they may, and judges that.
func (s *search) look(st *state) (broken string) {
	st.keys = slices.Clone(st.keys)
	for p, view := range st.views {
		if st.ages[p] > seconds(view.Policy.MaxStaleness) {
			continue
		}
		var public kidset
		for _, k := range view.Public(st.at(p)) {
			public.add(s.index[k.KeyID()])
		}
		until := st.now + 2*seconds(view.Policy.JWKSMaxAge)
		st.lacking = max(st.lacking, until)
		for i := range st.keys {
			switch k := &st.keys[i]; {
			case public.has(i) && k.revoked && st.now > k.bound:
				return fmt.Sprintf("5: process %d serves a revoked key at %d, the bound was %d", p, st.now, k.bound)
			case !public.has(i) && k.dies > st.now:
				return fmt.Sprintf("1: process %d serves a set at %d that lacks key %d, whose tokens live until %d", p, st.now, i, k.dies)
			case !public.has(i):
				k.lacking = max(k.lacking, until)
			}
		}
		if broken := s.mint(st, p, view); broken != "" {
			return broken
		}
	}
	return ""
}

func (s *search) mint(st *state, p int, view *keys.Keyset) string {
	active := view.Active()
	k := &st.keys[s.index[active.KeyID()]]
	switch {
	case k.revoked:
		return ""
	case k.lacking > st.now:
		return fmt.Sprintf("1: process %d signs at %d with a key that a cache may lack until %d", p, st.now, k.lacking)
	case active.ActiveAt.Before(active.ReadyAt):
		return fmt.Sprintf("3: process %d signs at %d with a key that is not ready", p, st.now)
	}
	k.dies = max(k.dies, ticks(st.at(p).Add(view.Policy.TokenTTL+view.Policy.Leeway)))
	return ""
}

// moves are all that may happen next.
func (s *search) moves(st state, to func(after state, m move)) {
	to(s.pass(st), move{now: int8(st.now), what: waits})
	for p := range st.views {
		if st.ages[p] > 0 || st.views[p].Version != st.doc.Version {
			after := st
			after.views[p], after.ages[p] = st.doc, 0
			to(after, move{int8(st.now), int8(p), refreshes, false})
		}
		if st.left.writes > 0 && (st.flight == nil || st.flight.by != p) {
			s.act(st, p, to)
		}
	}
}

// act is what a process may do that changes the keyset. It reads it first.
func (s *search) act(st state, p int, to func(after state, m move)) {
	now := st.at(p)
	means := keys.StepInput{Fresh: s.pool[len(st.keys)], Opened: func(string) bool { return true }}
	st.views[p], st.ages[p] = st.doc, 0
	st.left.writes--
	try := func(what what, left budget, policy int, doc keys.Keyset, e keys.Effect) {
		if e.Empty() {
			return
		}
		after := st
		after.left = left
		landed := after
		s.land(&landed, landing{&doc, st.now, p, policy})
		to(landed, move{int8(st.now), int8(p), what, false})
		if st.flight == nil {
			after.flight = &landing{&doc, st.now + 1, p, policy}
			to(after, move{int8(st.now), int8(p), what, true})
		}
	}
	doc, e, _ := st.doc.Advance(now, means)
	try(steps, st.left, st.policy, doc, e)
	if left := st.left; left.rotations > 0 {
		left.rotations--
		doc, e, _ := st.doc.Rotate(now, means, keys.StepRequest{})
		try(rotates, left, st.policy, doc, e)
	}
	if left := st.left; left.changes > 0 {
		left.changes--
		doc, e, _ := st.doc.SetPolicy(now, s.policies[1-st.policy], means)
		try(changes, left, 1-st.policy, doc, e)
	}
	if left := st.left; left.revokes > 0 {
		left.revokes--
		doc, e, _ := st.doc.Revoke(now, st.doc.Active().KeyID(), means, keys.StepRequest{})
		try(revokes, left, st.policy, doc, e)
	}
}

// land commits a write, unless another was first.
func (s *search) land(st *state, f landing) {
	if f.doc.Version != st.doc.Version+1 {
		return
	}
	st.keys = slices.Clone(st.keys)
	for _, k := range f.doc.Keys {
		if s.index[k.KeyID()] == len(st.keys) {
			st.keys = append(st.keys, mark{lacking: st.lacking})
		}
	}
	for _, k := range f.doc.History {
		if m := &st.keys[s.index[k.KeyID()]]; !k.RevokedAt.IsZero() && !m.revoked {
			*m = mark{revoked: true, bound: ticks(f.doc.RevocationBounds(k.RevokedAt).Served)}
		}
	}
	st.doc, st.policy = f.doc, f.policy
	st.views[f.by], st.ages[f.by] = f.doc, 0
}

// pass lets a tick go by.
func (s *search) pass(st state) state {
	st.now++
	st.ages[0]++
	st.ages[1]++
	if f := st.flight; f != nil && f.at == st.now {
		st.flight = nil
		s.land(&st, *f)
	}
	return st
}

// fingerprint tells states apart that may have different futures: all times are
// taken from now, and what lies further back than anything reaches is past.
func (s *search) fingerprint(st *state) fingerprint {
	b := make([]byte, 0, 512)
	num := func(ns ...int) {
		for _, n := range ns {
			b = append(b, byte(n)) // no world here lives for more than 100 ticks
		}
	}
	past := func(n int) int { return max(n-st.now, -2) }
	at := func(t time.Time, least int) int {
		if t.IsZero() {
			return 127
		}
		return max(ticks(t)-st.now, least)
	}
	var ids [len(kidset{}) * 64]int // 0 for a key that is in no document which still counts
	named := 0
	doc := func(ks *keys.Keyset) {
		num(seconds(ks.Policy.MaxStaleness), at(ks.ActsUntil, -2), at(ks.DocsUntil, -2), at(ks.TokensUntil, -2), len(ks.Keys))
		for _, k := range ks.Keys {
			i := s.index[k.KeyID()]
			if ids[i] == 0 {
				named++
				ids[i] = named
			}
			num(ids[i], at(k.ReadyAt, -2), at(k.ActiveAt, -13), at(k.DestroyAt, -2), at(k.DestroyedAt, 0), at(k.ExpiresAt, -2))
		}
	}
	doc(st.doc)
	for p, v := range st.views {
		age := min(st.ages[p], seconds(v.Policy.MaxStaleness)+1)
		num(age, st.offsets[p])
		if v.Version != st.doc.Version && age <= seconds(v.Policy.MaxStaleness) {
			num(int(st.doc.Version - v.Version))
			doc(v)
		}
	}
	if f := st.flight; f != nil && f.doc.Version == st.doc.Version+1 {
		num(f.at-st.now, f.by, f.policy)
		doc(f.doc)
	}
	num(past(st.lacking), st.policy, st.left.rotations, st.left.changes, st.left.revokes, st.left.writes)
	for i, k := range st.keys {
		if ids[i] > 0 || past(k.dies) > 0 {
			num(ids[i], past(k.lacking), past(k.dies), past(k.bound))
		}
	}
	sum := sha256.Sum256(b)
	return fingerprint(sum[:16])
}
