//go:build unix

package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jwksctl/jwksctl/pkg/programtest"
)

// waitTimeout bounds each wait for a server. Only a failing test takes so long.
const waitTimeout = 60 * time.Second

// Server is a PostgreSQL server that belongs to one test.
type Server struct {
	Folder string // contains the socket, the data and the log
	Port   int    // of the socket and of 127.0.0.1

	in        installation
	settings  []string
	process   *exec.Cmd
	exited    chan struct{} // closed when the process has ended
	databases atomic.Int32
}

// Start starts a server, which the end of the test stops. Settings are lines of
// postgresql.conf, such as "max_connections = 20".
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	in := find(t)
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	template, err := in.template(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, in, settings)
	if err := in.copyTemplate(ctx, template, s.data()); err != nil {
		t.Fatal(err)
	}
	s.configure(t)
	s.Start(t)
	return s
}

func newServer(t testing.TB, in installation, settings []string) *Server {
	t.Helper()
	folder, err := in.folder()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Folder: folder, Port: programtest.Port(t), in: in, settings: settings}
	s.removeWhenTestProcessEnds(t)
	t.Cleanup(func() { s.end(t) })
	return s
}

func (s *Server) data() string { return filepath.Join(s.Folder, "data") }
func (s *Server) log() string  { return filepath.Join(s.Folder, "log") }

// configure writes the settings of a new cluster.
func (s *Server) configure(t testing.TB) {
	t.Helper()
	conf := fmt.Sprintf(`
listen_addresses = '127.0.0.1'
port = %d
unix_socket_directories = '%s'
fsync = off
shared_buffers = 16MB
max_connections = 200
max_wal_senders = 5
wal_keep_size = 64MB
log_line_prefix = '%%m [%%p] %%u '
password_encryption = 'scram-sha-256'
`, s.Port, s.Folder)
	hba := fmt.Sprintf(`
local all all trust
local replication all trust
host all postgres,"%s" 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
`, s.in.superuser)
	s.write(t, "postgresql.conf", conf+strings.Join(s.settings, "\n")+"\n")
	s.write(t, "pg_hba.conf", hba)
}

// write replaces a file in the data folder. Its owner and mode stay.
func (s *Server) write(t testing.TB, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.data(), name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Start starts a server that was stopped or killed.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(s.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // another user writes to it
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() //nolint:errcheck // the server has its own copy
	s.process = s.in.command(context.WithoutCancel(t.Context()), "postgres", "-D", s.data())
	s.process.Stdout, s.process.Stderr = log, log
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	s.exited = exited
	go func() {
		_ = s.process.Wait()
		close(exited)
	}()
	s.waitUntilReady(t)
}

// waitUntilReady waits until the server answers.
func (s *Server) waitUntilReady(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			_ = conn.Close(ctx)
			return
		}
		select {
		case <-s.exited:
			t.Fatalf("the server ended at its start:\n%s", s.Log())
		case <-ctx.Done():
			t.Fatalf("the server does not answer: %v\n%s", err, s.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Log returns what the server has written to its log.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.log())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// URL returns the URL of a database on the socket, for the superuser postgres.
func (s *Server) URL(database string) string {
	query := url.Values{"host": {s.Folder}, "port": {strconv.Itoa(s.Port)}}
	return "postgres://postgres@/" + database + "?" + query.Encode()
}

// TCPURL returns the URL of a database on 127.0.0.1, for the superuser postgres.
func (s *Server) TCPURL(database string) string {
	return fmt.Sprintf("postgres://postgres@%s/%s?sslmode=disable", s.Address(), database)
}

// Address returns host and port.
func (s *Server) Address() string { return fmt.Sprintf("127.0.0.1:%d", s.Port) }

// CreateDatabase creates an empty database and returns its URL on the socket.
func (s *Server) CreateDatabase(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", s.databases.Add(1))
	s.Exec(t, "postgres", "CREATE DATABASE "+name)
	return s.URL(name)
}

// Connect returns a connection of the superuser to a database. The end of the test closes it.
func (s *Server) Connect(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}

// Exec runs statements as the superuser, each in a transaction of its own.
func (s *Server) Exec(t testing.TB, database string, statements ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx) //nolint:errcheck // every statement has been committed
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// end stops the server and removes its folder. It shows the log if the test failed.
func (s *Server) end(t testing.TB) {
	if s.process != nil {
		s.signal(syscall.SIGCONT)
		s.Kill(t)
	}
	if t.Failed() {
		t.Logf("log of PostgreSQL at %s:\n%s", s.Folder, s.Log())
	}
	if err := os.RemoveAll(s.Folder); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
