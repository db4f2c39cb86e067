//go:build linux

package main

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/store/postgrestest"
)

// machine runs commands that share a state folder and a store.
type machine struct {
	t           *testing.T
	environ     []string
	stateFolder string
}

func newMachine(t *testing.T, store string, more ...string) machine {
	t.Helper()
	environ := []string{"JWKSCTL_ALGORITHM=ES256", "JWKSCTL_EXPIRED_TOKENS=false", "JWKSCTL_STORE=" + store}
	return machine{t, append(environ, more...), filepath.Join(t.TempDir(), "state")}
}

// run runs a command, which must end with the exit code, and returns all that it printed.
func (m machine) run(code int, args ...string) string {
	m.t.Helper()
	p, stdout, stderr := newProcess(m.t, "")
	p.environ, p.stateFolder = m.environ, m.stateFolder
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	got := execute(ctx, p, args)
	text := stdout.String() + stderr.String()
	if got != code {
		m.t.Fatalf("%q gives %d, want %d: %s", args, got, code, text)
	}
	if took := time.Since(began); took > 15*time.Second {
		m.t.Errorf("%q took %v", args, took)
	}
	return text
}

func (m machine) want(text string, parts ...string) {
	m.t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			m.t.Errorf("%q is not in\n%s", part, text)
		}
	}
}

// files are the names in a folder, without the parts that differ.
func files(t *testing.T, folder string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		kind, _, _ := strings.Cut(e.Name(), "-")
		names = append(names, kind)
	}
	return names
}

// The sealing key and the witness of a store on the network are in the state folder. If
// such a store is empty and was not, nothing takes its place without a word.
func TestPlacesOfAStoreOnTheNetwork(t *testing.T) {
	server := postgrestest.Start(t)
	store := server.CreateDatabase(t)
	database := strings.Trim(must1(url.Parse(store)).Path, "/")
	m := newMachine(t, store)

	m.want(m.run(4, "keys", "list"), "no keyset")
	if got := files(t, m.stateFolder); len(got) > 0 {
		t.Errorf("a command that only reads made %q", got)
	}
	m.run(exitDone, "token")
	if got := files(t, m.stateFolder); !slices.Equal(got, []string{"seal.key", "store", "witness"}) {
		t.Errorf("the state folder has %q", got)
	}
	m.run(exitDone, "keys", "rotate", "--force")

	// Another machine needs the sealing key, and then has a witness of its own.
	other := newMachine(t, store)
	other.want(other.run(exitUsage, "token"), filepath.Join(other.stateFolder, "seal.key"), "restore the file that was created together with the store")
	other.environ = append(other.environ, "JWKSCTL_SEAL_KEY=file:"+filepath.Join(m.stateFolder, "seal.key"))
	other.run(exitDone, "token")
	if got := files(t, other.stateFolder); !slices.Equal(got, []string{"store", "witness"}) {
		t.Errorf("the state folder of the other machine has %q", got)
	}

	server.Exec(t, database, "DROP SCHEMA jwksctl CASCADE")
	for _, m := range []machine{m, other} {
		m.want(m.run(5, "token"), "says that it had keyset", "--new-keyset")
		m.want(m.run(4, "keys", "list"), "says that it had keyset")
	}
	second := newMachine(t, server.CreateDatabase(t))
	second.stateFolder = m.stateFolder
	second.run(exitDone, "token") // another store has lost nothing
	m.run(exitDone, "token", "--new-keyset")
	m.run(exitDone, "token")
	other.run(exitDone, "token")
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Without a home directory the sealing key has to be named, and the witness is beside it.
func TestStoreOnTheNetworkWithoutAHomeDirectory(t *testing.T) {
	server := postgrestest.Start(t)
	m := newMachine(t, server.CreateDatabase(t))
	m.stateFolder = ""
	m.want(m.run(exitUsage, "token"), "no place for the sealing key", "--seal-key file:PATH")
	folder := t.TempDir()
	m.environ = append(m.environ, "JWKSCTL_SEAL_KEY=file:"+filepath.Join(folder, "my.key"))
	m.run(exitDone, "token")
	if got := files(t, folder); !slices.Equal(got, []string{"my.key", "store", "witness"}) {
		t.Errorf("beside the sealing key are %q", got)
	}
	// A command that only reads needs neither, and one that only publishes warns.
	m.environ = m.environ[:len(m.environ)-1]
	m.want(m.run(exitDone, "keys", "list"), "active")
	text := m.serveUntilListening("--auth", "off")
	if n := strings.Count(text, "there is no folder for the witness"); n != 1 {
		t.Errorf("%d warnings in\n%s", n, text)
	}
}

// serveUntilListening runs serve until it listens, and returns its log.
func (m machine) serveUntilListening(args ...string) string {
	m.t.Helper()
	p, _, _ := newProcess(m.t, "")
	p.environ, p.stateFolder = m.environ, m.stateFolder
	ctx, cancel := context.WithCancel(m.t.Context())
	defer cancel()
	log := &cancelOnText{text: `"msg":"listening"`, cancel: cancel}
	p.stderr = log
	if code := execute(ctx, p, append([]string{"serve", "--port", "0"}, args...)); code != exitDone {
		m.t.Fatalf("serve %q gives %d: %s", args, code, log.written.String())
	}
	return log.written.String()
}

// A replica that only publishes needs no more than the reader's rights.
func TestServeAuthOffWithTheRightsOfAReader(t *testing.T) {
	server := postgrestest.Start(t)
	store := server.CreateDatabase(t)
	database := strings.Trim(must1(url.Parse(store)).Path, "/")
	m := newMachine(t, store)
	m.run(exitDone, "token")
	server.Exec(t, database, "CREATE ROLE replica LOGIN", "GRANT USAGE ON SCHEMA jwksctl TO replica",
		"GRANT SELECT ON jwksctl.keyset TO replica", "GRANT SELECT ON jwksctl.schema_version TO replica")
	replica := newMachine(t, strings.Replace(store, "//postgres@", "//replica@", 1))
	replica.serveUntilListening("--auth", "off")
	replica.environ = append(replica.environ, "JWKSCTL_SEAL_KEY=file:"+filepath.Join(m.stateFolder, "seal.key"))
	replica.want(replica.run(3, "token"), "denies a right")
}

// A command names the problem of a store that cannot be used, and does not wait for ever.
func TestCommandsNameTheProblemOfTheStore(t *testing.T) {
	server := postgrestest.Start(t)
	m := newMachine(t, server.TCPURL("postgres"))
	m.run(exitDone, "token")
	commands := [][]string{
		{"keys", "list"},
		{"keys", "plan"},
		{"keys", "rotate"},
		{"jwks"},
		{"token"},
		{"serve", "--port", "0"},
		{"serve", "--port", "0", "--auth", "off"},
		{"keys", "accept-restore"},
	}
	check := func(problem string) {
		t.Helper()
		for _, args := range commands {
			m.want(m.run(exitUnavailable, args...), problem)
		}
	}
	server.Stop(t)
	check("the store cannot be reached: store postgres://127.0.0.1:")

	// A server that accepts connections and never answers.
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close() //nolint:errcheck // of a test
	m.environ = append(m.environ, "JWKSCTL_STORE=postgres://me@"+silent.Addr().String()+"/x?sslmode=disable")
	commands = commands[:1]
	check("the store does not answer")
	m.environ = append(m.environ, "JWKSCTL_STORE=etcd://"+silent.Addr().String()+"/x?tls=false")
	check("the store does not answer")
}
