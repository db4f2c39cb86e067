//go:build unix && !linux

package fileaccess

// onReadOnlyMount is false, because Secrets are mounted on Linux.
func onReadOnlyMount(string) bool { return false }
