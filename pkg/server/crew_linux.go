package server

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// memberNice is a tenth of the weight of a thread that was left alone.
const memberNice = 10

// letOthersGoFirst ties the goroutine to a thread of the system and gives that a
// low priority, so that a thread with an answer to write passes it at once. The
// thread ends with the goroutine: without privileges no priority can be raised
// again.
func letOthersGoFirst() {
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, memberNice) // fails if the process is nicer still
}
