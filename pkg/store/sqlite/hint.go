package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

const (
	hintFreeSpace  = ": free space on the disk, or raise the quota, and retry"
	hintPermission = ": check that you own the file and may write to its folder"
	hintBackup     = ": restore it from a backup"
	hintDisk       = ": check the free space, the disk and the log of the kernel; if the disk is bad, restore a backup on another one"
	hintLocks      = ": its filesystem does not support locks: choose a local disk"
	hintMemory     = ": free memory, or raise the limit of this process, and retry"
	hintRestart    = ": the file was removed or replaced while it was open: restart this process"
	hintRetry      = ": retry"
)

// failure is an error with the result code of SQLite.
type failure struct {
	text string
	code int
}

func (f *failure) Error() string { return f.text }

// extendedCode returns the result code of SQLite in err, 0 if there is none.
func extendedCode(err error) int {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}

// code returns the primary result code of SQLite in err, 0 if there is none.
func code(err error) int { return extendedCode(err) & 0xff }

// hint says what to do about a result code of SQLite, "" if nothing helps. SQLite
// reports a full disk as SQLITE_FULL only if a write of the database or the log fails.
func hint(code int) string {
	switch code {
	case lib.SQLITE_IOERR_WRITE, lib.SQLITE_IOERR_TRUNCATE, lib.SQLITE_IOERR_SHMSIZE, lib.SQLITE_IOERR_SHMMAP,
		lib.SQLITE_IOERR_SHMOPEN:
		return hintFreeSpace
	case lib.SQLITE_IOERR_LOCK, lib.SQLITE_IOERR_UNLOCK, lib.SQLITE_IOERR_RDLOCK, lib.SQLITE_IOERR_SHMLOCK,
		lib.SQLITE_IOERR_CHECKRESERVEDLOCK:
		return hintLocks
	case lib.SQLITE_IOERR_NOMEM:
		return hintMemory
	case lib.SQLITE_IOERR_ACCESS, lib.SQLITE_IOERR_DELETE:
		return hintPermission
	case lib.SQLITE_IOERR_DELETE_NOENT, lib.SQLITE_IOERR_VNODE, lib.SQLITE_READONLY_DBMOVED:
		return hintRestart
	}
	switch code & 0xff {
	case lib.SQLITE_FULL:
		return hintFreeSpace
	case lib.SQLITE_NOTADB:
		return ": name another file"
	case lib.SQLITE_CORRUPT:
		return hintBackup
	case lib.SQLITE_IOERR: // the others are failures of the disk
		return hintDisk
	case lib.SQLITE_NOMEM:
		return hintMemory
	case lib.SQLITE_NOLFS:
		return hintLocks
	case lib.SQLITE_BUSY:
		return fmt.Sprintf(": another process has locked it for %v: check for one that hangs", busyTimeout)
	case lib.SQLITE_LOCKED, lib.SQLITE_PROTOCOL, lib.SQLITE_SCHEMA, lib.SQLITE_INTERRUPT, lib.SQLITE_ABORT:
		return hintRetry
	case lib.SQLITE_READONLY, lib.SQLITE_CANTOPEN, lib.SQLITE_PERM, lib.SQLITE_AUTH:
		return hintPermission
	}
	return ""
}

// problem says in one sentence what is wrong with the store, for a result code of SQLite.
func problem(code int) string {
	switch code & 0xff {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return "another process has locked the store"
	case lib.SQLITE_READONLY:
		if hint(code) == hintPermission {
			return "the store is read-only for this process"
		}
	case lib.SQLITE_NOTADB:
		return "the file of the store is damaged or no store"
	}
	switch hint(code) {
	case hintFreeSpace:
		return "the disk of the store is full or over its quota"
	case hintPermission:
		return "this process lacks the right to use the file of the store"
	case hintBackup:
		return "the file of the store is damaged"
	case hintDisk:
		return "the disk of the store fails"
	case hintLocks:
		return "the filesystem of the store does not support locks"
	case hintMemory:
		return "the memory for the store is used up"
	case hintRestart:
		return problemGone
	}
	return "the store cannot be used"
}

const problemGone = "the file of the store was removed or replaced"

// gone is the error for a file that is no longer the one that was opened.
func gone(path string) error {
	return &keys.StoreError{Problem: problemGone, Err: fmt.Errorf("store %s%s", path, hintRestart)}
}

// hintForSystem says what to do about an error of the operating system.
func hintForSystem(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return hintFreeSpace
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return ": too many files are open: raise the limit (ulimit -n)"
	case errors.Is(err, syscall.EIO):
		return hintDisk
	case errors.Is(err, fs.ErrNotExist):
		return hintRetry // another process removed it meanwhile
	}
	return ": choose a folder that you may write to"
}

// fail returns an error that says what failed, why, and what to do. It matches the
// error of ctx if ctx is done.
func (s *Store) fail(ctx context.Context, doing string, err error) error {
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("store %s: %s: %w", s.path, doing, cause)
	}
	n := extendedCode(err)
	return &keys.StoreError{Problem: problem(n), Err: &failure{fmt.Sprintf("store %s: %s: %v%s", s.path, doing, err, hint(n)), n}}
}
