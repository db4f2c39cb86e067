//go:build unix

package audit

import "syscall"

// nonBlocking makes the opening of a pipe fail if nothing reads it. Otherwise it would wait
// for a reader.
const nonBlocking = syscall.O_NONBLOCK
