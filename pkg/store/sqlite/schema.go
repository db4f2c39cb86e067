package sqlite

import (
	"context"
	"fmt"
	"os"
	"time"

	lib "modernc.org/sqlite/lib"
)

const (
	applicationID = 0x6a776b73 // "jwks"
	schemaVersion = 2          // user_version of the schema below
)

const createSchema = `
CREATE TABLE keyset (
	id       INTEGER PRIMARY KEY CHECK (id = 1),
	version  INTEGER NOT NULL CHECK (version > 0),
	document BLOB NOT NULL CHECK (length(document) > 0)
) STRICT;
CREATE TABLE private_key (
	kid    TEXT PRIMARY KEY,
	sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
`

// upgradeFrom1 changes schema 1, which had another table name, to schema 2.
const upgradeFrom1 = `ALTER TABLE half RENAME TO private_key;`

// prepare creates or upgrades the schema, and turns on the write-ahead log.
func (s *Store) prepare(ctx context.Context) error {
	var linked string
	if err := s.db.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&linked); err != nil {
		return s.fail(ctx, "open", err)
	}
	if err := checkSQLite(linked); err != nil {
		return fmt.Errorf("store %s: %v", s.path, err)
	}
	found, err := s.readSchemaVersion(ctx, s.db)
	if err != nil {
		return err
	}
	if err := s.enableLog(ctx); err != nil {
		return err
	}
	if found != schemaVersion {
		return s.upgrade(ctx)
	}
	if log, err := os.Stat(s.path + "-wal"); err == nil && log.Size() > 0 {
		s.emptyLog(ctx) // a process was killed between a commit and this
	}
	return nil
}

// checkSQLite refuses releases before 3.51.3, in which two writers could corrupt the
// write-ahead log.
func checkSQLite(linked string) error {
	var major, minor, patch int
	if _, err := fmt.Sscanf(linked, "%d.%d.%d", &major, &minor, &patch); err != nil {
		return fmt.Errorf("cannot read the version of SQLite %q: %v", linked, err)
	}
	if major*1_000_000+minor*1_000+patch < 3_051_003 {
		return fmt.Errorf("this program was built with SQLite %s, which can corrupt a store with two writers: build it with 3.51.3 or later", linked)
	}
	return nil
}

// readSchemaVersion returns the version of the schema, 0 if the file is new. It
// refuses files of other applications and of later releases.
func (s *Store) readSchemaVersion(ctx context.Context, q querier) (int, error) {
	var application, version, tables int
	err := q.QueryRowContext(ctx, `SELECT
		(SELECT application_id FROM pragma_application_id),
		(SELECT user_version FROM pragma_user_version),
		(SELECT count(*) FROM sqlite_schema)`).Scan(&application, &version, &tables)
	switch {
	case err != nil:
		return 0, s.fail(ctx, "open", err)
	case application == 0 && version == 0 && tables == 0:
		return 0, nil
	case application != applicationID:
		return 0, fmt.Errorf("store %s: is the SQLite database of another application: name another file", s.path)
	case version < 1 || version > schemaVersion:
		return 0, fmt.Errorf("store %s: has schema %d, this release knows 1 to %d: use a newer release", s.path, version, schemaVersion)
	}
	return version, nil
}

// enableLog turns on the write-ahead log, which the file records. SQLite does not
// wait for the lock that this takes, because two processes that each have a part of
// the lock would wait forever.
func (s *Store) enableLog(ctx context.Context) error {
	const doing = "turn on the write-ahead log"
	for end := time.Now().Add(busyTimeout); ; {
		var mode string
		err := s.db.QueryRowContext(ctx, `PRAGMA journal_mode = WAL`).Scan(&mode)
		switch {
		case err == nil && mode == "wal":
			return nil
		case err == nil:
			return fmt.Errorf("store %s: its filesystem does not support a write-ahead log: choose a local disk", s.path)
		case code(err) != lib.SQLITE_BUSY || time.Now().After(end):
			return s.fail(ctx, doing, err)
		}
		select {
		case <-ctx.Done():
			return s.fail(ctx, doing, ctx.Err())
		case <-time.After(busyRetry):
		}
	}
}

// upgrade creates the schema in a new file, or changes an older schema to the current
// one, in one transaction. It does nothing if another process has done it.
func (s *Store) upgrade(ctx context.Context) error {
	const doing = "write the schema"
	tx, end, err := s.begin(ctx, time.Time{})
	if err != nil {
		return err
	}
	defer end()
	statements := createSchema
	switch found, err := s.readSchemaVersion(ctx, tx); {
	case err != nil || found == schemaVersion:
		return err
	case found == 1:
		statements = upgradeFrom1
	}
	statements += fmt.Sprintf(`PRAGMA application_id = %d; PRAGMA user_version = %d;`, applicationID, schemaVersion)
	if _, err := tx.ExecContext(ctx, statements); err != nil {
		return s.fail(ctx, doing, err)
	}
	if err := tx.Commit(); err != nil {
		return s.fail(ctx, doing, err)
	}
	return nil
}
