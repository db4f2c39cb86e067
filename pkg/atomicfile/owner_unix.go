//go:build unix

package atomicfile

import (
	"io/fs"
	"os"
	"syscall"
)

// setOwner gives f the owner and group of another file, or only the group, or neither,
// as far as this process may.
func setOwner(f *os.File, like fs.FileInfo) {
	s, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return
	}
	if err := f.Chown(int(s.Uid), int(s.Gid)); err != nil {
		_ = f.Chown(-1, int(s.Gid))
	}
}
