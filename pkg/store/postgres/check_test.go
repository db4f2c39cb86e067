//go:build unix

package postgres

import (
	"os"
	"strings"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/postgrestest"
)

// wantCheck checks the status of one check, and the text of its result.
func wantCheck(t *testing.T, s *Store, name string, status keys.CheckStatus, text string) {
	t.Helper()
	results, err := s.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Check == name && r.Status == status && strings.Contains(r.Detail, text) {
			return
		}
	}
	t.Errorf("there is no %s of %s with %q:\n%+v", status, name, text, results)
}

func TestCheckOfTheServer(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.CreateDatabase(t)
	s := openStore(t, url)
	wantCheck(t, s, "postgres_synchronous_commit", keys.CheckOK, "default of this user is on")
	wantCheck(t, s, "postgres_rights", keys.CheckOK, "postgres may")
	wantCheck(t, s, "postgres_public", keys.CheckOK, "")
	wantCheck(t, s, "postgres_standbys", keys.CheckOK, "none is connected")
	for _, setting := range []string{"fsync", "full_page_writes"} {
		for value, want := range map[string]keys.CheckStatus{"on": keys.CheckOK, "off": keys.CheckFinding} {
			server.Exec(t, "postgres", "ALTER SYSTEM SET "+setting+" = "+value, "SELECT pg_reload_conf()")
			server.WaitFor(t, "SELECT current_setting('"+setting+"') = '"+value+"'")
			s.pool.Reset()
			wantCheck(t, s, "postgres_"+setting, want, value)
		}
	}
	server.Exec(t, databaseName(t, url), "GRANT USAGE ON SCHEMA jwksctl TO PUBLIC", "GRANT SELECT ON jwksctl.private_key TO PUBLIC")
	wantCheck(t, s, "postgres_public", keys.CheckFinding, "may use private_key: revoke")
}

func TestCheckOfStandbys(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.CreateDatabase(t)
	s := openStore(t, url)
	server.Exec(t, databaseName(t, url), "CREATE ROLE observer LOGIN", "GRANT USAGE ON SCHEMA jwksctl TO observer", "GRANT SELECT ON jwksctl.schema_version TO observer")
	standby := server.Standby(t)
	wantCheck(t, s, "postgres_standbys", keys.CheckOK, "1 connected, none is synchronous")
	server.RequireSync(t, true)
	s.pool.Reset()
	wantCheck(t, s, "postgres_standbys", keys.CheckOK, "1 connected, 1 synchronous")
	other := openReader(t, strings.Replace(url, "postgres@", "observer@", 1))
	wantCheck(t, other, "postgres_standbys", keys.CheckNotRun, "pg_monitor")
	standby.Kill(t)
	server.WaitFor(t, "SELECT count(*) = 0 FROM pg_stat_replication")
	wantCheck(t, s, "postgres_standbys", keys.CheckFinding, "every change waits")
}

func TestCheckOfRights(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.CreateDatabase(t)
	openStore(t, url)
	sql, err := os.ReadFile("roles.sql")
	if err != nil {
		t.Fatal(err)
	}
	server.Exec(t, databaseName(t, url), string(sql), "CREATE ROLE publisher LOGIN IN ROLE jwksctl_reader", "CREATE ROLE replica LOGIN IN ROLE jwksctl_signer")
	as := func(role string) *Store { return openReader(t, strings.Replace(url, "postgres@", role+"@", 1)) }
	wantCheck(t, as("replica"), "postgres_rights", keys.CheckOK, "replica may")
	wantCheck(t, as("publisher"), "postgres_rights", keys.CheckFinding, "publisher lacks INSERT on keyset, UPDATE on keyset, SELECT on private_key")
}
