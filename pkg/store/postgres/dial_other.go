//go:build !linux

package postgres

import "syscall"

// setUserTimeout does nothing: only Linux has this timeout.
func setUserTimeout(string, string, syscall.RawConn) error { return nil }
