package keys

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// CLOCK_BOOTTIME counts suspended time.
func TestMachineUptimeIsTheBootTime(t *testing.T) {
	bootTime := func() time.Duration {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
			t.Fatal(err)
		}
		return time.Duration(ts.Nano())
	}
	m := newClockMonitor(Clock{})
	least := bootTime()
	got := m.read().up
	if most := bootTime(); got < least || got > most {
		t.Fatalf("uptime %v, want %v to %v", got, least, most)
	}
}
