package fileaccess

import "golang.org/x/sys/unix"

func onReadOnlyMount(path string) bool {
	var stat unix.Statfs_t
	return unix.Statfs(path, &stat) == nil && stat.Flags&unix.ST_RDONLY != 0
}
