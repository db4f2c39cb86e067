package postgres

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// Store is an open store, created by Open. It is safe for concurrent use.
type Store struct {
	location location
	name     string // for errors
	schema   string // quoted, for statements
	readOnly bool
	pool     *pgxpool.Pool

	schemaSeen atomic.Bool // the schema was there at some time
	hint       hint
	listening  sync.Once
	stop       context.CancelFunc // ends the listener
	stopped    chan struct{}      // closed when it has ended
	listened   atomic.Int32       // how often the listener has passed its test
	pooled     atomic.Bool        // its last test failed
}

func newStore(l location) *Store {
	return &Store{location: l, name: l.name(), schema: pgx.Identifier{l.schema}.Sanitize(), hint: hint{changed: make(chan struct{})}}
}

// Load implements keys.Store. Record.Now is the clock of the server.
func (s *Store) Load(ctx context.Context) (keys.Record, error) {
	var version *int64
	var record keys.Record
	err := s.read(ctx, "read the keyset", func(conn *pgx.Conn) error {
		var inRecovery bool
		err := conn.QueryRow(ctx, `SELECT clock_timestamp(), pg_is_in_recovery(), k.version, k.document
			FROM (SELECT) AS one LEFT JOIN `+s.schema+`.keyset AS k ON true`).
			Scan(&record.Now, &inRecovery, &version, &record.Document)
		if err == nil && inRecovery {
			err = errStandby
		}
		return err
	})
	switch {
	case s.isMissing(err):
		return keys.Record{}, keys.ErrNoKeyset
	case err != nil:
		return keys.Record{}, err
	}
	s.schemaSeen.Store(true)
	if version == nil {
		s.hint.setVersion(0)
		return keys.Record{}, keys.ErrNoKeyset
	}
	record.Version = uint64(*version) //nolint:gosec // the table has only positive ones
	s.hint.setVersion(record.Version)
	return record, nil
}

// PrivateKey implements keys.Store.
func (s *Store) PrivateKey(ctx context.Context, kid string) ([]byte, error) {
	var sealed []byte
	err := s.read(ctx, "read a private key", func(conn *pgx.Conn) error {
		var inRecovery bool
		err := conn.QueryRow(ctx, `SELECT pg_is_in_recovery(), (SELECT sealed FROM `+s.schema+`.private_key WHERE kid = $1)`, kid).
			Scan(&inRecovery, &sealed)
		if err == nil && inRecovery {
			err = errStandby
		}
		return err
	})
	switch {
	case s.isMissing(err), err == nil && sealed == nil:
		return nil, keys.ErrNoPrivateKey
	case err != nil:
		return nil, err
	}
	return sealed, nil
}

// PrivateKeyIDs implements keys.Store.
func (s *Store) PrivateKeyIDs(ctx context.Context) ([]string, error) {
	var kids []string
	err := s.read(ctx, "list the private keys", func(conn *pgx.Conn) error {
		var inRecovery bool
		err := conn.QueryRow(ctx, `SELECT pg_is_in_recovery(), ARRAY(SELECT kid FROM `+s.schema+`.private_key)`).Scan(&inRecovery, &kids)
		if err == nil && inRecovery {
			err = errStandby
		}
		return err
	})
	if s.isMissing(err) {
		return nil, nil
	}
	return kids, err
}

// isMissing reports whether err says that there is no schema, and there never was one.
func (s *Store) isMissing(err error) bool {
	return isUndefined(err) && s.readOnly && !s.schemaSeen.Load()
}

// read runs statements that change nothing. If the connection turns out to be lost, it
// runs them again on a new one: after a restart of the server each connection is.
func (s *Store) read(ctx context.Context, doing string, statements func(*pgx.Conn) error) error {
	for again := false; ; again = true {
		conn, err := s.pool.Acquire(ctx)
		if err != nil {
			return s.fail(ctx, doing, err)
		}
		err = statements(conn.Conn())
		lost := conn.Conn().IsClosed()
		s.release(conn)
		if err == nil {
			return nil
		}
		if again || !lost || ctx.Err() != nil {
			return s.fail(ctx, doing, err)
		}
		s.pool.Reset()
	}
}

// release gives a connection back. One that is closed leaves the pool at once: pgx closes
// it in the background, and that takes 15 s if the network is dead.
func (s *Store) release(conn *pgxpool.Conn) {
	if conn.Conn().IsClosed() {
		conn.Hijack()
		return
	}
	conn.Release()
}

// MinClockSkew implements keys.Store.
func (s *Store) MinClockSkew() time.Duration { return 0 }

// Close implements keys.Store.
func (s *Store) Close() error {
	s.listening.Do(func() {}) // no listener starts any more
	if s.stop != nil {
		s.stop()
		<-s.stopped
	}
	s.pool.Close()
	return nil
}

var _ keys.Store = (*Store)(nil)

// errStandby means that the server is a standby.
var errStandby = errors.New("the server is in recovery: name the primary, or all servers of the cluster")
