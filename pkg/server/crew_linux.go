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
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return
	}
	own := 20 - raw // the system call gives 20 less the niceness, so that none looks like an error

	// It takes what lies beyond 19 for 19.
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, own+memberNice)
}

// yield gives the processor to any thread that waits for it. The system itself
// would take it away at its next tick, which may be 4 ms off. It is told as of
// any system call, so that Go can use what a thread holds that must wait long.
func yield() { _, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
