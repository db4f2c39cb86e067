//go:build !linux && !darwin

package keys

import "time"

// machineUptime is Go's monotonic clock. If that leaves out suspended time, only the
// wall clock ages a view after a suspend.
func machineUptime() func() time.Duration {
	started := time.Now()
	return func() time.Duration { return time.Since(started) }
}
