// Package fileaccess refuses secret files that other users can reach.
//
// Others are all users except the owner and those in the group of the file. They may do
// nothing with it. Its group may have access if this process is in that group, because
// Kubernetes gives the files of a volume to such a group (fsGroup: 0660, or 0440 in a
// Secret). A file of another owner on a read-only mount may be readable to all, because
// this process is then one of them and cannot change that: so is a Secret that is
// mounted into a pod that does not run as root.
//
// On Windows nothing is refused, because the mode of a file says nothing there.
package fileaccess

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Check returns an error if users other than this one can read or change the file at
// path. info is that of the file.
func Check(path string, info fs.FileInfo) error {
	f, ok := factsOf(path, info)
	if !ok {
		return nil
	}
	return f.check()
}

// facts are what the decision depends on.
type facts struct {
	mode     fs.FileMode
	owned    bool // by the user of this process
	ourGroup bool // this process is in the group of the file
	readOnly bool // the file is on a read-only mount
}

func (f facts) check() error {
	refused := fs.FileMode(0o077)
	if f.ourGroup {
		refused &^= 0o070
	}
	if f.readOnly && !f.owned {
		refused &^= 0o044
	}
	mode := f.mode.Perm()
	switch {
	case mode&refused == 0:
		return nil
	case f.readOnly:
		return fmt.Errorf("mode %04o lets other users read or change it: mount it with mode 0400", mode)
	case mode&refused&0o007 == 0:
		return fmt.Errorf("mode %04o lets other users read or change it, a group that is not one of ours: chmod 600 it", mode)
	}
	return fmt.Errorf("mode %04o lets other users read or change it: chmod 600 it", mode)
}

// CheckLink returns an error if path, or a folder above it, is a symbolic link to
// something that does not exist. Otherwise such a path looks like one that can be
// created.
func CheckLink(path string) error {
	for ; ; path = filepath.Dir(path) {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return nil // it exists, or another error tells more
		}
		if target, err := os.Readlink(path); err == nil {
			return fmt.Errorf("%s is a symbolic link to %s, which does not exist: restore the target, mount its volume, or remove the link", path, target)
		}
		if path == filepath.Dir(path) {
			return nil
		}
	}
}
