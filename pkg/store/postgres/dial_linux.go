package postgres

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// setUserTimeout makes the system close a connection whose data is not acknowledged.
// Without it a COMMIT into a dead network would wait for a quarter of an hour.
func setUserTimeout(network, _ string, c syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadAfter.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return failed
}
