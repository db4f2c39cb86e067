package keys

import (
	"time"

	"golang.org/x/sys/unix"
)

// machineUptime counts suspended time too. On this system CLOCK_MONOTONIC does, but
// the clock that Go reads does not.
func machineUptime() func() time.Duration {
	started := time.Now()
	return func() time.Duration {
		var ts unix.Timespec
		if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
			return time.Since(started)
		}
		return time.Duration(ts.Nano())
	}
}
