package keys

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestUptimeOfThisMachine(t *testing.T) {
	exact := func() time.Duration {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
			t.Fatal(err)
		}
		return time.Duration(ts.Nano())
	}
	w := newWatch(Clock{})
	w.obey(Keyset{Policy: dailyPolicy(t)})
	for range 1000 {
		earliest := exact() - instant
		got := w.read().up
		if latest := exact() + instant; got < earliest || got > latest {
			t.Fatalf("uptime %v, want %v to %v", got, earliest, latest)
		}
	}
}
