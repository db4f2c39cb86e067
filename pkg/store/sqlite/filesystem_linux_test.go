package sqlite

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCheckStat(t *testing.T) {
	for _, tt := range []struct {
		magic uint32
		flags int64
		want  string
	}{
		{unix.EXT4_SUPER_MAGIC, unix.ST_RELATIME, ""},
		{unix.TMPFS_MAGIC, 0, ""},
		{unix.OVERLAYFS_SUPER_MAGIC, 0, ""},
		{unix.EXT4_SUPER_MAGIC, unix.ST_RDONLY | unix.ST_RELATIME, "read-only"},
		{unix.NFS_SUPER_MAGIC, 0, "NFS"},
		{unix.SMB2_SUPER_MAGIC, 0, "SMB"},
		{unix.CIFS_SUPER_MAGIC, 0, "SMB"},
		{unix.V9FS_MAGIC, 0, "9P"},
	} {
		err := checkStat(tt.magic, tt.flags, writing)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("checkStat(%#x, %#x) = %v, want %q", tt.magic, tt.flags, err, tt.want)
		}
		// A filesystem that is read-only serves those who read.
		if err := checkStat(tt.magic, tt.flags, reading); (err == nil) != (tt.want == "" || tt.want == "read-only") {
			t.Errorf("checkStat(%#x, %#x) for reading = %v", tt.magic, tt.flags, err)
		}
	}
}
