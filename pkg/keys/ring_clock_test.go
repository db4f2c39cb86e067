package keys

import (
	"strings"
	"testing"
	"time"
)

// testClocks are a wall clock and an uptime that a test moves.
type testClocks struct {
	wall time.Time
	up   time.Duration
}

// pass moves both clocks.
func (c *testClocks) pass(d time.Duration) { c.wall, c.up = c.wall.Add(d), c.up+d }

// jump moves the wall clock alone.
func (c *testClocks) jump(d time.Duration) { c.wall = c.wall.Add(d) }

func (c *testClocks) monitor() *clockMonitor {
	return newClockMonitor(Clock{Now: func() time.Time { return c.wall }, Uptime: func() time.Duration { return c.up }})
}

// dailyMonitor has the daily policy: e is 5s, and nothing that was made before a jump
// is valid after D + 2M + T + L + 2e = 2h11m10s.
func dailyMonitor(t *testing.T) (*testClocks, *clockMonitor) {
	t.Helper()
	c := &testClocks{wall: noon, up: time.Hour}
	m := c.monitor()
	m.setPolicy(Keyset{Policy: dailyPolicy(t)})
	return c, m
}

const dailySettle = 2*time.Hour + 11*time.Minute + 10*time.Second

// refuses reports whether the monitor refuses a step now.
func (m *clockMonitor) refuses(ks Keyset) bool { return m.check(m.read(), ks, storeTime{}) != nil }

func TestSmallClockCorrectionsAreAllowed(t *testing.T) {
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
		c, m := dailyMonitor(t)
		if c.jump(tt.jump); m.refuses(ks) != tt.want {
			t.Errorf("after a jump by %v, steps are refused: %t, want %t", tt.jump, !tt.want, tt.want)
		}
	}
}

func TestADriftIsNoJump(t *testing.T) {
	ks := Keyset{Policy: dailyPolicy(t)}
	for _, drift := range []time.Duration{1800 * time.Millisecond, -1800 * time.Millisecond} { // 500 ppm
		c, m := dailyMonitor(t)
		for hour := range 24 * 7 {
			c.pass(time.Hour)
			if c.jump(drift); m.refuses(ks) {
				t.Fatalf("with a drift of %v an hour, steps are refused after %d hours", drift, hour)
			}
		}
	}
}

func TestSmallJumpsAddUp(t *testing.T) {
	ks := Keyset{Policy: dailyPolicy(t)}
	for _, step := range []time.Duration{time.Second, -time.Second} {
		c, m := dailyMonitor(t)
		for i := range 6 {
			c.pass(time.Second)
			if c.jump(step); m.refuses(ks) != (i == 5) {
				t.Errorf("after %d jumps by %v, steps are refused: %t", i+1, step, i != 5)
			}
		}
	}
}

func TestAJumpBeforeThePolicyIsKnownIsJudgedByIt(t *testing.T) {
	ks := Keyset{Policy: dailyPolicy(t)}
	for jump, want := range map[time.Duration]bool{time.Hour: true, -time.Hour: true, 5 * time.Second: false} {
		c := &testClocks{wall: noon}
		m := c.monitor()
		if c.jump(jump); m.read().jumped {
			t.Errorf("a jump by %v was detected before the policy sets the bound", jump)
		}
		if m.setPolicy(ks); m.refuses(ks) != want {
			t.Errorf("after a jump by %v, steps are refused: %t, want %t", jump, !want, want)
		}
	}
}

func TestNoStepIsTakenUntilTheClockIsBack(t *testing.T) {
	ks := Keyset{Policy: dailyPolicy(t)}
	for _, jump := range []time.Duration{10 * time.Minute, -10 * time.Minute, 24 * time.Hour, -24 * time.Hour} {
		c, m := dailyMonitor(t)
		c.jump(jump)
		for range 60 {
			if !m.refuses(ks) {
				t.Fatalf("%v: steps are taken at uptime %v", jump, c.up)
			}
			c.pass(time.Minute)
		}
		refusal := m.check(m.read(), ks, storeTime{})
		if refusal.Guard != GuardClock || !strings.Contains(refusal.Text, "this machine's clock jumped by "+jump.String()[:2]) {
			t.Errorf("%v: %+v", jump, refusal)
		}
		c.jump(-jump)
		if refusal := m.check(m.read(), ks, storeTime{}); refusal != nil {
			t.Errorf("%v: refused although the clock is back: %v", jump, refusal)
		}
		if now := m.read(); !now.safe.Equal(c.wall) {
			t.Errorf("%v: the clock is back, and safe differs by %v", jump, now.safe.Sub(c.wall))
		}
	}
}

func TestAJumpEndsWhenNothingOlderIsValid(t *testing.T) {
	ks := Keyset{Policy: dailyPolicy(t)}
	for _, jump := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		c, m := dailyMonitor(t)
		c.jump(jump)
		m.read()
		if c.pass(dailySettle); !m.refuses(ks) {
			t.Errorf("%v: over after %v, one nanosecond early", jump, dailySettle)
		}
		if c.pass(time.Nanosecond); m.refuses(ks) {
			t.Errorf("%v: not over after more than %v", jump, dailySettle)
		}
		if now := m.read(); !now.safe.Equal(c.wall) {
			t.Errorf("%v: over, and safe differs by %v", jump, now.safe.Sub(c.wall))
		}
		if c.jump(-jump); !m.refuses(ks) {
			t.Errorf("%v: over, and the jump back was not detected", jump)
		}
	}
}

func TestAJumpEndsLaterAfterAPolicyChange(t *testing.T) {
	daily := Keyset{Policy: dailyPolicy(t), ChangedAt: noon}
	docs, tokens := daily, daily
	docs.DocsUntil = noonPlus(100 * time.Hour)
	tokens.TokensUntil = noonPlus(100*time.Hour - time.Minute) // plus L
	for name, tt := range map[string]struct {
		ks    Keyset
		stays bool // the policy is the same after the jump
	}{
		"documents":      {docs, true},
		"tokens":         {tokens, true},
		"a later policy": {docs, false}, // under it, everything expires sooner
	} {
		c, m := dailyMonitor(t)
		m.setPolicy(tt.ks)
		c.jump(10 * time.Minute)
		m.read()
		if !tt.stays {
			m.setPolicy(daily)
		}
		if c.pass(100 * time.Hour); !m.read().jumped {
			t.Errorf("%s: over one nanosecond early", name)
		}
		if c.pass(1); m.read().jumped {
			t.Errorf("%s: not over", name)
		}
		m.setPolicy(daily)
		c.jump(10 * time.Minute)
		m.read()
		if c.pass(dailySettle + 1); m.read().jumped {
			t.Errorf("%s: the next jump is not over after its own time", name)
		}
	}
}

func TestASecondJumpDoesNotEndWithTheFirst(t *testing.T) {
	ks := Keyset{Policy: dailyPolicy(t)}
	c, m := dailyMonitor(t)
	c.jump(10 * time.Minute)
	m.read()
	c.pass(dailySettle - time.Minute)
	c.jump(10 * time.Minute)
	m.read()
	if c.pass(2 * time.Minute); !m.refuses(ks) {
		t.Error("the second jump ended with the first")
	}
	if c.pass(dailySettle); m.refuses(ks) {
		t.Error("the second jump did not end after its time")
	}
}

func TestSafeIsNeverLaterThanEitherClock(t *testing.T) {
	for _, jump := range []time.Duration{0, time.Second, -time.Second, 10 * time.Minute, -10 * time.Minute} {
		c, m := dailyMonitor(t)
		c.jump(jump)
		for range 100 {
			now := m.read()
			unmoved := noon.Add(c.up - time.Hour)
			bound := earliest(c.wall, unmoved)
			if jump.Abs() <= 5*time.Second {
				bound = c.wall // within e the wall clock counts as right
			}
			if !now.safe.Equal(bound) {
				t.Fatalf("a jump by %v: safe differs by %v", jump, now.safe.Sub(bound))
			}
			c.pass(time.Minute)
		}
	}
}

func TestATrustedClockTakesStepsAgain(t *testing.T) {
	ks := Keyset{Policy: dailyPolicy(t)}
	c, m := dailyMonitor(t)
	c.jump(time.Hour)
	now := m.read()
	if m.check(now, ks, storeTime{}) == nil {
		t.Fatal("a step is taken after a jump")
	}
	m.trust(now)
	if refusal := m.check(m.read(), ks, storeTime{}); refusal != nil {
		t.Errorf("refused although the clock is trusted: %v", refusal)
	}
	if now := m.read(); !now.safe.Equal(c.wall) {
		t.Errorf("the clock is trusted, and safe differs by %v", now.safe.Sub(c.wall))
	}
	if c.jump(-time.Hour); !m.refuses(ks) {
		t.Error("the jump back was not detected")
	}
}

func TestTheClockIsComparedWithTheKeysetAndTheStore(t *testing.T) {
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
			c, m := dailyMonitor(t)
			ks := Keyset{Policy: dailyPolicy(t), ChangedAt: c.wall.Add(tt.changed)}
			now := m.read()
			var store storeTime
			if tt.hasStore {
				store = storeTime{c.wall.Add(tt.store), now, now}
			}
			refusal := m.check(now, ks, store)
			switch {
			case tt.want == "" && refusal != nil:
				t.Errorf("refused: %v", refusal)
			case tt.want != "" && (refusal == nil || refusal.Guard != GuardClock || !strings.Contains(refusal.Text, tt.want)):
				t.Errorf("check = %+v, want %q", refusal, tt.want)
			}
		})
	}
}

// The store reads its clock at an unknown time between the request and the response,
// so a slow response shows less.
func TestASlowResponseOfTheStoreShowsLess(t *testing.T) {
	for _, tt := range []struct {
		name               string
		took, store        time.Duration // the store's time, relative to the request
		trusted, distrusts bool
		ahead              time.Duration // if distrusted: by how much the wall clock may be ahead
		refusal            string
	}{
		{"prompt", 0, 0, true, false, 0, ""},
		{"a little slow", 4 * time.Second, 2 * time.Second, true, false, 0, ""},
		{"slow, and maybe ahead", 10 * time.Second, 3 * time.Second, false, false, 0, "differs by 7s"},
		{"slow, and maybe behind", 10 * time.Second, 8 * time.Second, false, false, 0, "differs by -8s"},
		{"slow, and maybe either", 20 * time.Second, 10 * time.Second, false, false, 0, "cannot compare clocks: the store took 20s to answer; try again"},
		{"prompt, and surely ahead", 0, -6 * time.Second, false, true, 6 * time.Second, "differs by 6s"},
		{"slow, and surely ahead", 10 * time.Second, -6 * time.Second, false, true, 16 * time.Second, "differs by 16s"},
		{"slow, and surely behind", 10 * time.Second, 16 * time.Second, false, true, 0, "differs by -16s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, m := dailyMonitor(t)
			ks := Keyset{Policy: dailyPolicy(t)}
			m.read()
			ask := func() storeTime {
				sent := m.readUnchecked()
				c.pass(tt.took)
				return storeTime{sent.wall.Add(tt.store), sent, m.readUnchecked()}
			}
			store := ask()
			if refusal := m.check(store.got, ks, store); (refusal == nil) != (tt.refusal == "") || (refusal != nil && !strings.Contains(refusal.Text, tt.refusal)) {
				t.Errorf("check = %v, want %q", refusal, tt.refusal)
			}
			m.observe(ks, store)
			now := m.read()
			if now.jumped != tt.distrusts || now.wall.Sub(now.safe) != tt.ahead {
				t.Errorf("distrusted: %t, by %v, want %t, %v", now.jumped, now.wall.Sub(now.safe), tt.distrusts, tt.ahead)
			}
			if tt.distrusts {
				return
			}
			c.jump(time.Hour)
			m.read()
			if m.observe(ks, ask()); m.read().jumped == tt.trusted {
				t.Errorf("a clock that jumped is trusted: %t, want %t", !tt.trusted, tt.trusted)
			}
		})
	}
}

func TestAClockThatWasBackBrieflyHasJumpedAnew(t *testing.T) {
	for jump, back := range map[time.Duration]time.Duration{time.Hour: time.Hour, 5*time.Second + 1: 1} {
		c, m := dailyMonitor(t)
		c.jump(jump)
		m.read()
		c.pass(dailySettle - time.Second)
		m.read()
		if c.jump(-back); m.read().jumped {
			t.Errorf("a jump by %v is not over after one by %v", jump, -back)
		}
		c.jump(back)
		m.read()
		c.pass(2 * time.Second)
		if !m.refuses(Keyset{Policy: dailyPolicy(t)}) {
			t.Errorf("a jump by %v ended with the one before", back)
		}
	}
}

func TestAgeIsByTheClockThatSaysMore(t *testing.T) {
	from := reading{wall: noon, up: time.Hour}
	for _, tt := range []struct{ wall, up, want time.Duration }{
		{time.Minute, time.Minute, time.Minute},
		{time.Minute, time.Hour, time.Hour},    // the wall clock was set back, or stood still in a suspend
		{time.Hour, time.Minute, time.Hour},    // the wall clock was set forward
		{-time.Hour, time.Minute, time.Minute}, // the wall clock was set back
	} {
		if got := (reading{wall: noonPlus(tt.wall), up: time.Hour + tt.up}).since(from); got != tt.want {
			t.Errorf("wall %v, uptime %v: since = %v, want %v", tt.wall, tt.up, got, tt.want)
		}
	}
}

func TestClockDefaults(t *testing.T) {
	machine := newClockMonitor(Clock{})
	before := machine.read()
	if now := machine.read(); time.Since(now.wall).Abs() > time.Minute || now.up < before.up {
		t.Errorf("the machine's clocks: %+v after %+v", now, before)
	}
	c := &testClocks{wall: noon, up: time.Hour}
	given := newClockMonitor(Clock{Now: func() time.Time { return c.wall }})
	if c.jump(time.Minute); given.read().up != time.Minute || !given.read().wall.Equal(c.wall) {
		t.Errorf("a given Now: %+v", given.read())
	}
	given = newClockMonitor(Clock{Uptime: func() time.Duration { return 42 }})
	if now := given.read(); now.up != 42 || time.Since(now.wall).Abs() > time.Minute {
		t.Errorf("a given Uptime: %+v", now)
	}
	for _, m := range []*clockMonitor{machine, given} {
		if wall := m.read().wall; wall != wall.Round(0) {
			t.Errorf("%v has a monotonic reading, which hides jumps", wall)
		}
	}
}

func TestASuspendIsSeenByTheNextReading(t *testing.T) {
	c, m := dailyMonitor(t)
	before := m.read()
	c.pass(time.Hour) // the machine's uptime counts suspended time
	if now := m.read(); now.since(before) != time.Hour || now.jumped {
		t.Errorf("after a suspend of one hour: %+v", now)
	}
	c.up += time.Hour // the wall clock does not show this one
	if now := m.read(); now.since(before) != 2*time.Hour || !now.jumped {
		t.Errorf("after a suspend that the wall clock does not show: %+v", now)
	}
}
