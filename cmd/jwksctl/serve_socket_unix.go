//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockSocket locks the socket at path for one server, by a file beside it, which stays
// there. The lock ends when the file is closed, and with the process, also if that is
// killed.
func lockSocket(path string) (*os.File, error) {
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%w: %s is in use by another process: name another path", errListen, path)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// isListening reports whether a socket accepts connections.
func isListening(socket *os.File) (listening bool, err error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return false, err
	}
	var accepts int
	var failed error
	err = raw.Control(func(fd uintptr) {
		accepts, failed = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	})
	return accepts != 0, errors.Join(err, failed)
}
