package audit

import "time"

// SetTimeout sets the time that a write may take.
func SetTimeout(l *Log, d time.Duration) { l.file.timeout = d }

// TakeBack removes the last bytes of the last write, as after one that ended early.
func TakeBack(l *Log, n int) bool { return l.file.takeBack(n) }
