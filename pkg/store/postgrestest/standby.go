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
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
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
	// Without a standby, only a commit shows whether commits wait: the server has a flag for
	// that, which its checkpointer sets some time after the setting has changed.
	deadline := time.Now().Add(waitTimeout)
	for on && !s.hasStandby(t) && !s.commitWaits(t) {
		if time.Now().After(deadline) {
			t.Fatal("commits do not wait for a standby")
		}
	}
}

func (s *Server) hasStandby(t testing.TB) bool {
	t.Helper()
	var n int
	if err := s.Connect(t, "postgres").QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_replication").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n > 0
}

// commitWaits reports whether a commit waits for a standby, when there is none.
func (s *Server) commitWaits(t testing.TB) bool {
	t.Helper()
	conn := s.Connect(t, "postgres")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := conn.Exec(ctx, "SELECT pg_logical_emit_message(true, 'test', 'a commit')")
	if err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
	return err != nil
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
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
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
