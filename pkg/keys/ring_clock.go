package keys

import (
	"fmt"
	"sync"
	"time"
)

// Clock is how a process reads the time.
type Clock struct {
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time

	// Uptime grows with real time, also while the machine is suspended, and nobody can
	// set it. Nil means the machine's uptime or, if Now is given, the time that passed
	// by Now.
	Uptime func() time.Duration
}

// reading is one reading of both clocks, which serves a whole decision. It includes
// what the monitor concluded at that time, because the wall clock may be corrected
// before the reading is used.
type reading struct {
	wall time.Time
	up   time.Duration

	jumped bool

	// safe is a time that is not later than the true time, whether the wall clock or
	// the uptime is right. By it, tokens expire early enough and keys leave late
	// enough.
	safe time.Time
}

// since is the time that passed since an earlier reading, by the clock that says
// more: if the wall clock was set back, a view must not look younger than it is; if
// the uptime stood still, the wall clock still ages the view.
func (r reading) since(earlier reading) time.Duration {
	return max(r.wall.Sub(earlier.wall), r.up-earlier.up)
}

// storeTime is a time by the store's own clock. The store read its clock at an
// unknown time between two readings of ours.
type storeTime struct {
	at        time.Time // zero if the store has no clock
	sent, got reading   // before the request and after the response
}

// offset is by how much the wall clock is ahead of the store's clock now, at least
// and at most.
func (s storeTime) offset(now reading) (least, most time.Duration) {
	least = now.wall.Sub(s.at.Add(now.up - s.sent.up))
	return least, least + s.got.up - s.sent.up
}

// safe is a time that is not later than the true time, as reading.safe, if the store's
// clock may be right.
func (s storeTime) safe(now reading) time.Time {
	if s.at.IsZero() {
		return now.safe
	}
	_, most := s.offset(now)
	return earliest(now.safe, now.wall.Add(-most))
}

// clockMonitor reads the clocks and detects jumps of the wall clock. It cannot know
// whether the time before or after a jump is right. Therefore, after a jump the
// process acts only in ways that are sound in both cases (see reading.safe). It takes
// no step until the clock is back, or until everything made before the jump has
// expired by the uptime.
type clockMonitor struct {
	now    func() time.Time
	uptime func() time.Duration

	mu        sync.Mutex
	skew      time.Duration // how far the wall clock may deviate
	settle    time.Duration // after this time, nothing made before a jump is valid any more
	expected  reading       // what the clocks would read now if there had been no jump
	deviation time.Duration // of the wall clock from that, at the last reading
	jumped    bool
	jumpedAt  time.Duration // the uptime at the newest jump
}

func newClockMonitor(c Clock) *clockMonitor {
	if c.Now == nil && c.Uptime == nil {
		c.Uptime = machineUptime()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Uptime == nil {
		start := c.Now()
		c.Uptime = func() time.Duration { return c.Now().Sub(start) }
	}
	m := &clockMonitor{now: c.Now, uptime: c.Uptime, skew: maxDuration}
	m.trust(m.readUnchecked())
	return m
}

// readUnchecked reads the clocks and takes the wall clock as right.
func (m *clockMonitor) readUnchecked() reading {
	// Round drops Go's monotonic reading. With it, the difference of two times would
	// not show that the wall clock jumped.
	wall := m.now().Round(0)
	return reading{wall: wall, up: m.uptime(), safe: wall}
}

// setPolicy sets what depends on the keyset: how far the wall clock may deviate, and
// how long what was made under the current and earlier policies may be valid.
func (m *clockMonitor) setPolicy(ks Keyset) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := ks.Policy
	settle := max(p.MaxStaleness+2*p.JWKSMaxAge+p.TokenTTL+p.Leeway+2*p.ClockSkew,
		ks.DocsUntil.Sub(ks.ChangedAt), ks.TokensUntil.Add(p.Leeway).Sub(ks.ChangedAt))
	if m.jumped {
		settle = max(settle, m.settle) // what was made before the jump may be valid for longer
	}
	m.skew, m.settle = p.ClockSkew, settle
}

// read reads the clocks and checks the wall clock against the uptime.
func (m *clockMonitor) read() reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.readUnchecked()

	elapsed := now.up - m.expected.up
	deviation := now.wall.Sub(m.expected.wall) - elapsed
	m.expected = reading{wall: m.expected.wall.Add(elapsed), up: now.up}
	switch change := (deviation - m.deviation).Abs(); {
	case deviation.Abs() <= m.skew:
		// Time services correct a clock by small amounts all the time. The expected
		// time follows those, by at most one part in a thousand. It never follows a
		// jump.
		mostCorrection := elapsed / 1000
		correction := min(max(deviation, -mostCorrection), mostCorrection)
		m.expected.wall, deviation = m.expected.wall.Add(correction), deviation-correction
		m.jumped = false
	case !m.jumped || change > m.skew:
		m.jumped, m.jumpedAt = true, now.up
	case now.up-m.jumpedAt > m.settle:
		m.jumped, m.expected, deviation = false, now, 0
	}
	m.deviation = deviation
	if now.jumped = m.jumped; m.jumped {
		now.safe = earliest(now.wall, now.wall.Add(-deviation))
	}
	return now
}

// observe takes the policy and the store's time from a read of the store. The store's
// clock agrees with the wall clock, shows that it is wrong, or was read too slowly to
// tell.
func (m *clockMonitor) observe(ks Keyset, store storeTime) {
	m.setPolicy(ks)
	if store.at.IsZero() {
		return
	}
	e := ks.Policy.ClockSkew
	switch least, most := store.offset(store.got); {
	case least >= -e && most <= e:
		m.trust(store.got)
	case most < -e || least > e:
		m.distrust(store.got, most)
	}
}

// trust takes the wall clock of a reading as right.
func (m *clockMonitor) trust(now reading) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expected, m.deviation, m.jumped = now, 0, false
}

// distrust takes the wall clock of a reading as wrong by the deviation, which counts
// as a jump.
func (m *clockMonitor) distrust(now reading, deviation time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expected, m.deviation = now, deviation
	m.expected.wall = now.wall.Add(-deviation)
	m.jumped, m.jumpedAt = true, now.up
}

// check refuses to take a step while the wall clock cannot be trusted.
func (m *clockMonitor) check(now reading, ks Keyset, store storeTime) *Refusal {
	e := ks.Policy.ClockSkew
	refuse := func(format string, args ...any) *Refusal {
		return &Refusal{Guard: GuardClock, Text: fmt.Sprintf(format, args...)}
	}
	if behind := ks.ChangedAt.Sub(now.wall); behind > e {
		return refuse("this machine's clock is %v behind the last change of the keyset, more than clock_skew (%v): set the clock right; "+
			"if it is right, another clock was ahead: see 'jwksctl keys accept-clock'", behind, e)
	}
	if !store.at.IsZero() {
		switch least, most := store.offset(now); {
		case least < -e && most > e:
			return refuse("cannot compare clocks: the store took %v to answer; try again", most-least)
		case least < -e:
			return refuse("this machine's clock differs by %v from the store's, more than clock_skew (%v): set the one that is wrong right", least, e)
		case most > e:
			return refuse("this machine's clock differs by %v from the store's, more than clock_skew (%v): set the one that is wrong right", most, e)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.jumped {
		return refuse("this machine's clock jumped by %v: no step is taken until it is back, or for %v",
			m.deviation.Round(time.Millisecond), (m.settle - (now.up - m.jumpedAt)).Round(time.Second))
	}
	return nil
}
