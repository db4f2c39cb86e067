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
	// touched by nobody. Nil means the machine's own, or, with a Now of the
	// caller's, what Now says.
	Uptime func() time.Duration
}

// instruments are what the clocks are read with.
func (c Clock) instruments() (glances func() glance, uptime func() time.Duration) {
	if c.Now == nil && c.Uptime == nil {
		return machineGlance(), machineUptime()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Uptime == nil {
		start := c.Now()
		c.Uptime = func() time.Duration { return c.Now().Sub(start) }
	}
	return func() glance { return glance{wallOf(c.Now()), c.Uptime()} }, c.Uptime
}

// glance is a look at the wall clock and, in the same instant, at one that nobody
// sets, but which may stand still while the machine is suspended. It costs a tenth
// of the system call that tells the uptime.
type glance struct {
	wall time.Time
	mono time.Duration
}

func machineGlance() func() glance {
	started := time.Now()
	return func() glance {
		now := time.Now()
		return glance{wallOf(now), now.Sub(started)}
	}
}

// wallOf takes Go's monotonic reading away. With it, two times differ by what that
// clock says, and nobody would ever see the wall clock jump.
func wallOf(now time.Time) time.Time { return now.Round(0) }

// reading is one look at both clocks, which serves a whole decision. What the
// watch made of the clocks then is part of it: by the time that somebody uses
// the reading, the clock may have been set right.
type reading struct {
	glance
	up time.Duration

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

// strayed is how far the wall clock went since an earlier reading, beyond the time
// that passed.
func (r reading) strayed(since reading) time.Duration {
	return r.wall.Sub(since.wall) - (r.up - since.up)
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
	glance func() glance
	uptime func() time.Duration

	calm atomic.Pointer[calm] // the rest, as far as most readings need it; nil while the clock is off

	mu     sync.Mutex
	skew   time.Duration // how far the wall clock may stray
	settle time.Duration // after this, nothing made before a jump is alive
	anchor reading       // what the clocks would read now, had there been no jump
	stray  time.Duration // how far the wall clock was from that, last time
	jumped bool
	since  time.Duration // the uptime of the newest jump
}

// calm is a watch that saw no jump. For a moment a glance is then as good as a
// reading, without a system call and without a lock.
type calm struct {
	anchor      reading
	stray, skew time.Duration
}

const (
	// moment is how long the uptime is carried on from when it was read.
	moment = 10 * time.Millisecond
	// instant is how far it may then be off, and how long its reading may have taken.
	instant = time.Millisecond
	// longAgo is the mono of an uptime that is not carried on.
	longAgo = -maxDuration / 2
)

// carry makes a reading of a glance, if that is as good as a whole one and sees no
// jump. A machine that was suspended has a wall clock that strayed from the other
// one since the anchor. If the wall clock was set back in the same instant by just as
// much, a moment passes until that is seen.
func (c *calm) carry(now glance) (r reading, good bool) {
	passed := now.mono - c.anchor.mono
	r = reading{glance: now, up: c.anchor.up + passed, safe: now.wall}
	stray := r.strayed(c.anchor)
	return r, passed <= moment && (stray-c.stray).Abs() <= instant && stray.Abs() <= c.skew
}

func newWatch(c Clock) *watch { return newWatchBy(c.instruments()) }

func newWatchBy(glances func() glance, uptime func() time.Duration) *watch {
	w := &watch{glance: glances, uptime: uptime, skew: maxDuration}
	w.vouch(w.look())
	return w
}

// look reads the clocks and believes them.
func (w *watch) look() reading {
	before := w.glance()
	now := reading{glance: before, up: w.uptime(), safe: before.wall}
	if w.glance().mono-before.mono > instant { // they are not of one instant
		now.mono = longAgo
	}
	return now
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
		w.calm.Store(&calm{w.anchor, w.stray, w.skew})
	}
	w.mu.Unlock()
}

// read looks at the clocks and judges them.
func (w *watch) read() reading {
	if c := w.calm.Load(); c != nil {
		if now, good := c.carry(w.glance()); good {
			return now
		}
	}
	w.mu.Lock()
	defer w.unlock()
	now := w.look()

	elapsed := now.up - w.anchor.up
	stray := now.strayed(w.anchor)
	w.anchor = reading{glance: glance{w.anchor.wall.Add(elapsed), now.mono}, up: now.up}
	switch moved := (stray - w.stray).Abs(); {
	case stray.Abs() <= w.skew:
		// Clocks are kept right by small corrections all the time; the anchor
		// follows those, at one part in a thousand. It never follows a jump.
		mostCreep := elapsed / 1000
		creep := min(max(stray, -mostCreep), mostCreep)
		w.anchor.wall, stray = w.anchor.wall.Add(creep), stray-creep
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
	w.anchor, w.stray = now, stray
	w.anchor.wall = now.wall.Add(-stray)
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
