package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

const (
	applicationID = 0x6a776b73 // "jwks"
	schemaVersion = 1

	// busyFor is how long a statement waits for the locks of others.
	busyFor = 5 * time.Second

	// pageMin is the size in bytes of the smallest database that is not empty.
	// SQLite takes a file of less for a new one and would write over it.
	pageMin = 512

	// busyRetry is how long to pause where SQLite does not wait by itself.
	busyRetry = 5 * time.Millisecond
)

const schema = `
CREATE TABLE keyset (
	id       INTEGER PRIMARY KEY CHECK (id = 1),
	version  INTEGER NOT NULL CHECK (version > 0),
	document BLOB NOT NULL CHECK (length(document) > 0)
) STRICT;
CREATE TABLE half (
	kid    TEXT PRIMARY KEY,
	sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
`

// Open opens the store at path and makes its file, and its folder with mode
// 0700, if they are absent. Any number of processes may do so at once. It reads
// now for the deadlines of changes. The errors name the path and match nothing
// but those of ctx.
func Open(ctx context.Context, path string, now func() time.Time) (*Store, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("store %s: %v", path, err)
	}
	file, err := prepareFile(absolute)
	if err != nil {
		return nil, err
	}
	// Best effort: where it is too late or not possible, POSIX locks remain.
	_, _ = sqlite.OFDLocking(true)
	connector, err := sqlite.NewConnector(dsn(absolute))
	if err != nil {
		return nil, fmt.Errorf("store %s: %v", absolute, err)
	}
	s := &Store{
		path:    absolute,
		file:    file,
		db:      sql.OpenDB(connector),
		now:     now,
		swapped: make(chan struct{}),
	}
	if err := s.prepare(ctx); err != nil {
		_ = s.db.Close() // nothing was written that could be lost
		return nil, err
	}
	return s, nil
}

// dsn is the URI of an existing file with the settings of each connection. A
// file that vanished must not come back by itself, hence mode=rw.
func dsn(path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") { // a drive letter
		path = "/" + path
	}
	settings := url.Values{
		"mode":          {"rw"},
		"_txlock":       {"immediate"},
		"_busy_timeout": {fmt.Sprint(busyFor.Milliseconds())},
		"_synchronous":  {"FULL"},
		"_pragma":       {"secure_delete(ON)"},
	}
	return "file://" + (&url.URL{Path: path}).EscapedPath() + "?" + settings.Encode()
}

// prepareFile checks that the file at path may be a store, and makes it, empty,
// if it is absent. It opens no file that exists: closing it would drop the locks
// of another Store in this process.
func prepareFile(path string) (fs.FileInfo, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("store %s: make its folder: %v: choose a place that you may write to", path, err)
	}
	if err := checkFilesystem(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("store %s: %v", path, err)
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeFile(path); err != nil {
			return nil, fmt.Errorf("store %s: make the file: %v: choose a place that you may write to", path, err)
		}
		info, err = os.Stat(path)
	}
	if err != nil {
		return nil, fmt.Errorf("store %s: %v", path, err)
	}
	if err := fit(info); err != nil {
		return nil, fmt.Errorf("store %s: %v", path, err)
	}
	return info, nil
}

// makeFile makes an empty file, private from its first moment, unless another
// process was faster. SQLite gives its log and index the same mode, and makes
// the name durable together with the log's.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// fit says what keeps a file from being used as a store before it is opened.
func fit(info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsDir():
		return errors.New("is a folder: name a file in it")
	case !mode.IsRegular():
		return errors.New("is not a regular file")
	case info.Size() > 0 && info.Size() < pageMin:
		return errors.New("is not a SQLite database: name another file")
	case runtime.GOOS != "windows" && mode.Perm()&0o077 != 0:
		return fmt.Errorf("mode %04o lets others read or change it: chmod 600 it", mode.Perm())
	case mode.Perm()&0o200 == 0:
		return fmt.Errorf("mode %04o does not let its owner write: chmod 600 it", mode.Perm())
	}
	return nil
}

// prepare brings a new file to the schema and checks an old one.
func (s *Store) prepare(ctx context.Context) error {
	var linked string
	if err := s.db.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&linked); err != nil {
		return s.fail(ctx, "open", err)
	}
	if err := checkVersion(linked); err != nil {
		return fmt.Errorf("store %s: %v", s.path, err)
	}
	fresh, err := s.identify(ctx, s.db)
	if err != nil {
		return err
	}
	if err := s.logAhead(ctx); err != nil {
		return err
	}
	if fresh {
		return s.create(ctx)
	}
	return nil
}

// checkVersion wants a SQLite without the defect by which two writers could
// corrupt the log, mended in 3.51.3.
func checkVersion(linked string) error {
	var major, minor, patch int
	if _, err := fmt.Sscanf(linked, "%d.%d.%d", &major, &minor, &patch); err != nil {
		return fmt.Errorf("cannot read SQLite's version %q: %v", linked, err)
	}
	if major*1_000_000+minor*1_000+patch < 3_051_003 {
		return fmt.Errorf("this program was built with SQLite %s, which can corrupt a store with two writers: build it with 3.51.3 or later", linked)
	}
	return nil
}

// identify tells a new file from a store. Any other file is an error.
func (s *Store) identify(ctx context.Context, q querier) (fresh bool, err error) {
	var application, schemaFound, tables int64
	err = q.QueryRowContext(ctx, `SELECT
		(SELECT application_id FROM pragma_application_id),
		(SELECT user_version FROM pragma_user_version),
		(SELECT count(*) FROM sqlite_schema)`).Scan(&application, &schemaFound, &tables)
	switch {
	case err != nil:
		return false, s.fail(ctx, "open", err)
	case application == 0 && schemaFound == 0 && tables == 0:
		return true, nil
	case application != applicationID:
		return false, fmt.Errorf("store %s: is another application's SQLite database: name another file", s.path)
	case schemaFound != schemaVersion:
		return false, fmt.Errorf("store %s: has schema %d, this program knows %d: use a newer release", s.path, schemaFound, schemaVersion)
	}
	return false, nil
}

// logAhead turns the write-ahead log on. The file remembers it, so this changes
// something only once. SQLite does not wait for the lock that the change takes:
// two processes that both hold part of it would wait for ever.
func (s *Store) logAhead(ctx context.Context) error {
	for end := time.Now().Add(busyFor); ; {
		var mode string
		err := s.db.QueryRowContext(ctx, `PRAGMA journal_mode = WAL`).Scan(&mode)
		switch {
		case err == nil && mode == "wal":
			return nil
		case err == nil:
			return fmt.Errorf("store %s: its filesystem cannot carry a write-ahead log: choose a local disk", s.path)
		case code(err) != lib.SQLITE_BUSY || time.Now().After(end):
			return s.fail(ctx, "turn on the write-ahead log", err)
		}
		select {
		case <-ctx.Done():
			return s.fail(ctx, "turn on the write-ahead log", ctx.Err())
		case <-time.After(busyRetry):
		}
	}
}

// create writes the schema, unless another process did so in the meantime.
func (s *Store) create(ctx context.Context) error {
	tx, end, err := s.begin(ctx, time.Time{})
	if err != nil {
		return err
	}
	defer end()
	if fresh, err := s.identify(ctx, tx); err != nil || !fresh {
		return err
	}
	_, err = tx.ExecContext(ctx, schema+fmt.Sprintf(
		`PRAGMA application_id = %d; PRAGMA user_version = %d;`, applicationID, schemaVersion))
	if err != nil {
		return s.fail(ctx, "write the schema", err)
	}
	if err := tx.Commit(); err != nil {
		return s.fail(ctx, "write the schema", err)
	}
	return nil
}

// code is SQLite's primary result code in err, 0 if it has none.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

// fail explains why doing failed. It matches ctx's error if ctx is done.
func (s *Store) fail(ctx context.Context, doing string, err error) error {
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("store %s: %s: %w", s.path, doing, cause)
	}
	hint := ""
	switch code(err) {
	case lib.SQLITE_NOTADB:
		hint = ": name another file"
	case lib.SQLITE_CORRUPT:
		hint = ": restore it from a backup"
	case lib.SQLITE_BUSY:
		hint = fmt.Sprintf(": another process held it for %v: look for one that is stuck", busyFor)
	case lib.SQLITE_READONLY, lib.SQLITE_CANTOPEN, lib.SQLITE_PERM, lib.SQLITE_AUTH:
		hint = ": check that you own the file and may write to its folder"
	case lib.SQLITE_FULL:
		hint = ": make room on the disk"
	}
	return fmt.Errorf("store %s: %s: %v%s", s.path, doing, err, hint)
}
