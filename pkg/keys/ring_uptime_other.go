//go:build !linux && !darwin

package keys

import "time"

// machineUptime is Go's own monotonic clock. Where that leaves out suspended time,
// the wall clock alone ages a snapshot after a suspend.
func machineUptime() func() time.Duration {
	started := time.Now()
	return func() time.Duration { return time.Since(started) }
}
