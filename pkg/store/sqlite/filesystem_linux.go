package sqlite

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// remote names the filesystems that share files between machines, by the magic
// number of statfs(2). Their locks and shared memory do not carry a write-ahead
// log.
func remote(magic uint32) (name string, ok bool) {
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

// checkFilesystem refuses folders on disks that a store cannot live on.
func checkFilesystem(dir string) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return fmt.Errorf("look at the filesystem of its folder: %v", err)
	}
	return checkStat(uint32(stat.Type), int64(stat.Flags)) //nolint:gosec,unconvert // sizes differ by architecture
}

func checkStat(magic uint32, flags int64) error {
	if name, ok := remote(magic); ok {
		return fmt.Errorf("its folder is on %s, a network filesystem: choose a local disk", name)
	}
	if flags&unix.ST_RDONLY != 0 {
		return errors.New("its folder is on a read-only filesystem: choose a place that you may write to")
	}
	return nil
}
