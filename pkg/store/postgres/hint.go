package postgres

import (
	"context"
	"crypto/rand"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// pollInterval is how old the newest version that was read may get while Wait waits.
	// It is longer than the second after which a running process reads in any case, so
	// that such a process sends nothing more.
	pollInterval = 2 * time.Second

	// selfTestTimeout is how long the notification to ourselves may take.
	selfTestTimeout = 5 * time.Second

	// listenAgain is the pause before the next connection of the listener, and
	// testAgain that after a self-test that failed, because of a pooler.
	listenAgain = time.Second
	testAgain   = 5 * time.Minute
)

// hint is what this process knows of the version of the keyset.
type hint struct {
	mu      sync.Mutex
	version uint64        // the newest that was read or that a notification named
	known   bool          // version is set
	readAt  time.Time     // when it was read
	changed chan struct{} // closed, and replaced, when version or known changes
}

// setVersion records a version that the database had a moment ago.
func (h *hint) setVersion(version uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readAt = time.Now()
	h.set(version, true)
}

// notified records a version that a notification names.
func (h *hint) notified(version uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.set(version, true)
}

// forget makes Wait read the version.
func (h *hint) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.set(0, false)
}

func (h *hint) set(version uint64, known bool) {
	if h.version == version && h.known == known {
		return
	}
	h.version, h.known = version, known
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *hint) get() (version uint64, known bool, age time.Duration, changed <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.version, h.known, time.Since(h.readAt), h.changed
}

// Wait implements keys.Store. It sends a statement only if nothing else has read the
// version for pollInterval.
func (s *Store) Wait(ctx context.Context, version uint64) error {
	s.listening.Do(s.startListener)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		newest, known, age, changed := s.hint.get()
		if known && newest != version {
			return nil
		}
		if !known || age >= pollInterval {
			if err := s.readVersion(ctx); err != nil {
				return err
			}
			continue
		}
		timer := time.NewTimer(pollInterval - age)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// readVersion reads the version for the hint.
func (s *Store) readVersion(ctx context.Context) error {
	var version int64
	err := s.read(ctx, "read the version of the keyset", func(conn *pgx.Conn) error {
		var inRecovery bool
		err := conn.QueryRow(ctx, `SELECT pg_is_in_recovery(), coalesce((SELECT version FROM `+s.schema+`.keyset), 0)`).
			Scan(&inRecovery, &version)
		if err == nil && inRecovery {
			err = errStandby
		}
		return err
	})
	if err != nil && !s.isMissing(err) {
		if cause := ctx.Err(); cause != nil {
			return cause
		}
		return err
	}
	s.hint.setVersion(uint64(version)) //nolint:gosec // the table has only positive ones
	return nil
}

// channel is the name of the notifications.
func (s *Store) channel() string { return s.location.schema + "_keyset" }

// notify sends a notification after a change, on the connection of the change. It is not a
// part of the transaction, because a COMMIT with a notification waits for all others in
// the cluster, and would do so after the last check of the deadline.
func (s *Store) notify(ctx context.Context, conn *pgx.Conn, payload string) {
	ctx, cancel := context.WithTimeout(ctx, shortTimeout)
	defer cancel()
	_, _ = conn.Exec(ctx, `SELECT pg_notify($1, $2)`, s.channel(), payload) // every process polls too
}

func (s *Store) startListener() {
	ctx, stop := context.WithCancel(context.Background())
	s.stop, s.stopped = stop, make(chan struct{})
	go func() {
		defer close(s.stopped)
		for ctx.Err() == nil {
			pause := listenAgain
			if pooled := s.listen(ctx); pooled {
				s.pooled.Store(true)
				pause = testAgain
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}()
}

// listen listens on a connection of its own, until that is lost. It returns true if there
// is a pooler, which passes no notifications on.
func (s *Store) listen(ctx context.Context) (pooled bool) {
	conn, err := s.connect(ctx)
	if err != nil {
		return false // every read says why
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shortTimeout)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+s.channel()); err != nil {
		return false
	}
	if arrived, err := s.testNotification(ctx, conn); !arrived {
		return err == nil
	}
	s.pooled.Store(false)
	s.listened.Add(1)
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return false
		}
		if version, err := strconv.ParseUint(n.Payload, 10, 63); err == nil {
			s.hint.notified(version)
		}
	}
}

// testNotification sends a notification on a connection of the pool and waits for it on
// conn. A pooler would give it to the client that happens to use the server's connection.
func (s *Store) testNotification(ctx context.Context, conn *pgx.Conn) (arrived bool, err error) {
	token := "test " + rand.Text()
	err = s.read(ctx, "send a notification", func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `SELECT pg_notify($1, $2)`, s.channel(), token)
		return err
	})
	if err != nil {
		return false, err
	}
	wait, cancel := context.WithTimeout(ctx, selfTestTimeout)
	defer cancel()
	for {
		n, err := conn.WaitForNotification(wait)
		switch {
		case err != nil && wait.Err() != nil && ctx.Err() == nil:
			return false, nil
		case err != nil:
			return false, err
		case n.Payload == token:
			return true, nil
		}
	}
}

// connect opens a connection beside the pool.
func (s *Store) connect(ctx context.Context) (*pgx.Conn, error) {
	config := s.pool.Config().ConnConfig
	config.OnNotification = nil // so that WaitForNotification gets them
	if err := s.readPassword(ctx, config); err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, config)
}
