package keys

import (
	"fmt"
	"sync"
	"time"
)

// Clock is how a process tells the time.
type Clock struct {
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time

	// Uptime grows with real time, through a suspended machine too, and is
	// touched by nobody. Nil means the machine's own, or, with a Now of the
	// caller's, what Now says.
	Uptime func() time.Duration
}

func (c Clock) withDefaults() Clock {
	switch {
	case c.Now == nil && c.Uptime == nil:
		c.Uptime = uptime()
	case c.Uptime == nil:
		start := c.Now()
		c.Uptime = func() time.Duration { return c.Now().Sub(start) }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// reading is one look at both clocks, which serves a whole decision.
type reading struct {
	wall time.Time
	up   time.Duration
}

// since is the time from an earlier reading by the clock that says more: a wall
// clock that was set back must not make a snapshot young, nor one that is set
// forward leave it old enough unnoticed.
func (r reading) since(earlier reading) time.Duration {
	return max(r.wall.Sub(earlier.wall), r.up-earlier.up)
}

// watch reads the clocks and notices a wall clock that jumps. Which of the two
// times is the right one cannot be known here. So a jump is answered by what is
// sound under both (see safe), and no step is taken until the clock is back, or
// until everything made before the jump has died by a clock that did not jump.
type watch struct {
	clock Clock

	mu     sync.Mutex
	skew   time.Duration // how far the wall clock may stray
	settle time.Duration // after this, nothing made before a jump is alive
	anchor reading       // what the clocks would read now, had there been no jump
	stray  time.Duration // how far the wall clock was from that, last time
	jumped bool
	since  time.Duration // the uptime of the newest jump
}

func newWatch(c Clock) *watch {
	w := &watch{clock: c.withDefaults(), skew: maxDuration}
	w.anchor = w.look()
	return w
}

func (w *watch) look() reading { return reading{w.clock.Now().Round(0), w.clock.Uptime()} }

// obey takes what the watch must know of the policy.
func (w *watch) obey(p Policy) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.skew = p.ClockSkew
	w.settle = p.MaxStaleness + 2*p.JWKSMaxAge + p.TokenTTL + p.Leeway + 2*p.ClockSkew
}

// read looks at the clocks and judges them.
func (w *watch) read() reading {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.look()

	// Clocks are kept right by small corrections all the time; the anchor
	// follows those, at one part in a thousand.
	creep := (now.up - w.anchor.up) / 1000
	expected := w.anchor.wall.Add(now.up - w.anchor.up)
	stray := now.wall.Sub(expected)
	w.anchor = reading{expected.Add(min(max(stray, -creep), creep)), now.up}

	switch moved := (stray - w.stray).Abs(); {
	case stray.Abs() <= w.skew:
		w.jumped = false
	case !w.jumped || moved > w.skew:
		w.jumped, w.since = true, now.up
	case now.up-w.since > w.settle:
		w.jumped, w.anchor, stray = false, now, 0
	}
	w.stray = stray
	return now
}

// vouch says that a second clock agrees with the wall clock as it reads now.
func (w *watch) vouch(now reading) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.anchor, w.stray, w.jumped = now, 0, false
}

// safe is a time that is not later than the true one, whichever of the clocks
// is right: a token that lives by it dies soon enough, and a key that leaves by
// it leaves late enough.
func (w *watch) safe(now reading) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.jumped {
		return now.wall
	}
	return earliest(now.wall, now.wall.Add(-w.stray))
}

// trouble says why no step may be taken now, if so. store is what the store's
// own clock said in the same moment, zero if it has none.
func (w *watch) trouble(now reading, ks Keyset, store time.Time) *Refusal {
	e := ks.Policy.ClockSkew
	refuse := func(format string, args ...any) *Refusal {
		return &Refusal{Guard: GuardClock, Text: fmt.Sprintf(format, args...)}
	}
	if behind := ks.ChangedAt.Sub(now.wall); behind > e {
		return refuse("this machine's clock is %v behind the last change of the keyset, more than clock_skew (%v): set the clock right", behind, e)
	}
	if !store.IsZero() {
		if off := now.wall.Sub(store); off.Abs() > e {
			return refuse("this machine's clock differs by %v from the store's, more than clock_skew (%v): set the clock right", off, e)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.jumped {
		return refuse("this machine's clock jumped by %v: no step is taken until it is back, or for %v",
			w.stray.Round(time.Millisecond), (w.settle - (now.up - w.since)).Round(time.Second))
	}
	return nil
}
