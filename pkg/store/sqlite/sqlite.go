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
	// pollEvery is how often Wait looks for the commits of others.
	pollEvery = 100 * time.Millisecond

	// scrubFor bounds the attempt to empty the log after a half was deleted.
	scrubFor = 250 * time.Millisecond

	synchronousFull = 2
)

// Store is an open SQLite file. Make one with Open. It is safe for concurrent
// use.
type Store struct {
	path string
	file fs.FileInfo // what was at path when the store was opened
	db   *sql.DB
	now  func() time.Time

	mu      sync.Mutex
	swapped chan struct{} // closed, and replaced, by every Swap of this Store
}

// Load implements keys.Store.
func (s *Store) Load(ctx context.Context) (keys.Record, error) {
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
	err := s.db.QueryRowContext(ctx, `SELECT sealed FROM half WHERE kid = ?`, kid).Scan(&sealed)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, keys.ErrNoPrivateKey
	case err != nil:
		return nil, s.fail(ctx, "read a private half", err)
	}
	return sealed, nil
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
	s.wake() // after a failed commit too: it may be visible all the same
	if err != nil {
		return s.fail(ctx, "commit the keyset", err)
	}
	if len(c.Delete) > 0 {
		s.scrub(ctx)
	}
	return nil
}

// begin starts the transaction of a change. It waits for other writers, but not
// past deadline. end undoes what is not committed.
func (s *Store) begin(ctx context.Context, deadline time.Time) (tx *sql.Tx, end func(), err error) {
	if s.late(deadline) {
		return nil, nil, keys.ErrTooLate
	}
	txCtx, cancel := context.WithCancel(ctx)
	waiting := func() bool { return true }
	if !deadline.IsZero() {
		// The timer ends the wait and is stopped with it: nothing but the
		// caller's own context may meddle with the commit.
		waiting = time.AfterFunc(deadline.Round(0).Sub(s.now().Round(0)), cancel).Stop
	}
	tx, err = s.db.BeginTx(txCtx, nil)
	if inTime := waiting(); !inTime {
		cancel()
		return nil, nil, keys.ErrTooLate
	}
	if err != nil {
		cancel()
		return nil, nil, s.fail(ctx, "wait for the right to write", err)
	}
	return tx, func() { _ = tx.Rollback(); cancel() }, nil
}

// late says whether the wall clock has reached deadline. Monotonic readings are
// left out: they stand still while the machine sleeps.
func (s *Store) late(deadline time.Time) bool {
	return !deadline.IsZero() && !s.now().Round(0).Before(deadline.Round(0))
}

// apply compares and writes c inside tx.
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
		return s.fail(ctx, "read the keyset's version", err)
	}
	if current != c.Version {
		return keys.ErrConflict
	}
	if err := write(ctx, tx, c); err != nil {
		return s.fail(ctx, "write the keyset", err)
	}
	return nil
}

// write is the part of a change that follows the compare.
func write(ctx context.Context, tx *sql.Tx, c keys.Change) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO keyset (id, version, document) VALUES (1, ?, ?)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, document = excluded.document`,
		c.Version+1, c.Document)
	if err != nil {
		return err
	}
	for kid, half := range c.Put {
		_, err := tx.ExecContext(ctx, `INSERT INTO half (kid, sealed) VALUES (?, ?)
			ON CONFLICT (kid) DO UPDATE SET sealed = excluded.sealed`, kid, half)
		if err != nil {
			return err
		}
	}
	for _, kid := range c.Delete {
		if _, err := tx.ExecContext(ctx, `DELETE FROM half WHERE kid = ?`, kid); err != nil {
			return err
		}
	}
	return nil
}

// scrub empties the log, in which a deleted half may still stand. The change is
// committed by now, so a reader that is in the way only puts this off until the
// next deletion or the last Close.
func (s *Store) scrub(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, scrubFor)
	defer cancel()
	_, _ = s.db.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
}

// querier is a transaction, a connection or a pool.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// version returns the keyset's version, 0 if there is none.
func version(ctx context.Context, q querier) (uint64, error) {
	var v uint64
	err := q.QueryRowContext(ctx, `SELECT version FROM keyset`).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return v, err
}

// Wait implements keys.Store. It looks for the commits of others ten times a
// second, at the cost of one read of shared memory, and sees this Store's own at
// once.
func (s *Store) Wait(ctx context.Context, than uint64) error {
	// data_version compares only with itself on the same connection.
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return s.waitFailed(ctx, err)
	}
	defer conn.Close() //nolint:errcheck // back to the pool
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()

	for last, own := int64(-1), s.own(); ; own = s.own() {
		var seen int64
		if err := conn.QueryRowContext(ctx, `PRAGMA data_version`).Scan(&seen); err != nil {
			return s.waitFailed(ctx, err)
		}
		if seen != last {
			current, err := version(ctx, conn)
			if err != nil {
				return s.waitFailed(ctx, err)
			}
			if current != than {
				return nil
			}
			last = seen
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-own:
		case <-tick.C:
		}
	}
}

func (s *Store) waitFailed(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil {
		return cause
	}
	return s.fail(ctx, "watch the keyset", err)
}

// own returns a channel that the next Swap of this Store closes.
func (s *Store) own() <-chan struct{} {
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

// checkFile fails once the file that this Store has open is not the one that
// another process would open.
func (s *Store) checkFile() error {
	info, err := os.Stat(s.path)
	if err != nil || !os.SameFile(info, s.file) {
		return fmt.Errorf("store %s: the file was removed or replaced while it was open: start this process again", s.path)
	}
	return nil
}

// Close implements keys.Store.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("store %s: close: %v", s.path, err)
	}
	return nil
}
