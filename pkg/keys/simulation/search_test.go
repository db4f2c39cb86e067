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

// TestSearch visits every state that a very small world can reach. Time is counted in
// ticks of one second. Two processes have clocks that differ by one tick (e/2). A write
// takes effect at once or one tick (e/2) later. In each tick each process may refresh,
// take its timed step, or carry out a command, as long as the budget allows. Each
// process signs and publishes whenever it may, because that can only make more
// violations visible.
//
// Two states with the same future are one state (see fingerprint), so the search ends by
// itself, after the last token and the last cached set have expired.
func TestSearch(t *testing.T) {
	policy := func(interval, staleness, maxAge, ttl time.Duration) keys.Policy {
		settings := newSettings(ttl*time.Second, maxAge*time.Second, staleness*time.Second, time.Second, 2*time.Second)
		settings.RotationInterval = interval * time.Second
		p, err := keys.NewPolicy(settings)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	extra := 0
	if *searchWhole {
		extra = 1
	}
	small, large := policy(7, 1, 1, 1), policy(10, 2, 2, 2)
	for _, tt := range []struct {
		name         string
		start, other keys.Policy
		budget       budget
	}{
		{"rotations", small, small, budget{rotations: 2, writes: 2 + extra}},
		{"a rotation and a revocation", small, small, budget{rotations: 1, revocations: 1, writes: 1 + extra}},
		{"a rotation and a change to longer durations", small, large, budget{rotations: 1, policyChanges: 1, writes: 1 + extra}},
		{"a rotation and a change to shorter durations", large, small, budget{rotations: 1, policyChanges: 1, writes: 1 + extra}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSearch(t, tt.start, tt.other)
			for _, offsets := range [][2]int{{0, 1}, {1, 0}} {
				s.run(tt.budget, offsets)
			}
			t.Logf("%d states", len(s.seen))
		})
	}
}

// search is a breadth-first search, so the first violation has a shortest trace.
type search struct {
	t        *testing.T
	policies [2]keys.Policy
	pool     []jwk.PublicKey // the keys, in the order in which a world publishes them
	index    map[string]int  // in the pool, by kid
	seen     map[fingerprint]origin
}

// fingerprint is a hash of everything in a state that its future depends on.
type fingerprint [16]byte

// origin is how the search first reached a state.
type origin struct {
	from fingerprint
	move move
}

// move is one thing that happens.
type move struct {
	now, process int8
	kind         moveKind
	late         bool // it is a write that takes effect one tick later
}

type moveKind int8

const (
	moveStart moveKind = iota
	moveWait
	moveRefresh
	moveStep
	moveRotate
	movePolicy
	moveRevoke
)

func (m move) String() string {
	if m.kind == moveWait {
		return fmt.Sprintf("%ds: a second passes", m.now)
	}
	text := [...]string{
		"starts", "", "refreshes", "takes its timed step", "rotates", "changes the policy", "revokes the active key",
	}[m.kind]
	if m.late {
		text += ", and the write takes effect one second later"
	}
	return fmt.Sprintf("%ds: process %d %s", m.now, m.process, text)
}

// budget is how many commands and how many writes, timed steps included, are left.
type budget struct{ rotations, policyChanges, revocations, writes int }

// state is the whole small world at one time. All times are in ticks.
type state struct {
	now          int
	stored       *keys.Keyset
	views        [2]*keys.Keyset // of the processes
	ages         [2]int          // ticks since each process confirmed its view
	offsets      [2]int          // of the processes' clocks
	missingUntil int             // until when a cache may have a set without a key that is not published yet
	keys         []keyState      // by their index in the pool
	late         *lateWrite
	left         budget
	policy       int // index of the stored policy in search.policies
}

// keyState is what the search knows about a key.
type keyState struct {
	missingUntil int // until when a cache may have a set without it
	tokensEnd    int // when its last token expires, leeway included; 0 for no token
	servedUntil  int // until when a process may serve it after its revocation
	revoked      bool
}

// lateWrite is a write that takes effect in the future.
type lateWrite struct {
	keyset *keys.Keyset
	at, by int
	policy int
}

// clock returns the time by the clock of a process.
func (st *state) clock(process int) time.Time { return timeOf(st.now + st.offsets[process]) }

func timeOf(tick int) time.Time { return epoch.Add(time.Duration(tick) * time.Second) }

func tickOf(t time.Time) int { return seconds(t.Sub(epoch)) }

func seconds(d time.Duration) int { return int(d / time.Second) }

func newSearch(t *testing.T, start, other keys.Policy) *search {
	s := &search{t: t, policies: [2]keys.Policy{start, other}, index: map[string]int{}, seen: map[fingerprint]origin{}}
	for i, k := range sharedKeys().eddsa {
		s.pool = append(s.pool, k.Public())
		s.index[k.KeyID()] = i
	}
	return s
}

// run visits all states that can be reached from a new keyset.
func (s *search) run(left budget, offsets [2]int) {
	a, b, start := s.pool[0], s.pool[1], timeOf(0)
	ks := &keys.Keyset{
		Schema: 1, ID: a.KeyID(), Version: 1, ChangedAt: start, SealingKey: "search", Policy: s.policies[0],
		Keys: []keys.Key{
			{JWK: a, CreatedAt: start, ReadyAt: start, ActiveAt: start},
			{JWK: b, CreatedAt: start, ReadyAt: start},
		},
	}
	first := state{stored: ks, views: [2]*keys.Keyset{ks, ks}, offsets: offsets, keys: make([]keyState, 2), left: left}
	frontier := s.visit(first, origin{}, nil)
	for len(frontier) > 0 {
		var next []state
		for _, st := range frontier {
			from := s.fingerprint(&st)
			s.moves(st, func(after state, m move) { next = s.visit(after, origin{from, m}, next) })
		}
		frontier = next
	}
}

// visit checks a state that was not seen before and adds it to the states to visit next.
func (s *search) visit(st state, how origin, next []state) []state {
	id := s.fingerprint(&st)
	if _, ok := s.seen[id]; ok {
		return next
	}
	s.seen[id] = how
	if broken := s.check(&st); broken != "" {
		var trace []string
		for how := s.seen[id]; how.move.kind != moveStart; how = s.seen[how.from] {
			trace = append(trace, how.move.String())
		}
		slices.Reverse(trace)
		s.t.Fatalf("the search breaks invariant %s\nwith clocks that are ahead by %v seconds:\n%s", broken, st.offsets, strings.Join(trace, "\n"))
	}
	return append(next, st)
}

// check makes both processes publish and sign if they may, and returns the invariant
// that this breaks, if any.
func (s *search) check(st *state) (broken string) {
	st.keys = slices.Clone(st.keys)
	for p, view := range st.views {
		if st.ages[p] > seconds(view.Policy.MaxStaleness) {
			continue
		}
		var public keySet
		for _, k := range view.Public(st.clock(p)) {
			public.add(s.index[k.KeyID()])
		}
		until := st.now + 2*seconds(view.Policy.JWKSMaxAge)
		st.missingUntil = max(st.missingUntil, until)
		for i := range st.keys {
			switch k := &st.keys[i]; {
			case public.has(i) && k.revoked && st.now > k.servedUntil:
				return fmt.Sprintf("%s: process %d publishes the revoked K%d at %ds; the bound was %ds", revocation, p, i, st.now, k.servedUntil)
			case !public.has(i) && k.tokensEnd > st.now:
				return fmt.Sprintf("%s: process %d publishes a set without K%d at %ds, whose tokens are valid until %ds", findable, p, i, st.now, k.tokensEnd)
			case !public.has(i):
				k.missingUntil = max(k.missingUntil, until)
			}
		}
		if broken := s.checkSigning(st, p, view); broken != "" {
			return broken
		}
	}
	return ""
}

func (s *search) checkSigning(st *state, p int, view *keys.Keyset) (broken string) {
	active := view.Active()
	i := s.index[active.KeyID()]
	k := &st.keys[i]
	switch {
	case k.revoked:
		return ""
	case k.missingUntil > st.now:
		return fmt.Sprintf("%s: process %d signs with K%d at %ds; a cache may have a set without it until %ds", findable, p, i, st.now, k.missingUntil)
	case active.ActiveAt.Before(active.ReadyAt):
		return fmt.Sprintf("%s: process %d signs with K%d at %ds, which was activated before its ready_at", gate, p, i, st.now)
	}
	k.tokensEnd = max(k.tokensEnd, tickOf(st.clock(p).Add(view.Policy.TokenTTL+view.Policy.Leeway)))
	return ""
}

// moves calls yield with every state that may come next.
func (s *search) moves(st state, yield func(after state, m move)) {
	yield(s.wait(st), move{now: int8(st.now), kind: moveWait})
	for p := range st.views {
		if st.ages[p] > 0 || st.views[p].Version != st.stored.Version {
			after := st
			after.views[p], after.ages[p] = st.stored, 0
			yield(after, move{int8(st.now), int8(p), moveRefresh, false})
		}
		if st.left.writes > 0 && (st.late == nil || st.late.by != p) {
			s.writes(st, p, yield)
		}
	}
}

// writes calls yield with every state that a write of process p leads to. The process
// reads the store first.
func (s *search) writes(st state, p int, yield func(after state, m move)) {
	now := st.clock(p)
	input := keys.StepInput{Fresh: s.pool[len(st.keys)], Opened: func(string) bool { return true }}
	st.views[p], st.ages[p] = st.stored, 0
	st.left.writes--
	try := func(kind moveKind, left budget, policy int, ks keys.Keyset, e keys.Effect) {
		if e.Empty() {
			return
		}
		after := st
		after.left = left
		atOnce := after
		s.commit(&atOnce, lateWrite{&ks, st.now, p, policy})
		yield(atOnce, move{int8(st.now), int8(p), kind, false})
		if st.late == nil {
			after.late = &lateWrite{&ks, st.now + 1, p, policy}
			yield(after, move{int8(st.now), int8(p), kind, true})
		}
	}
	ks, e, _ := st.stored.Advance(now, input)
	try(moveStep, st.left, st.policy, ks, e)
	if left := st.left; left.rotations > 0 {
		left.rotations--
		ks, e, _ := st.stored.Rotate(now, input, keys.StepRequest{})
		try(moveRotate, left, st.policy, ks, e)
	}
	if left := st.left; left.policyChanges > 0 {
		left.policyChanges--
		ks, e, _ := st.stored.SetPolicy(now, s.policies[1-st.policy], input)
		try(movePolicy, left, 1-st.policy, ks, e)
	}
	if left := st.left; left.revocations > 0 {
		left.revocations--
		ks, e, _ := st.stored.Revoke(now, st.stored.Active().KeyID(), input, keys.StepRequest{})
		try(moveRevoke, left, st.policy, ks, e)
	}
}

// commit commits a write, unless another write was first.
func (s *search) commit(st *state, write lateWrite) {
	if write.keyset.Version != st.stored.Version+1 {
		return
	}
	st.keys = slices.Clone(st.keys)
	for _, k := range write.keyset.Keys {
		if s.index[k.KeyID()] == len(st.keys) {
			st.keys = append(st.keys, keyState{missingUntil: st.missingUntil})
		}
	}
	for _, k := range write.keyset.History {
		if known := &st.keys[s.index[k.KeyID()]]; !k.RevokedAt.IsZero() && !known.revoked {
			*known = keyState{revoked: true, servedUntil: tickOf(write.keyset.RevocationBounds(k.RevokedAt).Served)}
		}
	}
	st.stored, st.policy = write.keyset, write.policy
	st.views[write.by], st.ages[write.by] = write.keyset, 0
}

// wait returns the state one tick later.
func (s *search) wait(st state) state {
	st.now++
	st.ages[0]++
	st.ages[1]++
	if late := st.late; late != nil && late.at == st.now {
		st.late = nil
		s.commit(&st, *late)
	}
	return st
}

// fingerprint writes all times relative to now, and treats times that are too far in the
// past to matter as equal.
func (s *search) fingerprint(st *state) fingerprint {
	b := make([]byte, 0, 512)
	put := func(ns ...int) {
		for _, n := range ns {
			b = append(b, byte(n)) // a world here lasts for less than 100 ticks
		}
	}
	relative := func(tick int) int { return max(tick-st.now, -2) }
	stamp := func(t time.Time, least int) int {
		if t.IsZero() {
			return 127
		}
		return max(tickOf(t)-st.now, least)
	}
	var ids [len(keySet{}) * 64]int // 0 for a key that is in no document which still counts
	named := 0
	putKeyset := func(ks *keys.Keyset) {
		put(seconds(ks.Policy.MaxStaleness), stamp(ks.ActsUntil, -2), stamp(ks.DocsUntil, -2), stamp(ks.TokensUntil, -2), len(ks.Keys))
		for _, k := range ks.Keys {
			i := s.index[k.KeyID()]
			if ids[i] == 0 {
				named++
				ids[i] = named
			}
			put(ids[i], stamp(k.ReadyAt, -2), stamp(k.ActiveAt, -13), stamp(k.DestroyAt, -2), stamp(k.DestroyedAt, 0), stamp(k.ExpiresAt, -2))
		}
	}
	putKeyset(st.stored)
	for p, v := range st.views {
		age := min(st.ages[p], seconds(v.Policy.MaxStaleness)+1)
		put(age, st.offsets[p])
		if v.Version != st.stored.Version && age <= seconds(v.Policy.MaxStaleness) {
			put(int(st.stored.Version - v.Version))
			putKeyset(v)
		}
	}
	if late := st.late; late != nil && late.keyset.Version == st.stored.Version+1 {
		put(late.at-st.now, late.by, late.policy)
		putKeyset(late.keyset)
	}
	put(relative(st.missingUntil), st.policy, st.left.rotations, st.left.policyChanges, st.left.revocations, st.left.writes)
	for i, k := range st.keys {
		if ids[i] > 0 || relative(k.tokensEnd) > 0 {
			put(ids[i], relative(k.missingUntil), relative(k.tokensEnd), relative(k.servedUntil))
		}
	}
	sum := sha256.Sum256(b)
	return fingerprint(sum[:16])
}
