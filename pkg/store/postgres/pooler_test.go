//go:build unix

package postgres

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/programtest"
	"github.com/jwksctl/jwksctl/pkg/store/postgrestest"
	"github.com/jwksctl/jwksctl/pkg/store/storetest"
)

// startPooler starts a pgbouncer in transaction mode in front of a server, and returns the
// URL of a database behind it.
func startPooler(t *testing.T, server *postgrestest.Server, database string) (url string) {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		if program = "/usr/sbin/pgbouncer"; !exists(program) {
			programtest.Missing(t, "pgbouncer is not installed: the test with a pooler did not run: apt-get install pgbouncer")
		}
	}
	port := programtest.Port(t)
	settings := fmt.Sprintf(`[databases]
* = host=%s port=%d user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
`, server.Folder, server.Port, port)
	file := filepath.Join(server.Folder, fmt.Sprintf("pgbouncer-%d.ini", port))
	if err := os.WriteFile(file, []byte(settings), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	pooler := server.Command(ctx, program, file)
	log, err := os.Create(filepath.Join(server.Folder, fmt.Sprintf("pgbouncer-%d.log", port)))
	if err != nil {
		t.Fatal(err)
	}
	pooler.Stdout, pooler.Stderr = log, log
	if err := pooler.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = pooler.Wait()
		_ = log.Close()
	})
	url = fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", port, database)
	waitUntil(t, "the pooler answers", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, url)
		if err == nil {
			_ = conn.Close(ctx)
		}
		return err == nil
	})
	return url
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestConformanceBehindAPooler(t *testing.T) {
	server := postgrestest.Start(t)
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		name := databaseName(t, server.CreateDatabase(t))
		url := startPooler(t, server, name)
		return storetest.Fixture{
			Open:   func() keys.Store { return openForSuite(t, url) },
			Backup: func() func() { return server.Backup(t, name) },
		}
	})
}

// A pooler in transaction mode gives notifications to the wrong client. The test of the
// listener notices that.
func TestHintIsOffBehindAPooler(t *testing.T) {
	server := postgrestest.Start(t)
	url := startPooler(t, server, "postgres")
	s := openStore(t, url)
	swap(t, s, keys.Change{Document: []byte("one")})
	result := make(chan error, 1)
	go func() { result <- s.Wait(t.Context(), 1) }()
	waitUntil(t, "the pooler is noticed", s.pooled.Load)
	if n := s.listened.Load(); n > 0 {
		t.Errorf("the test of the listener succeeded %d times", n)
	}
	swap(t, openStore(t, url), keys.Change{Version: 1, Document: []byte("two")})
	if err := <-result; err != nil {
		t.Errorf("Wait = %v", err)
	}
}
