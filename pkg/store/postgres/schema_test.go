//go:build unix

package postgres

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/postgrestest"
)

func TestTenProcessesCreateTheSchema(t *testing.T) {
	server := postgrestest.Start(t)
	for range 3 {
		url := server.CreateDatabase(t)
		start := make(chan struct{})
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() {
				<-start
				s, err := Open(t.Context(), url)
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		group.Wait()
		var versions int
		if err := server.Connect(t, databaseName(t, url)).QueryRow(t.Context(), `SELECT sum(version) FROM jwksctl.schema_version`).Scan(&versions); err != nil || versions != schemaVersion {
			t.Errorf("schema_version has %d, %v, want one row with %d", versions, err, schemaVersion)
		}
	}
}

func TestSchemaOfALaterReleaseIsRefused(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.CreateDatabase(t)
	openStore(t, url)
	server.Exec(t, databaseName(t, url), "UPDATE jwksctl.schema_version SET version = version + 1")
	for name, open := range openers {
		_, err := open(t.Context(), url)
		if got := problem(t, err); got != "the schema of the store is from a later release" || !strings.Contains(err.Error(), "use a newer release") {
			t.Errorf("%s = %v", name, err)
		}
	}
}

var openers = map[string]opener{"Open": Open, "OpenReader": OpenReader}

// A migration that fails leaves nothing behind.
func TestMigrationIsOneTransaction(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.CreateDatabase(t)
	server.Exec(t, databaseName(t, url), "CREATE SCHEMA jwksctl", "CREATE TABLE jwksctl.private_key (another integer)")
	if _, err := Open(t.Context(), url); err == nil {
		t.Fatal("Open succeeds although another table has the name of one of ours")
	}
	server.Exec(t, databaseName(t, url), "DROP TABLE jwksctl.private_key")
	swap(t, openStore(t, url), keys.Change{Document: []byte("one")})
}

// A process stops inside the migration. The server ends its session, and others start. No
// wait for a lock is without an end.
func TestMigrationThatStops(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.CreateDatabase(t)
	h := &hook{}
	lockTimeout := ""
	h.set(func(conn *pgx.Conn, statement string) {
		switch {
		case strings.Contains(statement, "pg_advisory_xact_lock"):
			if err := conn.QueryRow(t.Context(), "SHOW lock_timeout").Scan(&lockTimeout); err != nil {
				t.Error(err)
			}
		case statement == "COMMIT":
			waitUntilGone(t, server, conn.PgConn().PID())
		}
	})
	if s, err := open(t.Context(), url, h, (*Store).migrate); err == nil {
		_ = s.Close()
		t.Error("a migration is committed after its session has ended")
	}
	if lockTimeout != "5s" {
		t.Errorf("lock_timeout = %s in a migration, want 5s", lockTimeout)
	}
	swap(t, openStore(t, url), keys.Change{Document: []byte("one")})
}

// Each schema is a store of its own.
func TestSchemasAreSeparate(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.CreateDatabase(t)
	swap(t, openStore(t, url), keys.Change{Document: []byte("one")})
	other := openStore(t, url+"&schema=other")
	wantVersion(t, other, 0)
	swap(t, other, keys.Change{Document: []byte("one")})
	swap(t, other, keys.Change{Version: 1, Document: []byte("two")})
	wantVersion(t, openStore(t, url+"&schema=jwksctl"), 1)
}

// A word that SQL reserves is the name of a schema too.
func TestSchemaWithAReservedName(t *testing.T) {
	server := postgrestest.Start(t)
	for _, name := range []string{"order", "user", "default"} {
		s := openStore(t, server.CreateDatabase(t)+"&schema="+name)
		swap(t, s, keys.Change{Document: []byte("one"), Put: map[string][]byte{"a": []byte("a"), "b": []byte("b")}})
		swap(t, s, keys.Change{Version: 1, Document: []byte("two"), Delete: []string{"b"}})
		wantVersion(t, s, 2)
		if err := s.readVersion(t.Context()); err != nil {
			t.Error(err)
		}
		if sealed, err := s.PrivateKey(t.Context(), "a"); err != nil || string(sealed) != "a" {
			t.Errorf("schema %s: PrivateKey = %q, %v", name, sealed, err)
		}
		if kids, err := s.PrivateKeyIDs(t.Context()); err != nil || len(kids) != 1 {
			t.Errorf("schema %s: PrivateKeyIDs = %q, %v", name, kids, err)
		}
		if _, err := s.Check(t.Context()); err != nil {
			t.Errorf("schema %s: Check = %v", name, err)
		}
	}
}

// A reader of a database without the schema finds no keyset, and makes nothing.
func TestReaderOfAnEmptyDatabase(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.CreateDatabase(t)
	reader := openReader(t, url)
	wantNoKeyset := func() {
		t.Helper()
		if _, err := reader.Load(t.Context()); !errors.Is(err, keys.ErrNoKeyset) {
			t.Errorf("Load = %v, want ErrNoKeyset", err)
		}
		if _, err := reader.PrivateKey(t.Context(), "a"); !errors.Is(err, keys.ErrNoPrivateKey) {
			t.Errorf("PrivateKey = %v, want ErrNoPrivateKey", err)
		}
		if kids, err := reader.PrivateKeyIDs(t.Context()); err != nil || len(kids) > 0 {
			t.Errorf("PrivateKeyIDs = %q, %v", kids, err)
		}
	}
	wantNoKeyset()
	var schemas int
	conn := server.Connect(t, databaseName(t, url))
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_namespace WHERE nspname = 'jwksctl'`).Scan(&schemas); err != nil || schemas != 0 {
		t.Errorf("the reader made %d schemas, %v", schemas, err)
	}
	writer := openStore(t, url)
	wantNoKeyset()
	swap(t, writer, keys.Change{Document: []byte("one")})
	wantVersion(t, reader, 1)
	if err := reader.Swap(t.Context(), keys.Change{Version: 1, Document: []byte("no")}); err == nil {
		t.Error("a reader changed the keyset")
	}

	// The schema was there: now its absence is a fault, and not an empty store.
	server.Exec(t, databaseName(t, url), "DROP SCHEMA jwksctl CASCADE")
	for _, s := range []*Store{reader, writer} {
		_, err := s.Load(t.Context())
		if got := problem(t, err); got != "the schema of the store does not exist" || errors.Is(err, keys.ErrNoKeyset) {
			t.Errorf("Load without the schema = %v: %s", err, got)
		}
	}
}

func openReader(t *testing.T, url string) *Store {
	t.Helper()
	s, err := OpenReader(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// roles.sql is what the README tells an administrator to run.
func TestRoles(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.CreateDatabase(t)
	name := databaseName(t, url)
	swap(t, openStore(t, url), keys.Change{Document: []byte("one"), Put: map[string][]byte{"a": []byte("sealed")}})
	sql, err := os.ReadFile("roles.sql")
	if err != nil {
		t.Fatal(err)
	}
	server.Exec(t, name, string(sql),
		"CREATE ROLE publisher LOGIN IN ROLE jwksctl_reader",
		"CREATE ROLE replica LOGIN IN ROLE jwksctl_signer",
		"CREATE ROLE stranger LOGIN")
	as := func(role string) string { return strings.Replace(url, "postgres@", role+"@", 1) }

	// The reader reads the keyset, waits, and gets no private key.
	reader := openReader(t, as("publisher"))
	wantVersion(t, reader, 1)
	const denied = "the store denies a right that this process needs"
	for what, read := range map[string]func() error{
		"PrivateKey":    func() error { _, err := reader.PrivateKey(t.Context(), "a"); return err },
		"PrivateKeyIDs": func() error { _, err := reader.PrivateKeyIDs(t.Context()); return err },
	} {
		if got := problem(t, read()); got != denied {
			t.Errorf("%s of a reader: %s", what, got)
		}
	}
	full := openStore(t, as("publisher")) // the schema is there, so that Open changes nothing
	if got := problem(t, full.Swap(t.Context(), keys.Change{Version: 1, Document: []byte("no")})); got != denied {
		t.Errorf("Swap of a reader: %s", got)
	}

	// The signer does everything without owning the schema.
	signer := openStore(t, as("replica"))
	waiting := make(chan error, 1)
	go func() { waiting <- reader.Wait(t.Context(), 1) }()
	swap(t, signer, keys.Change{Version: 1, Document: []byte("two"), Put: map[string][]byte{"a": []byte("again"), "b": []byte("new")}})
	swap(t, signer, keys.Change{Version: 2, Document: []byte("three"), Delete: []string{"a"}})
	if err := <-waiting; err != nil {
		t.Errorf("Wait of a reader = %v", err)
	}
	if sealed, err := signer.PrivateKey(t.Context(), "b"); err != nil || string(sealed) != "new" {
		t.Errorf("PrivateKey of a signer = %q, %v", sealed, err)
	}
	wantVersion(t, reader, 3)
	server.Exec(t, name, "DELETE FROM jwksctl.keyset")
	swap(t, signer, keys.Change{Document: []byte("one")}) // it creates a keyset too

	// A role without a right is told so.
	for name, open := range openers {
		_, err := open(t.Context(), as("stranger"))
		if got := problem(t, err); got != denied {
			t.Errorf("%s without a right = %v", name, err)
		}
	}
	_, err = Open(t.Context(), as("stranger")+"&schema=another")
	if got := problem(t, err); got != denied {
		t.Errorf("Open without the right to create a schema = %v", err)
	}
}

// The statements of the README work.
func TestStatementsOfTheREADME(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.CreateDatabase(t)
	createRing(t, keys.Options{Store: openStore(t, url)})
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "    SELECT ") {
			server.Exec(t, databaseName(t, url), line)
			n++
		}
	}
	if n < 4 {
		t.Errorf("the README has %d statements", n)
	}
}
