package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

const (
	// lockTimeout is the longest wait for another writer, if the deadline is not sooner.
	lockTimeout = 5 * time.Second

	// minCommitTimeout is how long a Swap waits at least for the answer to COMMIT.
	minCommitTimeout = time.Second

	// shortTimeout bounds statements that are not needed: ROLLBACK and NOTIFY.
	shortTimeout = time.Second
)

// Swap implements keys.Store.
func (s *Store) Swap(ctx context.Context, c keys.Change) error {
	switch {
	case len(c.Document) == 0:
		return fmt.Errorf("store %s: refusing to store an empty keyset document", s.name)
	case s.readOnly:
		return fmt.Errorf("store %s: it was opened to read only", s.name)
	case c.Version >= math.MaxInt64, c.First > math.MaxInt64: // no row has such a version
		return keys.ErrConflict
	}
	conn, err := s.begin(ctx)
	if err != nil {
		return s.fail(ctx, "begin a change", err)
	}
	if err := s.apply(ctx, conn.Conn(), c); err != nil {
		s.rollback(ctx, conn)
		if errors.Is(err, keys.ErrConflict) || errors.Is(err, keys.ErrTooLate) {
			return err
		}
		return s.fail(ctx, "write the keyset", err)
	}
	return s.commit(ctx, conn, c)
}

// begin starts a transaction. If the connection turns out to be lost, it takes a new one.
func (s *Store) begin(ctx context.Context) (*pgxpool.Conn, error) {
	for again := false; ; again = true {
		conn, err := s.pool.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		_, err = conn.Exec(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED")
		if err == nil {
			return conn, nil
		}
		lost := conn.Conn().IsClosed()
		s.release(conn)
		if again || !lost || ctx.Err() != nil {
			return nil, err
		}
		s.pool.Reset()
	}
}

// rollback ends a transaction without a result, if there is one.
func (s *Store) rollback(ctx context.Context, conn *pgxpool.Conn) {
	defer s.release(conn)
	if conn.Conn().IsClosed() || conn.Conn().PgConn().TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shortTimeout)
	defer cancel()
	_, _ = conn.Exec(ctx, "ROLLBACK") // pgx closes the connection if this fails, which has the same effect
}

// apply writes c inside the transaction.
func (s *Store) apply(ctx context.Context, conn *pgx.Conn, c keys.Change) error {
	var deadline *time.Time
	if !c.Deadline.IsZero() {
		deadline = &c.Deadline
	}
	untilDeadline, err := setBounds(ctx, conn, deadline)
	if err != nil {
		return err
	}
	err = s.write(ctx, conn, c, deadline)
	if untilDeadline && hasCode(err, codeLockNotAvailable) {
		return keys.ErrTooLate
	}
	return err
}

// oneMessage sends a statement and its values in one message. The server ends a transaction
// that is idle, but not one that waits for the rest of a statement: a lock would stay until
// the server notices that the network is dead.
const oneMessage = pgx.QueryExecModeSimpleProtocol

// write locks the row of the keyset and writes c.
func (s *Store) write(ctx context.Context, conn *pgx.Conn, c keys.Change, deadline *time.Time) error {
	locked, err := s.lock(ctx, conn, c, deadline)
	if err != nil {
		return err
	}
	if err := s.writePrivateKeys(ctx, conn, c); err != nil {
		return err
	}
	// This statement waits for nothing, because the row is locked. After it the client may pause
	// for as long as the deadline leaves: COMMIT after that finds no transaction.
	var synchronousCommit string
	err = conn.QueryRow(ctx, `UPDATE `+s.schema+`.keyset SET version = $2, deadline = $3, document = $4
		WHERE version = $1 AND coalesce(clock_timestamp() < $3, true)
		RETURNING current_setting('synchronous_commit'), set_config('idle_in_transaction_session_timeout',
			greatest(1, least(1000, coalesce(floor(extract(epoch FROM $3::timestamptz - clock_timestamp()) * 1000), 1000)))::bigint::text, true)`,
		oneMessage, locked, int64(c.NewVersion()), deadline, c.Document).Scan(&synchronousCommit, nil) //nolint:gosec // checked by Swap
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return keys.ErrTooLate
	case err != nil:
		return err
	case synchronousCommit != "on" && synchronousCommit != "remote_apply":
		return fmt.Errorf("refusing to write with synchronous_commit = %s: commits would not be durable", synchronousCommit)
	}
	return nil
}

// setBounds makes the transaction durable, and bounds its waits by the deadline. Everything
// uses the clock of the server. A wait for a lock lasts until the deadline, or until
// lockTimeout if that is sooner.
func setBounds(ctx context.Context, conn *pgx.Conn, deadline *time.Time) (untilDeadline bool, err error) {
	var inRecovery bool
	var wait int64
	err = conn.QueryRow(ctx, `SELECT pg_is_in_recovery(), wait.ms,
			set_config('lock_timeout', greatest(1, wait.ms)::text, true),
			set_config('idle_in_transaction_session_timeout', greatest(1, least(1000, wait.ms / 2))::text, true),
			set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true)
		FROM (SELECT least($2, coalesce(ceil(extract(epoch FROM $1::timestamptz - clock_timestamp()) * 1000), $2))::bigint AS ms) AS wait`,
		deadline, lockTimeout.Milliseconds()).Scan(&inRecovery, &wait, nil, nil, nil)
	switch {
	case err != nil:
		return false, err
	case inRecovery:
		return false, errStandby
	case wait <= 0:
		return false, keys.ErrTooLate
	}
	return wait < lockTimeout.Milliseconds(), nil
}

// lock waits for other writers and locks the row of the keyset. It returns the version
// that the row has, or ErrConflict. It creates the row of a new keyset.
func (s *Store) lock(ctx context.Context, conn *pgx.Conn, c keys.Change, deadline *time.Time) (int64, error) {
	if c.Version == 0 {
		first := int64(c.NewVersion()) //nolint:gosec // checked by Swap
		tag, err := conn.Exec(ctx, `INSERT INTO `+s.schema+`.keyset (id, version, deadline, document) VALUES (1, $1, $2, $3)
			ON CONFLICT DO NOTHING`, oneMessage, first, deadline, c.Document)
		if err == nil && tag.RowsAffected() == 0 {
			err = keys.ErrConflict
		}
		return first, err
	}
	var version int64
	err := conn.QueryRow(ctx, `SELECT version FROM `+s.schema+`.keyset FOR UPDATE`, oneMessage).Scan(&version)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && version != int64(c.Version) { //nolint:gosec // checked by Swap
		return 0, keys.ErrConflict
	}
	return version, err
}

func (s *Store) writePrivateKeys(ctx context.Context, conn *pgx.Conn, c keys.Change) error {
	if len(c.Put) > 0 {
		var kids []string
		var sealed [][]byte
		for _, kid := range slices.Sorted(maps.Keys(c.Put)) {
			kids, sealed = append(kids, kid), append(sealed, c.Put[kid])
		}
		_, err := conn.Exec(ctx, `INSERT INTO `+s.schema+`.private_key (kid, sealed) SELECT * FROM unnest($1::text[], $2::bytea[])
			ON CONFLICT (kid) DO UPDATE SET sealed = excluded.sealed`, oneMessage, kids, sealed)
		if err != nil {
			return err
		}
	}
	if len(c.Delete) > 0 {
		if _, err := conn.Exec(ctx, `DELETE FROM `+s.schema+`.private_key WHERE kid = ANY($1::text[])`, oneMessage, c.Delete); err != nil {
			return err
		}
	}
	return nil
}

// commit commits the transaction and gives the connection back. COMMIT runs in the
// background, without the context of the caller: the end of a context makes pgx ask the
// server to cancel the statement.
func (s *Store) commit(ctx context.Context, conn *pgxpool.Conn, c keys.Change) error {
	if err := ctx.Err(); err != nil {
		s.rollback(ctx, conn)
		return s.fail(ctx, "commit the keyset", err)
	}
	raw := conn.Conn()
	answered := make(chan error, 1)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		err := sendCommit(context.WithoutCancel(ctx), raw)
		answered <- err
		if err == nil {
			s.notify(context.WithoutCancel(ctx), raw, fmt.Sprint(c.NewVersion()))
		}
	}()
	timer := time.NewTimer(commitTimeout(c.Deadline))
	defer timer.Stop()
	var err error
	select {
	case err = <-answered:
		go func() {
			<-finished
			s.release(conn)
		}()
	case <-ctx.Done():
		err = ctx.Err()
		abandon(conn, finished)
	case <-timer.C:
		err = unconfirmedError{errors.New("no answer")}
		abandon(conn, finished)
	}
	if err != nil {
		s.hint.forget()
		return s.fail(ctx, "commit the keyset", err)
	}
	s.hint.setVersion(c.NewVersion())
	return nil
}

// abandon takes a connection out of the pool and closes it when its COMMIT has ended.
func abandon(conn *pgxpool.Conn, finished <-chan struct{}) {
	raw := conn.Hijack()
	go func() {
		<-finished
		_ = raw.Close(context.Background())
	}()
}

// commitTimeout is how long Swap waits for the answer to COMMIT. After the deadline the
// change is late in any case.
func commitTimeout(deadline time.Time) time.Duration {
	if deadline.IsZero() {
		return lockTimeout
	}
	return min(lockTimeout, max(minCommitTimeout, time.Until(deadline.Round(0))))
}

// sendCommit sends COMMIT. The server reports success for a change that no synchronous
// standby has confirmed, with a warning.
func sendCommit(ctx context.Context, conn *pgx.Conn) error {
	takeWarning(conn.PgConn())
	tag, err := conn.Exec(ctx, "COMMIT")
	switch warning := takeWarning(conn.PgConn()); {
	case err != nil:
		return err
	case tag.String() != "COMMIT":
		return fmt.Errorf("the server answered %s to COMMIT", tag)
	case warning != "":
		return unconfirmedError{errors.New(warning)}
	}
	return nil
}

// unconfirmedError means that a change may be committed, and that the server did not
// confirm it.
type unconfirmedError struct{ cause error }

func (e unconfirmedError) Error() string { return "the commit was not confirmed: " + e.cause.Error() }

// warningKey is the place of the last warning in the data of a connection.
const warningKey = "warning"

// keepWarning keeps a warning of the server until takeWarning.
func keepWarning(conn *pgconn.PgConn, n *pgconn.Notice) {
	if n.SeverityUnlocalized == "WARNING" {
		conn.CustomData()[warningKey] = n.Message + " (SQLSTATE " + n.Code + ")"
	}
}

func takeWarning(conn *pgconn.PgConn) string {
	warning, _ := conn.CustomData()[warningKey].(string)
	delete(conn.CustomData(), warningKey)
	return warning
}
