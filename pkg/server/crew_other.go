//go:build !linux

package server

// letOthersGoFirst does nothing where a thread has no priority of its own.
func letOthersGoFirst() {}

// yield does nothing: without low priority the others have had their share.
func yield() {}
