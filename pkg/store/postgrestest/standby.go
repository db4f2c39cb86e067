//go:build unix

package postgrestest

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Standby starts a streaming standby of s, and returns when it streams. It is
// asynchronous until s.RequireSync.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	standby := newServer(t, s.in, s.settings)
	err := s.in.run(ctx, "pg_basebackup", "--host", s.Folder, "--port", strconv.Itoa(s.Port), "--username=postgres",
		"--pgdata", standby.data(), "--checkpoint=fast", "--no-sync", "--write-recovery-conf", "--wal-method=stream")
	if err != nil {
		t.Fatal(err)
	}
	standby.configure(t)
	standby.Start(t)
	s.WaitFor(t, `SELECT count(*) > 0 FROM pg_stat_replication WHERE state = 'streaming'`)
	return standby
}

// RequireSync makes each commit of s wait for a standby, or no longer.
func (s *Server) RequireSync(t testing.TB, on bool) {
	t.Helper()
	names := "''"
	if on {
		names = "'*'"
	}
	s.Exec(t, "postgres", "ALTER SYSTEM SET synchronous_standby_names = "+names, "SELECT pg_reload_conf()")
	s.WaitFor(t, `SELECT current_setting('synchronous_standby_names') = `+names+`
		AND NOT EXISTS (SELECT FROM pg_stat_replication WHERE (sync_state = 'sync') <> `+strconv.FormatBool(on)+`)`)
}

// Promote makes a standby a primary.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	s.Exec(t, "postgres", "SELECT pg_promote()")
	s.WaitFor(t, "SELECT NOT pg_is_in_recovery()")
}

// WaitFor waits until a query of the superuser in the database postgres returns true.
func (s *Server) WaitFor(t testing.TB, query string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		// A new connection has the newest settings.
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		var ok bool
		err = conn.QueryRow(ctx, query).Scan(&ok)
		_ = conn.Close(ctx)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if ok {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("it does not become true: %s\n%s", query, s.Log())
		case <-time.After(10 * time.Millisecond):
		}
	}
}
