package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/jwksctl/jwksctl/pkg/fileaccess"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// OpenReader opens the store at path, which must exist, for a process that only reads.
// If the process may not write the file or its folder, the store is opened read-only:
// nothing is created, and Swap fails. Such a store may be read for long while other
// processes come and go: see reader.
func OpenReader(ctx context.Context, path string, now func() time.Time) (keys.Store, error) {
	s, err := openToRead(ctx, path, now)
	if err != nil {
		return nil, err
	}
	if !s.readOnly {
		return s, nil
	}
	return &reader{now: now, store: s}, nil
}

func openToRead(ctx context.Context, path string, now func() time.Time) (*Store, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("store %s: %v", path, err)
	}
	info, err := os.Stat(absolute)
	if err == nil && info.Mode().Perm()&0o220 != 0 && writable(absolute) && writable(filepath.Dir(absolute)) {
		return Open(ctx, absolute, now)
	}
	if err := errors.Join(fileaccess.CheckLink(absolute), checkFilesystem(filepath.Dir(absolute), reading)); err != nil {
		return nil, fmt.Errorf("store %s: %v", absolute, err)
	}
	if err == nil {
		err = checkInfo(absolute, info, reading)
	}
	if err != nil {
		return nil, fmt.Errorf("store %s: %v", absolute, err)
	}
	_, _ = sqlite.OFDLocking(true) // as in Open
	if exists(absolute+"-wal") || exists(absolute+"-shm") {
		s, err := openReadOnly(ctx, absolute, info, now, false)
		if code(err) != lib.SQLITE_CANTOPEN && code(err) != lib.SQLITE_READONLY {
			return s, err
		}
	}
	// Without a log, and without the right to make one, SQLite reads the file only if it
	// is promised that nobody changes it. checkFile checks that promise after each read.
	if err := checkNoLog(absolute); err != nil {
		return nil, err
	}
	return openReadOnly(ctx, absolute, info, now, true)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// openReadOnly opens the file in the mode ro, and with immutable without any lock. The
// errors match those of SQLite.
func openReadOnly(ctx context.Context, path string, info fs.FileInfo, now func() time.Time, immutable bool) (*Store, error) {
	settings := map[bool]string{false: "0", true: "1"}
	connector, err := sqlite.NewConnector(uri(path, map[string][]string{
		"mode": {"ro"}, "immutable": {settings[immutable]}, "_busy_timeout": {fmt.Sprint(busyTimeout.Milliseconds())},
	}))
	if err != nil {
		return nil, fmt.Errorf("store %s: %v", path, err)
	}
	s := &Store{path: path, file: info, db: sql.OpenDB(connector), now: now, swapped: make(chan struct{}), readOnly: true, immutable: immutable}
	found, err := s.readSchemaVersion(ctx, s.db)
	switch {
	case err != nil:
	case found == 0:
		s.empty = true
	case found != schemaVersion:
		err = fmt.Errorf("store %s: has schema %d, and this process may not write it: run 'jwksctl keys list' once as its owner, which upgrades it", path, found)
	}
	if err != nil {
		_ = s.db.Close() // the other error matters
		return nil, err
	}
	return s, nil
}

// checkNoLog returns an error if the file is not the whole store.
func checkNoLog(path string) error {
	for _, suffix := range []string{"-wal", "-journal"} {
		info, err := os.Stat(path + suffix)
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && info.Size() == 0:
		case err != nil:
			return fmt.Errorf("store %s: %v", path, err)
		default:
			return fmt.Errorf("store %s: its newest part is in %s, which cannot be read: let this process read it and %s-shm, or stop the process that writes",
				path, path+suffix, filepath.Base(path))
		}
	}
	return nil
}

// checkUnchanged fails if an immutable file was changed since it was opened.
func (s *Store) checkUnchanged(info fs.FileInfo) error {
	if info.Size() != s.file.Size() || !info.ModTime().Equal(s.file.ModTime()) || checkNoLog(s.path) != nil {
		return fmt.Errorf("store %s: was changed while it was read: retry", s.path)
	}
	return nil
}
