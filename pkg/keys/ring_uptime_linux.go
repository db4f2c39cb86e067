package keys

import (
	"time"

	"golang.org/x/sys/unix"
)

// machineUptime counts suspended time too, which Go's own monotonic clock leaves
// out (golang/go#24595): a process must not wake up believing that its snapshot is
// as young as it was.
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
