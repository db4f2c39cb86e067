package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	lib "modernc.org/sqlite/lib"
)

func TestHint(t *testing.T) {
	const full = "free space on the disk"
	for code, want := range map[int]string{
		lib.SQLITE_FULL:             full,
		4874:                        full, // SQLITE_IOERR_SHMSIZE: what a full disk gives at the start
		lib.SQLITE_IOERR_SHMMAP:     full,
		lib.SQLITE_IOERR_WRITE:      full, // what a quota gives
		lib.SQLITE_IOERR_TRUNCATE:   full,
		lib.SQLITE_IOERR_FSYNC:      "check the free space, the disk",
		lib.SQLITE_IOERR_READ:       "check the free space, the disk",
		lib.SQLITE_IOERR_CORRUPTFS:  "check the free space, the disk",
		lib.SQLITE_IOERR_LOCK:       "choose a local disk",
		lib.SQLITE_IOERR_SHMLOCK:    "choose a local disk",
		lib.SQLITE_IOERR_NOMEM:      "free memory",
		lib.SQLITE_NOMEM:            "free memory",
		lib.SQLITE_IOERR_ACCESS:     "may write to its folder",
		lib.SQLITE_READONLY_DBMOVED: "restart this process",
		lib.SQLITE_READONLY:         "may write to its folder",
		lib.SQLITE_CANTOPEN:         "may write to its folder",
		lib.SQLITE_CANTOPEN_ISDIR:   "may write to its folder",
		lib.SQLITE_BUSY_RECOVERY:    "check for one that hangs",
		lib.SQLITE_PROTOCOL:         "retry",
		lib.SQLITE_CORRUPT_INDEX:    "restore it from a backup",
		lib.SQLITE_NOTADB:           "name another file",
	} {
		if got := hint(code); !strings.Contains(got, want) {
			t.Errorf("code %d: %q, want %q", code, got, want)
		}
	}
	for n := range 40 { // also codes of later releases
		if code := lib.SQLITE_IOERR | n<<8; hint(code) == "" {
			t.Errorf("code %d has no hint", code)
		}
	}
}

func TestProblem(t *testing.T) {
	for code, want := range map[int]string{
		lib.SQLITE_FULL:             "disk of the store is full",
		lib.SQLITE_IOERR_WRITE:      "disk of the store is full",
		lib.SQLITE_IOERR_READ:       "disk of the store fails",
		lib.SQLITE_IOERR_LOCK:       "does not support locks",
		lib.SQLITE_NOMEM:            "memory",
		lib.SQLITE_BUSY_RECOVERY:    "another process has locked the store",
		lib.SQLITE_READONLY:         "the store is read-only",
		lib.SQLITE_READONLY_DBMOVED: "was removed or replaced",
		lib.SQLITE_CANTOPEN:         "lacks the right to use the file",
		lib.SQLITE_CORRUPT_INDEX:    "file of the store is damaged",
		lib.SQLITE_NOTADB:           "damaged or no store",
		lib.SQLITE_MISUSE:           "cannot be used",
	} {
		if got := problem(code); !strings.Contains(got, want) {
			t.Errorf("code %d: %q, want %q", code, got, want)
		}
	}
}

func TestHintForSystem(t *testing.T) {
	for err, want := range map[error]string{
		syscall.ENOSPC:   "free space on the disk",
		syscall.EMFILE:   "ulimit -n",
		syscall.EIO:      "check the free space, the disk",
		fs.ErrPermission: "choose a folder that you may write to",
		errors.New("x"):  "choose a folder that you may write to",
	} {
		if got := hintForSystem(fmt.Errorf("open: %w", err)); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}
