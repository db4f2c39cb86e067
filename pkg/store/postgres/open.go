package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/jwksctl/jwksctl/pkg/fileaccess"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

const (
	// maxConnections is the size of the pool. A replica uses two: one reads, one swaps.
	maxConnections = 4

	// connectTimeout bounds one attempt to connect to one host, if the URL does not.
	connectTimeout = 3 * time.Second

	// deadAfter is the time after which an idle connection without a network is closed.
	deadAfter = 20 * time.Second
)

// Open opens the store at url. It creates the schema if there is none, and upgrades an
// older one; any number of processes may do so at once.
func Open(ctx context.Context, url string) (*Store, error) {
	return open(ctx, url, nil, (*Store).migrate)
}

// OpenReader opens the store at url for a process that only reads. It changes nothing in
// the database.
func OpenReader(ctx context.Context, url string) (*Store, error) {
	return open(ctx, url, nil, func(s *Store, ctx context.Context) error {
		s.readOnly = true
		_, err := s.checkSchemaVersion(ctx)
		return err
	})
}

// open opens a store. The tracer sees each statement.
func open(ctx context.Context, url string, tracer pgx.QueryTracer, prepare func(*Store, context.Context) error) (*Store, error) {
	l, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	s := newStore(l)
	config, err := s.poolConfig()
	if err != nil {
		return nil, err
	}
	config.ConnConfig.Tracer = tracer
	s.pool, err = pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, s.fail(ctx, "open", err)
	}
	if err := prepare(s, ctx); err != nil {
		s.pool.Close()
		return nil, err
	}
	return s, nil
}

// poolConfig returns the settings of each connection.
func (s *Store) poolConfig() (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(s.location.dsn)
	if err == nil {
		err = forbidMD5(config)
	}
	if err != nil {
		return nil, &keys.StoreError{
			Problem: "the settings of the connection to the store cannot be used",
			Err:     fmt.Errorf("store %s: %v", s.name, withoutConnString(err)),
		}
	}
	config.MaxConns = maxConnections
	// A connection that died meanwhile is noticed by its next statement, which reads
	// send again. A ping before each statement would double their number.
	config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	config.BeforeConnect = s.readPassword

	c := config.ConnConfig
	c.DefaultQueryExecMode = pgx.QueryExecModeExec // a pooler keeps no prepared statements
	c.StatementCacheCapacity, c.DescriptionCacheCapacity = 0, 0
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "jwksctl"
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	dialer := net.Dialer{
		Timeout:         c.ConnectTimeout,
		Control:         setUserTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: deadAfter / 4, Interval: deadAfter / 4, Count: 3},
	}
	c.DialFunc = dialer.DialContext
	c.OnNotice = keepWarning
	c.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) {} // only the listener wants them
	return config, nil
}

// withoutConnString returns the cause of an error of pgx about a connection string, which
// it otherwise repeats.
func withoutConnString(err error) error {
	if _, ok := errors.AsType[*pgconn.ParseConfigError](err); !ok {
		return err
	}
	if cause := errors.Unwrap(err); cause != nil {
		return cause
	}
	return errors.New("the parameters of the URL or the PG… variables do not fit together")
}

// readPassword reads the password before each connection, so that it can be replaced
// while the process runs.
func (s *Store) readPassword(_ context.Context, c *pgx.ConnConfig) error {
	path := s.location.passwordFile
	if path == "" {
		fresh, err := pgx.ParseConfig(s.location.dsn) // this reads PGPASSFILE
		if err != nil {
			return withoutConnString(err)
		}
		c.Password = fresh.Password
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return passwordFileError{err}
	}
	info, err := os.Stat(path)
	if err != nil {
		return passwordFileError{err}
	}
	if err := fileaccess.Check(path, info); err != nil {
		return passwordFileError{fmt.Errorf("%s: %v", path, err)}
	}
	c.Password = strings.TrimRight(string(text), "\r\n")
	return nil
}

// passwordFileError means that the password file cannot be used.
type passwordFileError struct{ err error }

func (e passwordFileError) Error() string { return "password_file: " + e.err.Error() }
