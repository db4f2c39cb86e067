package postgres

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/postgrestest"
	"github.com/jwksctl/jwksctl/pkg/store/storetest"
)

// waitsForStandby is true while a COMMIT waits for a synchronous standby.
const waitsForStandby = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep')"

// No standby confirms the commit. The context of the caller ends, and then COMMIT goes on.
func TestContextEndsWhileCommitWaitsForAStandby(t *testing.T) {
	server := postgrestest.Start(t)
	s := openStore(t, server.CreateDatabase(t))
	swap(t, s, keys.Change{Document: []byte("one")})
	server.RequireSync(t, true)

	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		server.WaitFor(t, waitsForStandby)
	}()
	err := s.Swap(ctx, keys.Change{Version: 1, Document: []byte("two")})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Swap = %v, want the error of the context", err)
	}
	wantVersion(t, s, 1)
	second, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.Swap(second, keys.Change{Version: 1, Document: []byte("no")}); err == nil {
		t.Error("a second change is committed, and no standby confirmed the first")
	}
	wantVersion(t, s, 1)
	server.WaitFor(t, waitsForStandby)

	server.RequireSync(t, false)
	if err := s.Wait(t.Context(), 1); err != nil {
		t.Error(err)
	}
	wantVersion(t, s, 2)
}

// The caller has no deadline, and Swap ends by itself.
func TestCommitWithoutAnAnswer(t *testing.T) {
	server := postgrestest.Start(t)
	s := openStore(t, server.CreateDatabase(t))
	server.RequireSync(t, true)
	err := s.Swap(t.Context(), keys.Change{Document: []byte("one"), Deadline: time.Now().Add(3 * time.Second)})
	if got := problem(t, err); got != "the store did not confirm a change" {
		t.Errorf("Swap = %v: %s", err, got)
	}
	if errors.Is(err, keys.ErrTooLate) {
		t.Errorf("Swap = %v, and the change may be committed", err)
	}
	wantVersion(t, s, 0)
	server.RequireSync(t, false)
	server.WaitFor(t, "SELECT NOT ("+waitsForStandby[len("SELECT "):]+")")
	wantVersion(t, s, 1)
}

// The server answers ROLLBACK to COMMIT, if a statement has failed before.
func TestCommitThatRollsBack(t *testing.T) {
	server := postgrestest.Start(t)
	s, h := openHooked(t, server.CreateDatabase(t))
	h.once("COMMIT", func(conn *pgx.Conn) {
		if _, err := conn.Exec(t.Context(), "SELECT 1 / 0"); err == nil {
			t.Error("the statement does not fail")
		}
	})
	if err := s.Swap(t.Context(), keys.Change{Document: []byte("no")}); err == nil {
		t.Error("Swap succeeds")
	}
	wantVersion(t, s, 0)
}

// An administrator cancels the wait for the standby. The server reports success, with a
// warning.
func TestCancelledWaitForAStandbyIsNoSuccess(t *testing.T) {
	server := postgrestest.Start(t)
	s := openStore(t, server.CreateDatabase(t))
	swap(t, s, keys.Change{Document: []byte("one")})
	version := uint64(1)
	for _, function := range []string{"pg_cancel_backend", "pg_terminate_backend"} {
		server.RequireSync(t, true)
		done := make(chan struct{})
		go func() {
			defer close(done)
			server.WaitFor(t, waitsForStandby)
			server.Exec(t, "postgres", "SELECT "+function+"(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
		}()
		err := s.Swap(t.Context(), keys.Change{Version: version, Document: []byte("x")})
		<-done
		got := problem(t, err)
		if want := map[string]string{
			"pg_cancel_backend":    "the store did not confirm a change",
			"pg_terminate_backend": "the connection to the store was lost",
		}[function]; got != want {
			t.Errorf("%s: Swap = %v: %q, want %q", function, err, got, want)
		}
		server.RequireSync(t, false)
		version++ // it is committed on this server
		wantVersion(t, s, version)
	}
}

// A synchronous standby loses nothing that was acknowledged when it is promoted, and the
// store finds it among the hosts of its URL.
func TestPromotionOfASynchronousStandby(t *testing.T) {
	primary := postgrestest.Start(t)
	standby := primary.Standby(t)
	primary.RequireSync(t, true)
	name := databaseName(t, primary.CreateDatabase(t))
	standby.WaitFor(t, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = '"+name+"')")
	url := sprintf("postgres://postgres@%s,%s/%s?sslmode=disable", standby.Address(), primary.Address(), name)
	s := openStore(t, url)
	for version := range uint64(20) {
		swap(t, s, keys.Change{Version: version, Document: []byte("x")})
	}
	waiting := make(chan error, 1)
	go func() { waiting <- s.Wait(t.Context(), 20) }()

	primary.Kill(t)
	if _, err := s.Load(t.Context()); err == nil {
		t.Error("a read succeeds without a primary")
	} else if got := problem(t, err); got != "the store cannot be reached" && got != "the store is read-only: it is a standby" {
		t.Errorf("Load = %v: %s", err, got)
	}
	standby.Promote(t)
	wantVersion(t, s, 20)
	swap(t, s, keys.Change{Version: 20, Document: []byte("x")})
	if err := <-waiting; err != nil {
		t.Logf("Wait = %v", err) // it read while there was no primary
	}
}

// A standby is refused for everything, and the connection to it is dropped.
func TestStandbyIsRefused(t *testing.T) {
	primary := postgrestest.Start(t)
	url := primary.CreateDatabase(t)
	writer := openStore(t, url)
	swap(t, writer, keys.Change{Document: []byte("one"), Put: map[string][]byte{"a": []byte("a")}})
	standby := primary.Standby(t)
	const want = "the store is read-only: it is a standby"
	for name, open := range openers {
		_, err := open(t.Context(), standby.URL(databaseName(t, url)))
		if got := problem(t, err); got != want {
			t.Errorf("%s = %v: %s", name, err, got)
		}
	}

	// This handle was opened on the primary, and its next connection meets the standby.
	s := openStore(t, url)
	l, err := parseURL(standby.URL(databaseName(t, url)))
	if err != nil {
		t.Fatal(err)
	}
	config, err := newStore(l).poolConfig()
	if err != nil {
		t.Fatal(err)
	}
	s.pool.Close()
	if s.pool, err = pgxpool.NewWithConfig(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func(ctx context.Context) error{
		"Load":          func(ctx context.Context) error { _, err := s.Load(ctx); return err },
		"PrivateKey":    func(ctx context.Context) error { _, err := s.PrivateKey(ctx, "a"); return err },
		"PrivateKeyIDs": func(ctx context.Context) error { _, err := s.PrivateKeyIDs(ctx); return err },
		"Swap":          func(ctx context.Context) error { return s.Swap(ctx, keys.Change{Version: 1, Document: []byte("no")}) },
		"Wait":          func(ctx context.Context) error { return s.Wait(ctx, 1) },
	} {
		s.hint.forget()
		err := call(t.Context())
		if got := problem(t, err); got != want {
			t.Errorf("%s = %v: %s", name, err, got)
		}
		waitUntilEmpty(t, s)
	}
	standby.Promote(t)
	wantVersion(t, s, 1)
}

// A primary that was made read-only reads, and its refusal to write is named.
func TestReadOnlyPrimary(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.CreateDatabase(t)
	s := openStore(t, url)
	swap(t, s, keys.Change{Document: []byte("one")})
	server.Exec(t, "postgres", "ALTER DATABASE "+databaseName(t, url)+" SET default_transaction_read_only = on")
	s.pool.Reset()
	wantVersion(t, s, 1)
	for _, version := range []uint64{0, 1} {
		err := s.Swap(t.Context(), keys.Change{Version: version, Document: []byte("no")})
		if got := problem(t, err); got != "the store is read-only: it is a standby, or was made read-only" {
			t.Errorf("Swap = %v: %s", err, got)
		}
		waitUntilEmpty(t, s)
	}
	server.Exec(t, "postgres", "SET default_transaction_read_only = off; ALTER DATABASE "+databaseName(t, url)+" RESET default_transaction_read_only")
	swap(t, s, keys.Change{Version: 1, Document: []byte("two")})
}

// The server restarts between two calls: no call fails.
func TestRestartBetweenCalls(t *testing.T) {
	server := postgrestest.Start(t)
	s := openStore(t, server.CreateDatabase(t))
	version := uint64(0)
	for _, call := range []func(){
		func() { wantVersion(t, s, version) },
		func() { swap(t, s, keys.Change{Version: version, Document: []byte("x")}); version++ },
		func() {
			if _, err := s.PrivateKey(t.Context(), "a"); !errors.Is(err, keys.ErrNoPrivateKey) {
				t.Error(err)
			}
		},
	} {
		for _, restart := range []func(testing.TB){server.Restart, func(t testing.TB) { server.Kill(t); server.Start(t) }} {
			wantVersion(t, s, version) // there is a connection
			restart(t)
			call()
		}
	}
}

// The server is killed before each statement of a change, and started again.
func TestKillDuringASwap(t *testing.T) {
	server := postgrestest.Start(t)
	for _, step := range []string{"UPDATE", "COMMIT"} {
		s, h := openHooked(t, server.CreateDatabase(t))
		h.once(step, func(*pgx.Conn) { server.Kill(t) })
		err := s.Swap(t.Context(), keys.Change{Document: []byte("no")})
		if got := problem(t, err); got != "the connection to the store was lost" {
			t.Errorf("%s: Swap = %v: %s", step, err, got)
		}
		_, err = s.Load(t.Context())
		if got := problem(t, err); got != "the store cannot be reached" {
			t.Errorf("%s: Load = %v: %s", step, err, got)
		}
		server.Start(t)
		wantVersion(t, s, 0)
	}
}

// waitUntilEmpty waits until the pool has no connection.
func waitUntilEmpty(t *testing.T, s *Store) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); s.pool.Stat().TotalConns() > 0; <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the pool keeps %d connections", s.pool.Stat().TotalConns())
		}
	}
}

// The open connections hang, and new ones work. The store needs no more time than the
// contexts of the calls, also if all connections of the pool hang.
func TestConnectionsThatHang(t *testing.T) {
	server := postgrestest.Start(t)
	proxy := storetest.NewProxy(t, "tcp", server.Address(), storetest.PostgreSQL)
	s := openStore(t, "postgres://postgres@"+proxy.Addr()+"/postgres?sslmode=disable")
	swap(t, s, keys.Change{Document: []byte("one")})
	for range 3 {
		conns := make([]*pgxpool.Conn, maxConnections)
		for i := range conns {
			var err error
			if conns[i], err = s.pool.Acquire(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, conn := range conns {
			conn.Release()
		}
		proxy.HangOpen()
		for range maxConnections {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			_, err := s.Load(ctx)
			wantProblem(t, "Load", err, "the store does not answer")
			cancel()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // pgx closes a connection for 15 s
		if _, err := s.Load(ctx); err != nil {
			t.Errorf("Load on a new connection = %v", err)
		}
		cancel()
	}
}
