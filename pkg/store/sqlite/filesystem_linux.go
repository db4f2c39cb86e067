package sqlite

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// networkFilesystem returns the name of the network filesystem with this magic number
// of statfs(2). Locks and shared memory do not work well enough there for a
// write-ahead log.
func networkFilesystem(magic uint32) (name string, ok bool) {
	switch magic {
	case unix.NFS_SUPER_MAGIC:
		name = "NFS"
	case unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC:
		name = "SMB"
	case unix.AFS_SUPER_MAGIC:
		name = "AFS"
	case unix.CEPH_SUPER_MAGIC:
		name = "CephFS"
	case unix.CODA_SUPER_MAGIC:
		name = "Coda"
	case unix.NCP_SUPER_MAGIC:
		name = "NCP"
	case unix.OCFS2_SUPER_MAGIC:
		name = "OCFS2"
	case unix.V9FS_MAGIC:
		name = "9P"
	}
	return name, name != ""
}

// checkFilesystem refuses folders on filesystems that cannot have a store.
func checkFilesystem(dir string, p purpose) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return fmt.Errorf("check the filesystem of its folder: %v", err)
	}
	return checkStat(uint32(stat.Type), int64(stat.Flags), p) //nolint:gosec,unconvert // sizes differ by architecture
}

func checkStat(magic uint32, flags int64, p purpose) error {
	if name, ok := networkFilesystem(magic); ok {
		return fmt.Errorf("its folder is on %s, a network filesystem: choose a local disk", name)
	}
	if p == writing && flags&unix.ST_RDONLY != 0 {
		return errors.New("its folder is on a read-only filesystem: choose a folder that you may write to")
	}
	return nil
}
