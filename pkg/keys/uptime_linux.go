package keys

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// uptime counts suspended time too, which Go's own monotonic clock leaves out
// (golang/go#24595): a process must not wake up believing that its snapshot is
// as young as it was.
func uptime() func() time.Duration {
	started := time.Now()
	u := &carried{
		look: func() (time.Time, time.Duration) {
			now := time.Now()
			return now.Round(0), now.Sub(started)
		},
		exact: func() time.Duration {
			var ts unix.Timespec
			if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
				return time.Since(started)
			}
			return time.Duration(ts.Nano())
		},
	}
	return u.read
}

const (
	// carryAtMost is how long an exact reading is carried on.
	carryAtMost = 100 * time.Millisecond
	// carryWithin is how far it may be off by being carried: ahead, because it was
	// read that long after the other clocks, or behind, by a suspend as short.
	carryWithin = time.Millisecond
)

// carried is an uptime that is read seldom, because that costs a system call, ten
// times what Go's own clocks cost, and each request reads it. In between it is
// carried on by the monotonic clock, as long as the wall clock goes along with that:
// a machine that was suspended has a wall clock that went further. One whose wall
// clock was set back in the same instant by just as much is found out when
// carryAtMost is over.
type carried struct {
	look  func() (wall time.Time, mono time.Duration)
	exact func() time.Duration
	last  atomic.Pointer[together]
}

// together are readings of one moment.
type together struct {
	wall     time.Time
	mono, up time.Duration
}

func (c *carried) read() time.Duration {
	wall, mono := c.look()
	if last := c.last.Load(); last != nil {
		passed := mono - last.mono
		if passed <= carryAtMost && (wall.Sub(last.wall)-passed).Abs() <= carryWithin {
			return last.up + passed
		}
	}
	up := c.exact()
	if _, after := c.look(); after-mono <= carryWithin { // or they are not of one moment
		c.last.Store(&together{wall, mono, up})
	}
	return up
}
