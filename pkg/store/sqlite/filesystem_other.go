//go:build !linux

package sqlite

// checkFilesystem accepts every folder, because it cannot detect network filesystems.
func checkFilesystem(string, purpose) error { return nil }
