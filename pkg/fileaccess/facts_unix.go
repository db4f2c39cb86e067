//go:build unix

package fileaccess

import (
	"io/fs"
	"os"
	"slices"
	"syscall"
)

func factsOf(path string, info fs.FileInfo) (facts, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return facts{}, false
	}
	groups, err := os.Getgroups()
	if err != nil {
		groups = nil // the file's group then counts as another one
	}
	gid := int(stat.Gid)
	return facts{
		mode:     info.Mode(),
		owned:    int(stat.Uid) == os.Geteuid(),
		ourGroup: gid == os.Getegid() || slices.Contains(groups, gid),
		readOnly: onReadOnlyMount(path),
	}, true
}
