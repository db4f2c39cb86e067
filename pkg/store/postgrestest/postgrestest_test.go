//go:build unix

package postgrestest_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jwksctl/jwksctl/pkg/store/postgrestest"
)

func count(t *testing.T, s *postgrestest.Server) (n int) {
	t.Helper()
	conn := s.Connect(t, "postgres")
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM list").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestServerKeepsWhatWasCommitted(t *testing.T) {
	s := postgrestest.Start(t)
	s.Exec(t, "postgres", "CREATE TABLE list (n int)", "INSERT INTO list VALUES (1)")
	for name, restart := range map[string]func(testing.TB){
		"restart": s.Restart,
		"kill":    func(t testing.TB) { s.Kill(t); s.Start(t) },
		"stop":    func(t testing.TB) { s.Stop(t); s.Start(t) },
	} {
		restart(t)
		if n := count(t, s); n != 1 {
			t.Errorf("after %s: %d rows, want 1", name, n)
		}
	}
}

func TestPausedServerDoesNotAnswer(t *testing.T) {
	s := postgrestest.Start(t)
	conn := s.Connect(t, "postgres")
	s.Pause(t)
	for name, ping := range map[string]func(context.Context) error{
		"an open connection": conn.Ping,
		"a new connection": func(ctx context.Context) error {
			_, err := pgx.Connect(ctx, s.URL("postgres"))
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s to a paused server: %v, want no answer", name, err)
		}
	}
	s.Resume(t)
	s.WaitFor(t, "SELECT true")
}

func TestStandby(t *testing.T) {
	s := postgrestest.Start(t)
	s.Exec(t, "postgres", "CREATE TABLE list (n int)")
	standby := s.Standby(t)
	s.RequireSync(t, true)
	s.Exec(t, "postgres", "SET synchronous_commit = remote_apply; INSERT INTO list VALUES (1)")
	standby.WaitFor(t, "SELECT pg_is_in_recovery() AND EXISTS (SELECT FROM list)")
	s.Kill(t)
	standby.Promote(t)
	standby.Exec(t, "postgres", "INSERT INTO list VALUES (2)")
	if n := count(t, standby); n != 2 {
		t.Errorf("%d rows after the promotion, want 2", n)
	}
}

func TestPasswords(t *testing.T) {
	s := postgrestest.Start(t)
	s.Exec(t, "postgres", "CREATE ROLE guest LOGIN PASSWORD 'right'")
	for password, allowed := range map[string]bool{"right": true, "wrong": false} {
		conn, err := pgx.Connect(t.Context(), "postgres://guest:"+password+"@"+s.Address()+"/postgres?sslmode=disable")
		if (err == nil) != allowed {
			t.Errorf("password %q: %v", password, err)
		}
		if err == nil {
			_ = conn.Close(t.Context())
		}
	}
}

func TestFolderIsRemoved(t *testing.T) {
	var folder string
	t.Run("a test", func(t *testing.T) { folder = postgrestest.Start(t).Folder })
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of the server: %v, want that it does not exist", err)
	}
}
