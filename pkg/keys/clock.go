package keys

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Clock is how a process tells the time.
type Clock struct {
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time

	// Uptime grows with real time, through a suspended machine too, and is
	// touched by nobody. It may be off by a millisecond. Nil means the machine's
	// own, or, with a Now of the caller's, what Now says.
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

// reading is one look at both clocks, which serves a whole decision. What the
// watch made of the clocks then is part of it: by the time that somebody uses
// the reading, the clock may have been set right.
type reading struct {
	wall time.Time
	up   time.Duration

	jumped bool

	// safe is a time that is not later than the true one, whichever of the
	// clocks is right: a token that lives by it dies soon enough, and a key that
	// leaves by it leaves late enough.
	safe time.Time
}

// since is the time from an earlier reading by the clock that says more: a wall
// clock that was set back must not make a snapshot young, nor one that is set
// forward leave it old enough unnoticed.
func (r reading) since(earlier reading) time.Duration {
	return max(r.wall.Sub(earlier.wall), r.up-earlier.up)
}

// sighting is what a store's own clock said at some moment between two readings
// of ours.
type sighting struct {
	at        time.Time // zero if the store has no clock
	sent, got reading   // before the question and after the answer
}

// off is how far the wall clock is ahead of the store's now: at least and at
// most, because the store said it at an unknown moment between the readings.
func (s sighting) off(now reading) (least, most time.Duration) {
	least = now.wall.Sub(s.at.Add(now.up - s.sent.up))
	return least, least + s.got.up - s.sent.up
}

// watch reads the clocks and notices a wall clock that jumps. Which of the two
// times is the right one cannot be known here. So a jump is answered by what is
// sound under both (see reading.safe), and no step is taken until the clock is back, or
// until everything made before the jump has died by a clock that did not jump.
type watch struct {
	clock Clock

	// calm is what most readings need to know; nil if one needs all the rest.
	calm atomic.Pointer[calm]

	mu     sync.Mutex
	skew   time.Duration // how far the wall clock may stray
	settle time.Duration // after this, nothing made before a jump is alive
	anchor reading       // what the clocks would read now, had there been no jump
	stray  time.Duration // how far the wall clock was from that, last time
	jumped bool
	since  time.Duration // the uptime of the newest jump
}

// calm is a watch that saw no jump, for the next moment: a reading by which the wall
// clock has not strayed changes nothing that is worth a lock.
type calm struct {
	anchor reading
	skew   time.Duration
}

// moment is how long the anchor may stay where it is.
const moment = 10 * time.Millisecond

func (c *calm) covers(now reading) bool {
	elapsed := now.up - c.anchor.up
	return elapsed <= moment && (now.wall.Sub(c.anchor.wall)-elapsed).Abs() <= c.skew
}

func newWatch(c Clock) *watch {
	w := &watch{clock: c.withDefaults(), skew: maxDuration}
	w.anchor = w.look()
	return w
}

// look reads the clocks and believes them.
func (w *watch) look() reading {
	wall := w.clock.Now().Round(0)
	return reading{wall: wall, up: w.clock.Uptime(), safe: wall}
}

// obey takes what the watch must know of the keyset: its policy, and how long
// what was made under an earlier one may live.
func (w *watch) obey(ks Keyset) {
	w.mu.Lock()
	defer w.unlock()
	p := ks.Policy
	settle := max(p.MaxStaleness+2*p.JWKSMaxAge+p.TokenTTL+p.Leeway+2*p.ClockSkew,
		ks.DocsUntil.Sub(ks.ChangedAt), ks.TokensUntil.Add(p.Leeway).Sub(ks.ChangedAt))
	if w.jumped {
		settle = max(settle, w.settle) // a jump is judged by what was made before it
	}
	w.skew, w.settle = p.ClockSkew, settle
}

// unlock ends a change.
func (w *watch) unlock() {
	if w.jumped {
		w.calm.Store(nil)
	} else {
		w.calm.Store(&calm{w.anchor, w.skew})
	}
	w.mu.Unlock()
}

// read looks at the clocks and judges them.
func (w *watch) read() reading {
	if now, c := w.look(), w.calm.Load(); c != nil && c.covers(now) {
		return now
	}
	w.mu.Lock()
	defer w.unlock()
	now := w.look()

	elapsed := now.up - w.anchor.up
	w.anchor = reading{wall: w.anchor.wall.Add(elapsed), up: now.up}
	stray := now.wall.Sub(w.anchor.wall)
	switch moved := (stray - w.stray).Abs(); {
	case stray.Abs() <= w.skew:
		// Clocks are kept right by small corrections all the time; the anchor
		// follows those, at one part in a thousand. It never follows a jump.
		creep := elapsed / 1000
		w.anchor.wall = w.anchor.wall.Add(min(max(stray, -creep), creep))
		w.jumped = false
	case !w.jumped || moved > w.skew:
		w.jumped, w.since = true, now.up
	case now.up-w.since > w.settle:
		w.jumped, w.anchor, stray = false, now, 0
	}
	w.stray = stray
	if now.jumped = w.jumped; w.jumped {
		now.safe = earliest(now.wall, now.wall.Add(-stray))
	}
	return now
}

// learn takes in what a read of the store told: the keyset to obey, and the
// store's clock, which agrees with the wall clock, shows it to be wrong, or was
// read too slowly to tell.
func (w *watch) learn(ks Keyset, store sighting) {
	w.obey(ks)
	if store.at.IsZero() {
		return
	}
	e := ks.Policy.ClockSkew
	switch least, most := store.off(store.got); {
	case least >= -e && most <= e:
		w.vouch(store.got)
	case most < -e || least > e:
		w.doubt(store.got, most)
	}
}

// vouch says that a second clock agrees with the wall clock as it reads now.
func (w *watch) vouch(now reading) {
	w.mu.Lock()
	defer w.unlock()
	w.anchor, w.stray, w.jumped = now, 0, false
}

// doubt says that by a second clock the wall clock is off by stray.
func (w *watch) doubt(now reading, stray time.Duration) {
	w.mu.Lock()
	defer w.unlock()
	w.anchor, w.stray = reading{wall: now.wall.Add(-stray), up: now.up}, stray
	w.jumped, w.since = true, now.up
}

// trouble says why no step may be taken now, if so.
func (w *watch) trouble(now reading, ks Keyset, store sighting) *Refusal {
	e := ks.Policy.ClockSkew
	refuse := func(format string, args ...any) *Refusal {
		return &Refusal{Guard: GuardClock, Text: fmt.Sprintf(format, args...)}
	}
	if behind := ks.ChangedAt.Sub(now.wall); behind > e {
		return refuse("this machine's clock is %v behind the last change of the keyset, more than clock_skew (%v): set the clock right", behind, e)
	}
	if !store.at.IsZero() {
		switch least, most := store.off(now); {
		case least < -e && most > e:
			return refuse("the store took %v to tell the time, too long to hold this machine's clock against", most-least)
		case least < -e:
			return refuse("this machine's clock differs by %v from the store's, more than clock_skew (%v): set the clock right", least, e)
		case most > e:
			return refuse("this machine's clock differs by %v from the store's, more than clock_skew (%v): set the clock right", most, e)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.jumped {
		return refuse("this machine's clock jumped by %v: no step is taken until it is back, or for %v",
			w.stray.Round(time.Millisecond), (w.settle - (now.up - w.since)).Round(time.Second))
	}
	return nil
}
