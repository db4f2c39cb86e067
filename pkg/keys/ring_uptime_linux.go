package keys

import (
	"time"

	"golang.org/x/sys/unix"
)

// machineUptime counts suspended time too, which Go's monotonic clock leaves out
// (golang/go#24595): after a suspend, a process must count its view as older.
func machineUptime() func() time.Duration {
	started := time.Now()
	return func() time.Duration {
		var ts unix.Timespec
		if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
			return time.Since(started)
		}
		return time.Duration(ts.Nano())
	}
}
