//go:build unix

package sqlite

import "golang.org/x/sys/unix"

// writable reports whether this process may write a file or a folder.
func writable(path string) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS) == nil
}
