//go:build unix

package postgres

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/postgrestest"
)

const password = "hunter2-pass/word@x"

// wantProblem checks the sentence of an error, and that no text of it has a password.
func wantProblem(t *testing.T, what string, err error, want string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s succeeds, want %q", what, want)
		return
	}
	if got := problem(t, err); got != want {
		t.Errorf("%s = %v:\nproblem %q, want %q", what, err, got, want)
	}
	for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "xxxxx") {
			t.Errorf("%s: the error contains the password, or the URL with a mask: %s", what, text)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: the error has several lines: %v", what, err)
	}
}

// closedPort returns the address of a port that nothing listens on.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // only its address is needed
	return l.Addr().String()
}

// serverWithTLS starts a server whose certificate is for localhost, and returns the file
// of its authority.
func serverWithTLS(t *testing.T) (server *postgrestest.Server, authority string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	server = postgrestest.Start(t, "ssl = off")
	// The server wants to own the file of its key, so that it writes it itself.
	for name, content := range map[string][]byte{"server.crt": certificate, "server.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		server.Exec(t, "postgres", fmt.Sprintf("COPY (SELECT unnest(string_to_array('%s', E'\\n'))) TO PROGRAM 'umask 077; cat > %s/data/%s'", strings.TrimSpace(string(content)), server.Folder, name))
	}
	server.Exec(t, "postgres", "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()")
	server.WaitFor(t, "SELECT current_setting('ssl') = 'on'")
	authority = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	return server, authority
}

func TestErrorsOfAConnection(t *testing.T) {
	server, authority := serverWithTLS(t)
	plain := postgrestest.Start(t)
	for _, s := range []*postgrestest.Server{server, plain} {
		s.Exec(t, "postgres", "CREATE ROLE guest LOGIN PASSWORD '"+password+"'", "CREATE ROLE busy LOGIN CONNECTION LIMIT 0 PASSWORD '"+password+"'")
	}
	paused, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0") // accepts connections and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer paused.Close() //nolint:errcheck // a test
	secret := "hunter2-pass%2Fword%40x"
	_, port, _ := net.SplitHostPort(server.Address())
	for url, want := range map[string]string{
		"postgres://guest:" + secret + "@" + closedPort(t) + "/postgres":                                                       "the store cannot be reached",
		"postgres://guest:" + secret + "@" + closedPort(t) + "," + closedPort(t) + "/postgres":                                 "the store cannot be reached",
		"postgres://guest:" + secret + "@/postgres?host=" + t.TempDir():                                                        "the store cannot be reached",
		"postgres://guest:" + secret + "@does-not-exist.invalid/postgres":                                                      "the store cannot be reached",
		"postgres://guest:" + secret + "@" + paused.Addr().String() + "/postgres?connect_timeout=1":                            "the store does not answer",
		"postgres://guest:hunter2-wrong@" + plain.Address() + "/postgres":                                                      "the store refuses the password",
		"postgres://guest:hunter2-wrong@" + plain.Address() + "/postgres?sslmode=disable":                                      "the store refuses the password",
		"postgres://guest@" + plain.Address() + "/postgres?sslmode=disable":                                                    "the store refuses the password",
		"postgres://busy:" + secret + "@" + plain.Address() + "/postgres":                                                      "the store has too many connections",
		"postgres://guest:" + secret + "@" + plain.Address() + "/nothing":                                                      "the database of the store does not exist",
		"postgres://guest:" + secret + "@" + plain.Address() + "/postgres":                                                     "the store denies a right that this process needs",
		"postgres://guest:" + secret + "@" + plain.Address() + "/postgres?sslmode=require":                                     "the store does not offer TLS",
		"postgres://guest:" + secret + "@" + server.Address() + "/postgres?sslmode=verify-full&sslrootcert=" + authority:       "the certificate of the store is for another host",
		"postgres://guest:" + secret + "@localhost:" + port + "/postgres?sslmode=verify-full&sslrootcert=" + otherAuthority(t): "the certificate of the store is not trusted",
		"postgres://guest:" + secret + "@localhost:" + port + "/postgres?sslmode=verify-full&sslrootcert=" + authority:         "the store denies a right that this process needs",
		"postgres://guest:" + secret + "@" + server.Address() + "/postgres?sslmode=verify-full&sslrootcert=/does/not/exist":    "the settings of the connection to the store cannot be used",
		"postgres://guest:" + secret + "@" + server.Address() + "/postgres?sslcert=/does/not/exist&sslkey=/nothing":            "the settings of the connection to the store cannot be used",
		"postgres://guest:" + secret + "@" + plain.Address() + "/postgres?channel_binding=hunter2":                             "the settings of the connection to the store cannot be used",
		"postgres://guest@" + plain.Address() + "/postgres?password_file=/does/not/exist":                                      "the password file of the store cannot be used",
	} {
		_, err := Open(t.Context(), url)
		wantProblem(t, "Open("+url+")", err, want)
	}
}

// otherAuthority returns the file of an authority that has signed nothing.
func otherAuthority(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "other"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// The server raises each error in a trigger, as it would in the statement.
func TestErrorsOfASwap(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.CreateDatabase(t)
	s := openStore(t, url)
	swap(t, s, keys.Change{Document: []byte("one")})
	for code, want := range map[string]string{
		"53100": "the disk of the store is full",
		"53200": "the store is out of resources",
		"57P03": "the store is shutting down or starting",
		"55P03": "another process has locked the keyset",
		"40P01": "the store aborted a change",
		"58030": "the store has a fault of its disk or its data",
		"XX001": "the store has a fault of its disk or its data",
		"25006": "the store is read-only: it is a standby, or was made read-only",
		"42501": "the store denies a right that this process needs",
		"22000": "the store refused a statement",
	} {
		server.Exec(t, databaseName(t, url), "CREATE OR REPLACE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'test' USING ERRCODE = '"+code+"'; END $$",
			"CREATE OR REPLACE TRIGGER fault BEFORE UPDATE ON jwksctl.keyset FOR EACH ROW EXECUTE FUNCTION fault()")
		wantProblem(t, code, s.Swap(t.Context(), keys.Change{Version: 1, Document: []byte("no")}), want)
		wantVersion(t, s, 1)
	}
}

// The lock may be held by a session that is idle, or by a change that waits for a standby.
func TestHintOfALock(t *testing.T) {
	_, hint := explain(&pgconn.PgError{Code: codeLockNotAvailable})
	if !strings.Contains(hint, "holds the lock") || !strings.Contains(hint, "SyncRep") {
		t.Errorf("the hint is %q", hint)
	}
}

func TestExplainCodes(t *testing.T) {
	for code, want := range map[string]string{
		"28000": "the store refuses this user",
		"28P02": "the store refuses this user",
		"08006": "the store cannot be reached",
		"57P01": "the store is shutting down or starting",
		"57P05": "the connection to the store was lost",
	} {
		if got, hint := explain(&pgconn.PgError{Code: code}); got != want || hint == "" {
			t.Errorf("%s: %q, hint %q, want %q", code, got, hint, want)
		}
	}
}

// A server that does not answer ends a call with its context.
func TestPausedServer(t *testing.T) {
	server := postgrestest.Start(t)
	s := openStore(t, server.CreateDatabase(t))
	swap(t, s, keys.Change{Document: []byte("one")})
	server.Pause(t)
	for name, call := range map[string]func(ctx context.Context) error{
		"Load":       func(ctx context.Context) error { _, err := s.Load(ctx); return err },
		"PrivateKey": func(ctx context.Context) error { _, err := s.PrivateKey(ctx, "a"); return err },
		"Swap":       func(ctx context.Context) error { return s.Swap(ctx, keys.Change{Version: 1, Document: []byte("no")}) },
	} {
		for range 3 { // more than the pool has connections
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			wantProblem(t, name, call(ctx), "the store does not answer")
			cancel()
		}
	}
	server.Resume(t)
	wantVersion(t, s, 1)
}

// The password file is read again for each connection.
func TestPasswordFile(t *testing.T) {
	server := postgrestest.Start(t)
	server.Exec(t, "postgres", "CREATE ROLE replica LOGIN PASSWORD 'first'", "GRANT CREATE ON DATABASE postgres TO replica")
	file := filepath.Join(t.TempDir(), "password")
	write := func(password string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	s := openStore(t, "postgres://replica@"+server.Address()+"/postgres?sslmode=disable&password_file="+file)
	swap(t, s, keys.Change{Document: []byte("one")})
	endSessions := func() {
		t.Helper()
		server.Exec(t, "postgres", "ALTER ROLE replica PASSWORD 'second'", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'replica'")
	}
	endSessions()
	_, err := s.Load(t.Context())
	wantProblem(t, "Load with the old password", err, "the store refuses the password")
	write("second")
	wantVersion(t, s, 1)
	endSessions()
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = s.Load(t.Context())
	wantProblem(t, "Load with a password file that all can read", err, "the password file of the store cannot be used")
}

func TestPGPASSFILE(t *testing.T) {
	server := postgrestest.Start(t)
	server.Exec(t, "postgres", "CREATE ROLE replica LOGIN PASSWORD 'first'", "GRANT CREATE ON DATABASE postgres TO replica")
	file := filepath.Join(t.TempDir(), "pgpass")
	t.Setenv("PGPASSFILE", file)
	_, port, _ := net.SplitHostPort(server.Address())
	var s *Store
	for _, password := range []string{"first", "second"} {
		server.Exec(t, "postgres", "ALTER ROLE replica PASSWORD '"+password+"'", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'replica'")
		if err := os.WriteFile(file, fmt.Appendf(nil, "127.0.0.1:%s:postgres:replica:%s\n", port, password), 0o600); err != nil {
			t.Fatal(err)
		}
		if s == nil {
			s = openStore(t, "postgres://replica@"+server.Address()+"/postgres?sslmode=disable")
			swap(t, s, keys.Change{Document: []byte("one")})
		}
		wantVersion(t, s, 1)
	}
}
