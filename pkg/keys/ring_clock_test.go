package keys

import (
	"strings"
	"testing"
	"time"
)

// twoClocks is a wall clock and an uptime that a test moves.
type twoClocks struct {
	wall time.Time
	up   time.Duration
}

// pass lets time pass for both.
func (c *twoClocks) pass(d time.Duration) {
	c.wall, c.up = c.wall.Add(d), c.up+d
}

// jump moves the wall clock alone.
func (c *twoClocks) jump(d time.Duration) { c.wall = c.wall.Add(d) }

// watchedClocks obey the daily policy: e is 5s, and nothing that was made
// before a jump is alive after D + 2M + T + L + 2e = 2h11m10s.
func watchedClocks(t *testing.T) (*twoClocks, *watch) {
	t.Helper()
	c := &twoClocks{wall: noon, up: time.Hour}
	w := newWatch(Clock{Now: func() time.Time { return c.wall }, Uptime: func() time.Duration { return c.up }})
	w.obey(Keyset{Policy: dailyPolicy(t)})
	return c, w
}

const dailySettle = 2*time.Hour + 11*time.Minute + 10*time.Second

func (w *watch) troubled(ks Keyset) bool { return w.trouble(w.read(), ks, sighting{}) != nil }

func TestSmallCorrectionsOfTheClockPass(t *testing.T) {
	ks := Keyset{Policy: dailyPolicy(t)}
	for _, tt := range []struct {
		jump time.Duration
		want bool
	}{
		{0, false},
		{5 * time.Second, false},
		{-5 * time.Second, false},
		{5*time.Second + time.Nanosecond, true},
		{-5*time.Second - time.Nanosecond, true},
	} {
		c, w := watchedClocks(t)
		if c.jump(tt.jump); w.troubled(ks) != tt.want {
			t.Errorf("a jump by %v is trouble: %t, want %t", tt.jump, !tt.want, tt.want)
		}
	}
}

func TestADriftIsNoJump(t *testing.T) {
	ks := Keyset{Policy: dailyPolicy(t)}
	for _, drift := range []time.Duration{1800 * time.Millisecond, -1800 * time.Millisecond} { // 500 ppm
		c, w := watchedClocks(t)
		for hour := range 24 * 7 {
			c.pass(time.Hour)
			if c.jump(drift); w.troubled(ks) {
				t.Fatalf("a drift of %v an hour is trouble after %d hours", drift, hour)
			}
		}
	}
}

func TestSmallJumpsAddUp(t *testing.T) {
	ks := Keyset{Policy: dailyPolicy(t)}
	for _, step := range []time.Duration{time.Second, -time.Second} {
		c, w := watchedClocks(t)
		for i := range 6 {
			c.pass(time.Second)
			if c.jump(step); w.troubled(ks) != (i == 5) {
				t.Errorf("after %d jumps by %v: trouble is %t", i+1, step, i != 5)
			}
		}
	}
}

func TestAJumpBeforeAPolicyIsKnownIsJudgedByIt(t *testing.T) {
	ks := Keyset{Policy: dailyPolicy(t)}
	for jump, want := range map[time.Duration]bool{time.Hour: true, -time.Hour: true, 5 * time.Second: false} {
		c := &twoClocks{wall: noon}
		w := newWatch(Clock{Now: func() time.Time { return c.wall }, Uptime: func() time.Duration { return c.up }})
		if c.jump(jump); w.read().jumped {
			t.Errorf("a jump by %v was noticed before the policy says what one is", jump)
		}
		if w.obey(ks); w.troubled(ks) != want {
			t.Errorf("a jump by %v is trouble: %t, want %t", jump, !want, want)
		}
	}
}

func TestAJumpFreezesUntilTheClockIsBack(t *testing.T) {
	ks := Keyset{Policy: dailyPolicy(t)}
	for _, jump := range []time.Duration{10 * time.Minute, -10 * time.Minute, 24 * time.Hour, -24 * time.Hour} {
		c, w := watchedClocks(t)
		c.jump(jump)
		for range 60 {
			if !w.troubled(ks) {
				t.Fatalf("%v: steps are taken after %v", jump, c.up)
			}
			c.pass(time.Minute)
		}
		refusal := w.trouble(w.read(), ks, sighting{})
		if refusal.Guard != GuardClock || !strings.Contains(refusal.Text, "this machine's clock jumped by "+jump.String()[:2]) {
			t.Errorf("%v: %+v", jump, refusal)
		}
		c.jump(-jump)
		if refusal := w.trouble(w.read(), ks, sighting{}); refusal != nil {
			t.Errorf("%v: the clock is back, and: %v", jump, refusal)
		}
		if now := w.read(); !now.safe.Equal(c.wall) {
			t.Errorf("%v: the clock is back, and safe is %v off", jump, now.safe.Sub(c.wall))
		}
	}
}

func TestAJumpIsForgivenWhenNothingOlderIsAlive(t *testing.T) {
	ks := Keyset{Policy: dailyPolicy(t)}
	for _, jump := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		c, w := watchedClocks(t)
		c.jump(jump)
		w.read()
		if c.pass(dailySettle); !w.troubled(ks) {
			t.Errorf("%v: forgiven after %v, one nanosecond early", jump, dailySettle)
		}
		if c.pass(time.Nanosecond); w.troubled(ks) {
			t.Errorf("%v: not forgiven after more than %v", jump, dailySettle)
		}
		if now := w.read(); !now.safe.Equal(c.wall) {
			t.Errorf("%v: forgiven, and safe is %v off", jump, now.safe.Sub(c.wall))
		}
		if c.jump(-jump); !w.troubled(ks) {
			t.Errorf("%v: the clock was forgiven, so that the way back is a jump, and nobody noticed", jump)
		}
	}
}

func TestAJumpIsForgivenLaterAfterAPolicyChange(t *testing.T) {
	daily := Keyset{Policy: dailyPolicy(t), ChangedAt: noon}
	docs, tokens := daily, daily
	docs.DocsUntil = noonPlus(100 * time.Hour)
	tokens.TokensUntil = noonPlus(100*time.Hour - time.Minute) // and L
	for name, tt := range map[string]struct {
		ks     Keyset
		before bool // learned before the jump
	}{
		"documents":      {docs, true},
		"tokens":         {tokens, true},
		"a later policy": {docs, false}, // under which all dies sooner
	} {
		c, w := watchedClocks(t)
		w.obey(tt.ks)
		c.jump(10 * time.Minute)
		w.read()
		if !tt.before {
			w.obey(daily)
		}
		if c.pass(100 * time.Hour); !w.read().jumped {
			t.Errorf("%s: forgiven one nanosecond early", name)
		}
		if c.pass(1); w.read().jumped {
			t.Errorf("%s: not forgiven", name)
		}
		w.obey(daily)
		c.jump(10 * time.Minute)
		w.read()
		if c.pass(dailySettle + 1); w.read().jumped {
			t.Errorf("%s: the next jump is not forgiven in its own time", name)
		}
	}
}

func TestASecondJumpIsNotForgivenWithTheFirst(t *testing.T) {
	ks := Keyset{Policy: dailyPolicy(t)}
	c, w := watchedClocks(t)
	c.jump(10 * time.Minute)
	w.read()
	c.pass(dailySettle - time.Minute)
	c.jump(10 * time.Minute)
	w.read()
	if c.pass(2 * time.Minute); !w.troubled(ks) {
		t.Error("the first jump's time was up, and the second was forgiven")
	}
	if c.pass(dailySettle); w.troubled(ks) {
		t.Error("the second jump was not forgiven in its time")
	}
}

func TestSafeIsNeverLaterThanEitherClock(t *testing.T) {
	for _, jump := range []time.Duration{0, time.Second, -time.Second, 10 * time.Minute, -10 * time.Minute} {
		c, w := watchedClocks(t)
		c.jump(jump)
		for range 100 {
			now := w.read()
			unmoved := noon.Add(c.up - time.Hour)
			bound := earliest(c.wall, unmoved)
			if jump.Abs() <= 5*time.Second {
				bound = c.wall // that close, the clock counts as right
			}
			if !now.safe.Equal(bound) {
				t.Fatalf("a jump by %v: safe is %v off", jump, now.safe.Sub(bound))
			}
			c.pass(time.Minute)
		}
	}
}

func TestASecondClockVouches(t *testing.T) {
	ks := Keyset{Policy: dailyPolicy(t)}
	c, w := watchedClocks(t)
	c.jump(time.Hour)
	now := w.read()
	if w.trouble(now, ks, sighting{}) == nil {
		t.Fatal("no trouble after a jump")
	}
	w.vouch(now)
	if refusal := w.trouble(w.read(), ks, sighting{}); refusal != nil {
		t.Errorf("another clock agrees, and: %v", refusal)
	}
	if now := w.read(); !now.safe.Equal(c.wall) {
		t.Errorf("another clock agrees, and safe is %v off", now.safe.Sub(c.wall))
	}
	if c.jump(-time.Hour); !w.troubled(ks) {
		t.Error("the way back is a jump again, and nobody noticed")
	}
}

func TestAClockIsHeldAgainstOthers(t *testing.T) {
	const e = 5 * time.Second
	for _, tt := range []struct {
		name           string
		changed, store time.Duration // from the wall clock
		hasStore       bool
		want           string
	}{
		{"agrees", 0, 0, true, ""},
		{"behind the last change by e", e, 0, false, ""},
		{"behind the last change by more", e + 1, 0, false, "behind the last change of the keyset, more than clock_skew (5s)"},
		{"ahead of the last change", -time.Hour, 0, false, ""},
		{"behind the store by e", 0, e, true, ""},
		{"ahead of the store by e", 0, -e, true, ""},
		{"behind the store by more", 0, e + 1, true, "clock differs by -5.000000001s from the store's"},
		{"ahead of the store by more", 0, -e - 1, true, "clock differs by 5.000000001s from the store's"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, w := watchedClocks(t)
			ks := Keyset{Policy: dailyPolicy(t), ChangedAt: c.wall.Add(tt.changed)}
			now := w.read()
			var store sighting
			if tt.hasStore {
				store = sighting{c.wall.Add(tt.store), now, now}
			}
			refusal := w.trouble(now, ks, store)
			switch {
			case tt.want == "" && refusal != nil:
				t.Errorf("refused: %v", refusal)
			case tt.want != "" && (refusal == nil || refusal.Guard != GuardClock || !strings.Contains(refusal.Text, tt.want)):
				t.Errorf("trouble = %+v, want %q", refusal, tt.want)
			}
		})
	}
}

// The store says its time at an unknown moment between the question and the
// answer, so that a slow answer is worth less.
func TestASlowAnswerOfTheStoreTellsLess(t *testing.T) {
	for _, tt := range []struct {
		name           string
		took, store    time.Duration // the store's time, from when it was asked
		vouches, doubt bool
		ahead          time.Duration // if in doubt: by how much the wall clock may be ahead
		trouble        string
	}{
		{"prompt", 0, 0, true, false, 0, ""},
		{"a little slow", 4 * time.Second, 2 * time.Second, true, false, 0, ""},
		{"slow, and maybe ahead", 10 * time.Second, 3 * time.Second, false, false, 0, "differs by 7s"},
		{"slow, and maybe behind", 10 * time.Second, 8 * time.Second, false, false, 0, "differs by -8s"},
		{"slow, and maybe either", 20 * time.Second, 10 * time.Second, false, false, 0, "the store took 20s to tell the time"},
		{"prompt, and surely ahead", 0, -6 * time.Second, false, true, 6 * time.Second, "differs by 6s"},
		{"slow, and surely ahead", 10 * time.Second, -6 * time.Second, false, true, 16 * time.Second, "differs by 16s"},
		{"slow, and surely behind", 10 * time.Second, 16 * time.Second, false, true, 0, "differs by -16s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, w := watchedClocks(t)
			ks := Keyset{Policy: dailyPolicy(t)}
			w.read()
			ask := func() sighting {
				sent := w.look()
				c.pass(tt.took)
				return sighting{sent.wall.Add(tt.store), sent, w.look()}
			}
			store := ask()
			if refusal := w.trouble(store.got, ks, store); (refusal == nil) != (tt.trouble == "") || (refusal != nil && !strings.Contains(refusal.Text, tt.trouble)) {
				t.Errorf("trouble = %v, want %q", refusal, tt.trouble)
			}
			w.learn(ks, store)
			now := w.read()
			if now.jumped != tt.doubt || now.wall.Sub(now.safe) != tt.ahead {
				t.Errorf("in doubt: %t, by %v, want %t, %v", now.jumped, now.wall.Sub(now.safe), tt.doubt, tt.ahead)
			}
			if tt.doubt {
				return
			}
			c.jump(time.Hour)
			w.read()
			if w.learn(ks, ask()); w.read().jumped == tt.vouches {
				t.Errorf("it vouches for a clock that jumped: %t, want %t", !tt.vouches, tt.vouches)
			}
		})
	}
}

func TestAClockThatWasBackForAMomentHasJumpedAnew(t *testing.T) {
	for jump, back := range map[time.Duration]time.Duration{time.Hour: time.Hour, 5*time.Second + 1: 1} {
		c, w := watchedClocks(t)
		c.jump(jump)
		w.read()
		c.pass(dailySettle - time.Second)
		w.read()
		if c.jump(-back); w.read().jumped {
			t.Errorf("a jump by %v is not over after one of %v", jump, -back)
		}
		c.jump(back)
		w.read()
		c.pass(2 * time.Second)
		if !w.troubled(Keyset{Policy: dailyPolicy(t)}) {
			t.Errorf("a jump by %v after another is forgiven with that", back)
		}
	}
}

func TestAgeIsByTheClockThatSaysMore(t *testing.T) {
	from := reading{glance: glance{wall: noon}, up: time.Hour}
	for _, tt := range []struct{ wall, up, want time.Duration }{
		{time.Minute, time.Minute, time.Minute},
		{time.Minute, time.Hour, time.Hour},    // it was suspended, or set back
		{time.Hour, time.Minute, time.Hour},    // it was set forward
		{-time.Hour, time.Minute, time.Minute}, // it was set back
	} {
		if got := (reading{glance: glance{wall: noonPlus(tt.wall)}, up: time.Hour + tt.up}).since(from); got != tt.want {
			t.Errorf("wall %v, uptime %v: since = %v, want %v", tt.wall, tt.up, got, tt.want)
		}
	}
}

func TestClockDefaults(t *testing.T) {
	machine := newWatch(Clock{})
	before := machine.read()
	if now := machine.read(); time.Since(now.wall).Abs() > time.Minute || now.up < before.up || now.mono < before.mono {
		t.Errorf("the machine's clocks: %+v after %+v", now, before)
	}
	c := &twoClocks{wall: noon, up: time.Hour}
	given := newWatch(Clock{Now: func() time.Time { return c.wall }})
	if c.jump(time.Minute); given.read().up != time.Minute || !given.read().wall.Equal(c.wall) {
		t.Errorf("a given Now: %+v", given.read())
	}
	given = newWatch(Clock{Uptime: func() time.Duration { return 42 }})
	if now := given.read(); now.up != 42 || time.Since(now.wall).Abs() > time.Minute {
		t.Errorf("a given Uptime: %+v", now)
	}
	for _, w := range []*watch{machine, given} {
		if wall := w.read().wall; wall != wall.Round(0) {
			t.Errorf("%v has a monotonic reading, which hides jumps", wall)
		}
	}
}

// machine has the clocks that a watch reads.
type machine struct {
	wall     time.Time
	mono, up time.Duration
	exactly  int           // how often the uptime itself was read
	slow     time.Duration // passes meanwhile
}

func (m *machine) pass(d time.Duration) { m.wall, m.mono, m.up = m.wall.Add(d), m.mono+d, m.up+d }

func (m *machine) suspend(d time.Duration) { m.wall, m.up = m.wall.Add(d), m.up+d }

// watch has read the clocks once.
func (m *machine) watch(t *testing.T) *watch {
	t.Helper()
	w := newWatchBy(func() glance { return glance{m.wall, m.mono} }, func() time.Duration {
		m.exactly++
		m.pass(m.slow)
		return m.up
	})
	w.obey(Keyset{Policy: dailyPolicy(t)})
	w.read()
	m.exactly = 0
	return w
}

func TestUptimeIsCarried(t *testing.T) {
	for _, tt := range []struct {
		name    string
		happens func(*machine)
		exactly int
		jumped  bool
	}{
		{"a moment", func(m *machine) { m.pass(moment) }, 0, false},
		{"a longer while", func(m *machine) { m.pass(moment + 1) }, 1, false},
		{"a suspend", func(m *machine) { m.suspend(time.Hour) }, 1, false},
		{"the shortest suspend that counts", func(m *machine) { m.suspend(instant + 1) }, 1, false},
		{"a wall clock that was set back", func(m *machine) { m.wall = m.wall.Add(-time.Hour) }, 1, true},
		{"a wall clock that was corrected", func(m *machine) { m.wall = m.wall.Add(-instant - 1) }, 1, false},
		{"a suspend that the wall clock does not show", func(m *machine) {
			m.suspend(time.Hour)
			m.wall = m.wall.Add(-time.Hour)
			m.pass(moment + 1)
		}, 1, true},
	} {
		m := &machine{wall: noon, up: time.Hour}
		w := m.watch(t)
		tt.happens(m)
		if got := w.read(); got.up != m.up || !got.wall.Equal(m.wall) || m.exactly != tt.exactly || got.jumped != tt.jumped {
			t.Errorf("after %s: %+v, want uptime %v and jumped %t; read exactly %d times, want %d", tt.name, got, m.up, tt.jumped, m.exactly, tt.exactly)
		}
	}
}

// A wall clock that has strayed almost as far as it may does not get further by
// being carried.
func TestNoStrayIsCarriedOverTheBound(t *testing.T) {
	m := &machine{wall: noon, up: time.Hour}
	w := m.watch(t)
	m.wall = m.wall.Add(5 * time.Second)
	w.read()
	m.wall = m.wall.Add(1)
	if got := w.read(); !got.jumped {
		t.Errorf("a clock that strayed by 5s and a nanosecond: %+v", got)
	}
}

// The first reading after a long while follows the clock a good way. The next ones
// go on from there.
func TestUptimeIsCarriedAfterALongWhile(t *testing.T) {
	m := &machine{wall: noon, up: time.Hour}
	w := m.watch(t)
	m.pass(time.Hour)
	m.wall = m.wall.Add(2 * time.Second)
	w.read()
	m.exactly = 0
	if w.read(); m.exactly != 0 {
		t.Error("the uptime was read anew")
	}
}

func TestUptimeThatTookLongToReadIsNotCarried(t *testing.T) {
	m := &machine{wall: noon, up: time.Hour, slow: instant + 1}
	w := m.watch(t)
	for range 2 {
		w.read()
	}
	if m.exactly != 2 {
		t.Errorf("read exactly %d times, want 2", m.exactly)
	}
}
