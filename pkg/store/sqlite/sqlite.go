package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

const (
	// pollInterval is the time between two checks of Wait for commits of other processes.
	pollInterval = 100 * time.Millisecond

	// emptyLogTimeout is how long a Swap waits for readers of the log, which need
	// milliseconds.
	emptyLogTimeout = 250 * time.Millisecond

	synchronousFull = 2 // the value of PRAGMA synchronous
)

// Store is an open SQLite file, created by Open. It is safe for concurrent use.
type Store struct {
	path string
	file fs.FileInfo // what was at path when the store was opened
	db   *sql.DB
	now  func() time.Time

	readOnly  bool
	immutable bool // it was opened read-only without any lock: see OpenReader
	empty     bool // it was opened read-only and has no schema

	mu      sync.Mutex
	swapped chan struct{} // closed, and replaced, by every Swap of this Store
}

// Load implements keys.Store.
func (s *Store) Load(ctx context.Context) (keys.Record, error) {
	if s.empty {
		return keys.Record{}, keys.ErrNoKeyset
	}
	var record keys.Record
	err := s.db.QueryRowContext(ctx, `SELECT version, document FROM keyset`).
		Scan(&record.Version, &record.Document)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return keys.Record{}, s.fail(ctx, "read the keyset", err)
	}
	if err := s.checkFile(); err != nil {
		return keys.Record{}, err
	}
	if err != nil {
		return keys.Record{}, keys.ErrNoKeyset
	}
	return record, nil
}

// PrivateKey implements keys.Store.
func (s *Store) PrivateKey(ctx context.Context, kid string) ([]byte, error) {
	var sealed []byte
	err := s.db.QueryRowContext(ctx, `SELECT sealed FROM private_key WHERE kid = ?`, kid).Scan(&sealed)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, keys.ErrNoPrivateKey
	case err != nil:
		return nil, s.fail(ctx, "read a private key", err)
	}
	if s.immutable {
		if err := s.checkFile(); err != nil {
			return nil, err
		}
	}
	return sealed, nil
}

// PrivateKeyIDs implements keys.Store.
func (s *Store) PrivateKeyIDs(ctx context.Context) ([]string, error) {
	if s.empty {
		return nil, nil
	}
	const doing = "list the private keys"
	rows, err := s.db.QueryContext(ctx, `SELECT kid FROM private_key`)
	if err != nil {
		return nil, s.fail(ctx, doing, err)
	}
	defer rows.Close()
	var kids []string
	for rows.Next() {
		var kid string
		if err := rows.Scan(&kid); err != nil {
			return nil, s.fail(ctx, doing, err)
		}
		kids = append(kids, kid)
	}
	if err := rows.Err(); err != nil {
		return nil, s.fail(ctx, doing, err)
	}
	return kids, s.checkFile()
}

// Swap implements keys.Store.
func (s *Store) Swap(ctx context.Context, c keys.Change) error {
	if len(c.Document) == 0 {
		return fmt.Errorf("store %s: refusing to store an empty keyset document", s.path)
	}
	tx, end, err := s.begin(ctx, c.Deadline)
	if err != nil {
		return err
	}
	defer end()
	if err := s.apply(ctx, tx, c); err != nil {
		return err
	}
	if s.late(c.Deadline) {
		return keys.ErrTooLate
	}
	err = tx.Commit()
	s.wake() // a failed commit may be visible too
	if err != nil {
		return s.fail(ctx, "commit the keyset", err)
	}
	s.emptyLog(ctx)
	return nil
}

// begin starts a transaction. It waits for other writers until deadline. end rolls
// the transaction back unless it was committed.
func (s *Store) begin(ctx context.Context, deadline time.Time) (tx *sql.Tx, end func(), err error) {
	if s.late(deadline) {
		return nil, nil, keys.ErrTooLate
	}
	txCtx, cancel := context.WithCancel(ctx)
	stopTimer := func() (inTime bool) { return true }
	if !deadline.IsZero() {
		// The timer is stopped after the wait, so that it cannot cancel the commit.
		stopTimer = time.AfterFunc(deadline.Round(0).Sub(s.now().Round(0)), cancel).Stop
	}
	tx, err = s.db.BeginTx(txCtx, nil)
	if inTime := stopTimer(); !inTime {
		cancel()
		return nil, nil, keys.ErrTooLate
	}
	if err != nil {
		cancel()
		return nil, nil, s.fail(ctx, "wait for other writers", err)
	}
	return tx, func() { _ = tx.Rollback(); cancel() }, nil
}

// late reports whether the wall clock has reached deadline. Round(0) removes the
// monotonic reading, which stops while the machine sleeps.
func (s *Store) late(deadline time.Time) bool {
	return !deadline.IsZero() && !s.now().Round(0).Before(deadline.Round(0))
}

// apply checks the version and writes c inside tx.
func (s *Store) apply(ctx context.Context, tx *sql.Tx, c keys.Change) error {
	var synchronous int
	if err := tx.QueryRowContext(ctx, `PRAGMA synchronous`).Scan(&synchronous); err != nil {
		return s.fail(ctx, "read a setting", err)
	}
	if synchronous != synchronousFull {
		return fmt.Errorf("store %s: refusing to write with synchronous=%d: commits would not be durable", s.path, synchronous)
	}
	if err := s.checkFile(); err != nil {
		return err
	}
	current, err := version(ctx, tx)
	if err != nil {
		return s.fail(ctx, "read the version of the keyset", err)
	}
	if current != c.Version {
		return keys.ErrConflict
	}
	if err := write(ctx, tx, c); err != nil {
		return s.fail(ctx, "write the keyset", err)
	}
	return nil
}

// write writes c inside tx without checking the version.
func write(ctx context.Context, tx *sql.Tx, c keys.Change) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO keyset (id, version, document) VALUES (1, ?, ?)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, document = excluded.document`,
		c.NewVersion(), c.Document)
	if err != nil {
		return err
	}
	for kid, sealed := range c.Put {
		_, err := tx.ExecContext(ctx, `INSERT INTO private_key (kid, sealed) VALUES (?, ?)
			ON CONFLICT (kid) DO UPDATE SET sealed = excluded.sealed`, kid, sealed)
		if err != nil {
			return err
		}
	}
	for _, kid := range c.Delete {
		if _, err := tx.ExecContext(ctx, `DELETE FROM private_key WHERE kid = ?`, kid); err != nil {
			return err
		}
	}
	return nil
}

// emptyLog moves the content of the log into the file. Otherwise a copy of the file
// would lack the last changes, and the log might still contain a deleted private key.
// If a reader uses the log, the next Swap, the next Open or the last Close does it.
func (s *Store) emptyLog(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, emptyLogTimeout)
	defer cancel()
	_, _ = s.db.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
}

// querier is a transaction, a connection or a pool.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// version returns the version of the keyset, 0 if there is none.
func version(ctx context.Context, q querier) (uint64, error) {
	var v uint64
	err := q.QueryRowContext(ctx, `SELECT version FROM keyset`).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return v, err
}

// Wait implements keys.Store. It checks for commits of other processes ten times a
// second, which costs one read of shared memory each, and is woken by a Swap of this
// Store.
func (s *Store) Wait(ctx context.Context, known uint64) error {
	// The values of data_version are comparable on one connection only.
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return s.waitFailed(ctx, err)
	}
	defer conn.Close() //nolint:errcheck // back to the pool
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()

	for last := int64(-1); ; {
		swapped := s.nextSwap()
		var dataVersion int64
		if err := conn.QueryRowContext(ctx, `PRAGMA data_version`).Scan(&dataVersion); err != nil {
			return s.waitFailed(ctx, err)
		}
		if dataVersion != last {
			current, err := version(ctx, conn)
			if err != nil {
				return s.waitFailed(ctx, err)
			}
			if current != known {
				return nil
			}
			last = dataVersion
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-swapped:
		case <-tick.C:
		}
	}
}

func (s *Store) waitFailed(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil {
		return cause
	}
	return s.fail(ctx, "wait for a change of the keyset", err)
}

// nextSwap returns a channel that the next Swap of this Store closes.
func (s *Store) nextSwap() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.swapped
}

func (s *Store) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.swapped)
	s.swapped = make(chan struct{})
}

// checkFile fails if the file at the path is no longer the one that this Store opened.
func (s *Store) checkFile() error {
	info, err := os.Stat(s.path)
	if err != nil || !os.SameFile(info, s.file) {
		return gone(s.path)
	}
	if s.immutable {
		return s.checkUnchanged(info)
	}
	return nil
}

// MinClockSkew implements keys.Store.
func (s *Store) MinClockSkew() time.Duration { return 0 }

// Close implements keys.Store.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("store %s: close: %v%s", s.path, err, hint(extendedCode(err)))
	}
	return nil
}
