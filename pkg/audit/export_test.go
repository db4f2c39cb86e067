package audit

import "time"

// SetTimeout sets the time that a write may take.
func SetTimeout(l *Log, d time.Duration) { l.file.timeout = d }
