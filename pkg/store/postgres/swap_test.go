//go:build unix

package postgres

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/postgrestest"
)

// hook is a tracer that calls a function before each statement of a store.
type hook struct {
	mu     sync.Mutex
	before func(conn *pgx.Conn, statement string)
}

func (h *hook) set(before func(conn *pgx.Conn, statement string)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.before = before
}

func (h *hook) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	h.mu.Lock()
	before := h.before
	h.mu.Unlock()
	if before != nil {
		before(conn, data.SQL)
	}
	return ctx
}

func (h *hook) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// openHooked opens a store and returns its hook.
func openHooked(t *testing.T, url string) (*Store, *hook) {
	t.Helper()
	h := &hook{}
	s, err := open(t.Context(), url, h, (*Store).migrate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, h
}

// once calls do before the first statement that contains text, but BEGIN does not contain
// COMMIT. The channel is closed when do has returned.
func (h *hook) once(text string, do func(conn *pgx.Conn)) (done <-chan struct{}) {
	var once sync.Once
	returned := make(chan struct{})
	h.set(func(conn *pgx.Conn, statement string) {
		if strings.Contains(strings.TrimSuffix(statement, "READ COMMITTED"), text) {
			once.Do(func() {
				defer close(returned)
				do(conn)
			})
		}
	})
	return returned
}

// databaseName returns the name of the database in a URL of postgrestest.
func databaseName(t *testing.T, url string) string {
	t.Helper()
	l, err := parseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	return l.database
}

// problem returns the sentence of a StoreError, and fails the test if err is none.
func problem(t *testing.T, err error) string {
	t.Helper()
	e, ok := errors.AsType[*keys.StoreError](err)
	if !ok {
		t.Errorf("%v is not a StoreError", err)
		return ""
	}
	return e.Problem
}

// waitUntilGone waits until the server has ended a session.
func waitUntilGone(t *testing.T, server *postgrestest.Server, pid uint32) {
	t.Helper()
	server.WaitFor(t, sprintf("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %d)", pid))
}

// The server ends the session before each statement of a change. The change is complete or
// absent afterwards, and the error never claims that it was refused.
func TestSessionEndsAtEachStepOfASwap(t *testing.T) {
	server := postgrestest.Start(t)
	for _, version := range []uint64{0, 1} {
		for _, step := range []string{"BEGIN", "set_config", "lock", `INSERT INTO "jwksctl".private_key`, "DELETE", `UPDATE "jwksctl".keyset`, "COMMIT", "pg_notify"} {
			if step == "lock" {
				step = map[uint64]string{0: `INSERT INTO "jwksctl".keyset`, 1: "FOR UPDATE"}[version]
			}
			t.Run(sprintf("%d %s", version, step), func(t *testing.T) {
				s, h := openHooked(t, server.CreateDatabase(t))
				if version == 1 {
					swap(t, s, keys.Change{Document: []byte("one"), Put: map[string][]byte{"old": []byte("old")}})
				}
				reached := h.once(step, func(conn *pgx.Conn) {
					server.Exec(t, "postgres", sprintf("SELECT pg_terminate_backend(%d)", conn.PgConn().PID()))
					waitUntilGone(t, server, conn.PgConn().PID())
				})
				change := keys.Change{Version: version, Document: []byte("new"), Put: map[string][]byte{"new": []byte("new")}, Delete: []string{"old"}}
				err := s.Swap(t.Context(), change)
				<-reached
				if errors.Is(err, keys.ErrConflict) || errors.Is(err, keys.ErrTooLate) {
					t.Errorf("Swap = %v", err)
				}
				// BEGIN is sent again on a new connection.
				if done := step == "BEGIN" || step == "pg_notify"; done != (err == nil) {
					t.Errorf("Swap = %v, want success %v", err, done)
				}
				if err != nil {
					if got := problem(t, err); got != "the store is shutting down or starting" && got != "the connection to the store was lost" {
						t.Errorf("Problem %q for %v", got, err)
					}
				}
				wantWhole(t, s, version, err == nil)
				h.set(nil)
				after := version
				if err == nil {
					after++
				}
				swap(t, s, keys.Change{Version: after, Document: []byte("after")})
			})
		}
	}
}

// wantWhole checks that a change of TestSessionEndsAtEachStepOfASwap is complete or absent.
func wantWhole(t *testing.T, s *Store, before uint64, done bool) {
	t.Helper()
	want, kids := before, map[uint64]string{0: "", 1: "old"}[before]
	if done {
		want, kids = before+1, "new"
	}
	wantVersion(t, s, want)
	got, err := s.PrivateKeyIDs(t.Context())
	if err != nil || strings.Join(got, " ") != kids {
		t.Errorf("PrivateKeyIDs = %q, %v, want %q", got, err, kids)
	}
}

// The client stops before COMMIT. The server ends the transaction while time is left, so
// that the change cannot land when the client goes on.
func TestServerEndsATransactionThatStops(t *testing.T) {
	server := postgrestest.Start(t)
	s, h := openHooked(t, server.CreateDatabase(t))
	h.once("COMMIT", func(conn *pgx.Conn) { waitUntilGone(t, server, conn.PgConn().PID()) })
	deadline := time.Now().Add(10 * time.Second)
	err := s.Swap(t.Context(), keys.Change{Document: []byte("no"), Deadline: deadline})
	// On a socket the write fails before the message of the server is read.
	if got := problem(t, err); got != "the store ended a change that took too long" && got != "the connection to the store was lost" {
		t.Errorf("Swap = %v: %s", err, got)
	}
	wantVersion(t, s, 0)
}

// The last write comes shortly before the deadline, and COMMIT after it. The transaction has
// ended by then.
func TestCommitAfterTheDeadlineFindsNoTransaction(t *testing.T) {
	server := postgrestest.Start(t)
	s, h := openHooked(t, server.CreateDatabase(t))
	swap(t, s, keys.Change{Document: []byte("one")})
	held := make(chan struct{})
	deadline := time.Now().Add(2 * time.Second)
	h.set(func(conn *pgx.Conn, statement string) {
		switch {
		case strings.HasPrefix(statement, "UPDATE"): // a statement keeps the session from being idle
			if _, err := conn.Exec(t.Context(), "SELECT pg_sleep_until($1)", deadline.Add(-200*time.Millisecond)); err != nil {
				t.Error(err)
			}
		case statement == "COMMIT":
			defer close(held)
			server.Exec(t, "postgres", "SELECT pg_sleep(0.7)")
		}
	})
	err := s.Swap(t.Context(), keys.Change{Version: 1, Document: []byte("no"), Deadline: deadline})
	if err == nil {
		t.Error("Swap = nil for a change that was committed after its deadline")
	}
	if errors.Is(err, keys.ErrTooLate) {
		return // the machine is slow, and COMMIT was not reached
	}
	<-held // Swap does not wait longer than a second for COMMIT
	wantVersion(t, s, 1)
}

// Another session holds the lock of the row until after the deadline.
func TestLockPastTheDeadline(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.CreateDatabase(t)
	s := openStore(t, url)
	swap(t, s, keys.Change{Document: []byte("one"), Put: map[string][]byte{"a": []byte("a")}})
	for _, lock := range []string{
		"SELECT FROM jwksctl.keyset FOR UPDATE",
		"SELECT FROM jwksctl.private_key FOR UPDATE",
		"LOCK TABLE jwksctl.keyset",
	} {
		other := server.Connect(t, databaseName(t, url))
		if _, err := other.Exec(t.Context(), "BEGIN; "+lock); err != nil {
			t.Fatal(err)
		}
		c := keys.Change{Version: 1, Document: []byte("no"), Delete: []string{"a"}, Deadline: time.Now().Add(100 * time.Millisecond)}
		if err := s.Swap(t.Context(), c); !errors.Is(err, keys.ErrTooLate) {
			t.Errorf("%s: Swap = %v, want ErrTooLate", lock, err)
		}
		if _, err := other.Exec(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		wantVersion(t, s, 1)
	}
}

// The deadline passes when the row is locked already.
func TestDeadlinePassesInsideTheTransaction(t *testing.T) {
	server := postgrestest.Start(t)
	for _, version := range []uint64{0, 1} {
		s, h := openHooked(t, server.CreateDatabase(t))
		if version == 1 {
			swap(t, s, keys.Change{Document: []byte("one")})
		}
		// Statements on the connection keep the session from being idle.
		h.once("UPDATE", func(conn *pgx.Conn) {
			if _, err := conn.Exec(t.Context(), "SELECT pg_sleep(0.3)"); err != nil {
				t.Error(err)
			}
		})
		c := keys.Change{Version: version, Document: []byte("no"), Deadline: time.Now().Add(250 * time.Millisecond)}
		if err := s.Swap(t.Context(), c); !errors.Is(err, keys.ErrTooLate) {
			t.Errorf("Swap = %v, want ErrTooLate", err)
		}
		wantVersion(t, s, version)
	}
}

// The clock of the server decides, and it is an hour ahead.
func TestDeadlineIsComparedWithTheClockOfTheServer(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.CreateDatabase(t)
	server.Exec(t, databaseName(t, url),
		"CREATE SCHEMA ahead",
		"CREATE FUNCTION ahead.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT pg_catalog.clock_timestamp() + interval ''1 hour'''",
		"ALTER DATABASE "+databaseName(t, url)+" SET search_path = ahead, pg_catalog")
	s := openStore(t, url)
	if err := s.Swap(t.Context(), keys.Change{Document: []byte("no"), Deadline: time.Now().Add(time.Minute)}); !errors.Is(err, keys.ErrTooLate) {
		t.Errorf("Swap = %v, want ErrTooLate", err)
	}
	swap(t, s, keys.Change{Document: []byte("one"), Deadline: time.Now().Add(61 * time.Minute)})
	record, err := s.Load(t.Context())
	if ahead := time.Until(record.Now); err != nil || ahead < 59*time.Minute || ahead > 61*time.Minute {
		t.Errorf("Load says that it is %v, %v", record.Now, err)
	}
}

func TestSynchronousCommit(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.CreateDatabase(t)
	s, h := openHooked(t, url)
	version := uint64(0)
	for configured, want := range map[string]string{"on": "on", "off": "on", "local": "on", "remote_write": "on", "remote_apply": "remote_apply"} {
		server.Exec(t, databaseName(t, url), "ALTER DATABASE "+databaseName(t, url)+" SET synchronous_commit = "+configured)
		s.pool.Reset()
		var got string
		h.once("COMMIT", func(conn *pgx.Conn) {
			if err := conn.QueryRow(t.Context(), "SHOW synchronous_commit").Scan(&got); err != nil {
				t.Error(err)
			}
		})
		swap(t, s, keys.Change{Version: version, Document: []byte("x")})
		version++
		if got != want {
			t.Errorf("synchronous_commit = %s of the database: a change is committed with %s, want %s", configured, got, want)
		}
	}
	// The setting has no effect, and the value that is read back shows it.
	server.Exec(t, databaseName(t, url),
		"CREATE SCHEMA fake",
		"CREATE FUNCTION fake.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS 'SELECT $2'",
		"ALTER DATABASE "+databaseName(t, url)+" SET search_path = fake, pg_catalog",
		"ALTER DATABASE "+databaseName(t, url)+" SET synchronous_commit = off")
	s.pool.Reset()
	err := s.Swap(t.Context(), keys.Change{Version: version, Document: []byte("no")})
	if err == nil || !strings.Contains(err.Error(), "synchronous_commit = off") {
		t.Errorf("Swap = %v, want a refusal", err)
	}
	wantVersion(t, s, version)
}
