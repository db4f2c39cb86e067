//go:build !linux

package server

// letOthersGoFirst does nothing where a thread has no priority of its own.
func letOthersGoFirst() {}
