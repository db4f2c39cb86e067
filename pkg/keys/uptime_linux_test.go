package keys

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// machine has the clocks that uptime is made of.
type machine struct {
	wall      time.Time
	mono, up  time.Duration
	exactly   int           // how often the exact uptime was read
	slowExact time.Duration // that passes in such a read
}

func (m *machine) pass(d time.Duration) { m.wall, m.mono, m.up = m.wall.Add(d), m.mono+d, m.up+d }

func (m *machine) suspend(d time.Duration) { m.wall, m.up = m.wall.Add(d), m.up+d }

func (m *machine) uptime() *carried {
	return &carried{
		look: func() (time.Time, time.Duration) { return m.wall, m.mono },
		exact: func() time.Duration {
			m.exactly++
			m.pass(m.slowExact)
			return m.up
		},
	}
}

func TestUptimeIsCarried(t *testing.T) {
	for _, tt := range []struct {
		name    string
		happens func(*machine)
		exactly int
	}{
		{"a while", func(m *machine) { m.pass(carryAtMost) }, 1},
		{"a longer while", func(m *machine) { m.pass(carryAtMost + 1) }, 2},
		{"a suspend", func(m *machine) { m.suspend(time.Hour) }, 2},
		{"the shortest suspend that counts", func(m *machine) { m.suspend(carryWithin + 1) }, 2},
		{"a wall clock that was set back", func(m *machine) { m.wall = m.wall.Add(-time.Hour) }, 2},
		{"a suspend that the wall clock does not show", func(m *machine) {
			m.suspend(time.Hour)
			m.wall = m.wall.Add(-time.Hour)
			m.pass(carryAtMost + 1)
		}, 2},
	} {
		m := &machine{wall: noon, up: time.Hour}
		u := m.uptime()
		for range 10 {
			u.read()
		}
		tt.happens(m)
		if got := u.read(); got != m.up || m.exactly != tt.exactly {
			t.Errorf("after %s: uptime %v, want %v; read exactly %d times, want %d", tt.name, got, m.up, m.exactly, tt.exactly)
		}
	}
}

func TestUptimeThatTookLongToReadIsNotCarried(t *testing.T) {
	m := &machine{wall: noon, up: time.Hour, slowExact: carryWithin + 1}
	u := m.uptime()
	for range 2 {
		if got := u.read(); got != m.up {
			t.Errorf("uptime %v, want %v", got, m.up)
		}
	}
	if m.exactly != 2 {
		t.Errorf("read exactly %d times, want 2", m.exactly)
	}
}

func TestUptimeOfThisMachine(t *testing.T) {
	exact := func() time.Duration {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
			t.Fatal(err)
		}
		return time.Duration(ts.Nano())
	}
	read := uptime()
	for range 1000 {
		earliest := exact() - carryWithin
		got := read()
		if latest := exact() + carryWithin; got < earliest || got > latest {
			t.Fatalf("uptime %v, want %v to %v", got, earliest, latest)
		}
	}
}
