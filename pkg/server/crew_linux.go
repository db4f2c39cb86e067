package server

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// memberNice more leaves a tenth of the weight of a thread that was left alone.
const memberNice = 10

// letOthersGoFirst ties the goroutine to a thread of the system and gives that a
// low priority, so that a thread with an answer to write passes it at once. The
// thread ends with the goroutine: without privileges no priority can be raised
// again.
func letOthersGoFirst() {
	runtime.LockOSThread()
	if raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil {
		own := 20 - raw                                            // as the system call has it, so that an error is told from -1
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, own+memberNice) // the system takes what is beyond the lowest for the lowest
	}
}
