package sqlite

import "os"

// writable reports whether this process may write a file or a folder.
func writable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Perm()&0o200 != 0
}
