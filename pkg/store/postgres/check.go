package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// Check implements keys.Checker: the settings of the server that make a commit durable,
// its standbys, and who may use the tables.
func (s *Store) Check(ctx context.Context) ([]keys.CheckResult, error) {
	f := facts{}
	err := s.read(ctx, "check the server", func(conn *pgx.Conn) error {
		f = facts{schema: s.location.schema}
		if err := f.readServer(ctx, conn); err != nil {
			return err
		}
		return f.readRights(ctx, conn)
	})
	if err != nil {
		return nil, err
	}
	return f.results(), nil
}

// facts are what the checks depend on.
type facts struct {
	schema            string
	fsync, fullPages  string
	synchronousCommit string // as a change has it
	standbyNames      string // synchronous_standby_names

	standbys    int // connected
	visible     int // of those, how many show whether they are synchronous
	synchronous int // of those, how many are

	user    string
	missing []string // rights that this user lacks
	public  []string // tables that every user of the database may read or change
}

func (f *facts) readServer(ctx context.Context, conn *pgx.Conn) error {
	return conn.QueryRow(ctx, `SELECT current_setting('fsync'), current_setting('full_page_writes'),
			current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
			(SELECT count(*) FROM pg_stat_replication),
			(SELECT count(sync_state) FROM pg_stat_replication),
			(SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))`).
		Scan(&f.fsync, &f.fullPages, &f.synchronousCommit, &f.standbyNames, &f.standbys, &f.visible, &f.synchronous)
}

// readRights compares the rights with those that jwksctl_signer has.
func (f *facts) readRights(ctx context.Context, conn *pgx.Conn) error {
	return conn.QueryRow(ctx, `SELECT current_user,
			ARRAY(SELECT privilege || ' on ' || name FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege,
				unnest(ARRAY['keyset', 'private_key']) AS name
				WHERE NOT (name = 'keyset' AND privilege = 'DELETE') AND NOT has_table_privilege(quote_ident($1) || '.' || name, privilege)),
			ARRAY(SELECT name FROM unnest(ARRAY['keyset', 'private_key']) AS name
				WHERE has_schema_privilege('public', $1, 'USAGE')
				AND has_table_privilege('public', quote_ident($1) || '.' || name, 'SELECT, INSERT, UPDATE, DELETE'))`, f.schema).
		Scan(&f.user, &f.missing, &f.public)
}

func (f *facts) results() []keys.CheckResult {
	result := func(name string, good bool, ok, finding string) keys.CheckResult {
		if good {
			return keys.CheckResult{Check: "postgres_" + name, Status: keys.CheckOK, Detail: ok}
		}
		return keys.CheckResult{Check: "postgres_" + name, Status: keys.CheckFinding, Detail: finding}
	}
	return []keys.CheckResult{
		result("fsync", f.fsync == "on", "on", "fsync is "+f.fsync+": a crash of the host can lose or damage the keyset: turn it on"),
		result("full_page_writes", f.fullPages == "on", "on", "full_page_writes is "+f.fullPages+": a crash of the host can damage the keyset: turn it on"),
		result("synchronous_commit", true, "each change sets it to on or remote_apply; the default of this user is "+f.synchronousCommit, ""),
		f.standbyResult(),
		result("rights", len(f.missing) == 0, f.user+" may read and change the keyset",
			f.user+" lacks "+strings.Join(f.missing, ", ")+": grant the role jwksctl_signer; a replica that only publishes needs no more than jwksctl_reader"),
		result("public", len(f.public) == 0, "only roles with a grant may use the tables",
			"every user of the database may use "+strings.Join(f.public, " and ")+": revoke the rights of PUBLIC"),
	}
}

// standbyResult says what a failover may lose.
func (f *facts) standbyResult() keys.CheckResult {
	c := keys.CheckResult{Check: "postgres_standbys", Status: keys.CheckOK}
	switch {
	case f.standbyNames == "" && f.standbys == 0:
		c.Detail = "none is connected"
	case f.standbyNames == "":
		c.Detail = fmt.Sprintf("%d connected, none is synchronous: a failover may lose the newest changes, and then the witness refuses the store", f.standbys)
	case f.standbys > 0 && f.visible == 0:
		c.Status, c.Detail = keys.CheckNotRun, "this user may not see their state: grant it pg_monitor"
	case f.synchronous == 0:
		c.Status, c.Detail = keys.CheckFinding, "synchronous_standby_names is set and none is connected: every change waits"
	default:
		c.Detail = fmt.Sprintf("%d connected, %d synchronous", f.standbys, f.synchronous)
	}
	return c
}
