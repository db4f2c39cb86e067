package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// schemaVersion is the number of the newest file in migrations.
const schemaVersion = 1

// A migration has a number. Its tables have no schema in their names: search_path says it.
//
//go:embed migrations/*.sql
var migrations embed.FS

// migrate creates the schema or upgrades an older one, in one transaction. It does
// nothing if the schema is current, and needs no rights then but to read it.
func (s *Store) migrate(ctx context.Context) error {
	found, err := s.checkSchemaVersion(ctx)
	if err != nil || found == schemaVersion {
		return err
	}
	const doing = "create the schema"
	conn, err := s.begin(ctx)
	if err != nil {
		return s.fail(ctx, doing, err)
	}
	defer s.rollback(ctx, conn)
	// A process that stops here would otherwise keep every other from starting.
	if _, err := conn.Exec(ctx, "SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '5s'"); err != nil {
		return s.fail(ctx, doing, err)
	}
	// Other processes that do this wait here, and find the work done.
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('jwksctl schema ' || $1::text, 0))`, s.location.schema); err != nil {
		return s.fail(ctx, doing, err)
	}
	found, err = s.readSchemaVersion(ctx, conn.Conn())
	if err != nil {
		return s.fail(ctx, doing, err)
	}
	statements, err := s.migrationsFrom(found)
	if err != nil {
		return err
	}
	if err := s.createNamespace(ctx, conn.Conn()); err != nil {
		return s.fail(ctx, doing, err)
	}
	if _, err := conn.Exec(ctx, statements); err != nil {
		return s.fail(ctx, doing, err)
	}
	if _, err := conn.Exec(ctx, "COMMIT"); err != nil {
		return s.fail(ctx, doing, err)
	}
	return nil
}

// migrationsFrom returns the statements that change schema version found to the newest. They
// change nothing if another process has done it.
func (s *Store) migrationsFrom(found int) (string, error) {
	var all strings.Builder
	fmt.Fprintf(&all, "SET LOCAL search_path = %s;\n", s.schema)
	for n := found + 1; n <= schemaVersion; n++ {
		text, err := migrations.ReadFile(fmt.Sprintf("migrations/%04d.sql", n))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&all, "%s\nUPDATE schema_version SET version = %d;\n", text, n)
	}
	return all.String(), nil
}

// createNamespace creates the schema itself, which an administrator may have done before.
func (s *Store) createNamespace(ctx context.Context, conn *pgx.Conn) error {
	var exists bool
	err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`, s.location.schema).Scan(&exists)
	if err != nil || exists {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE SCHEMA "+s.schema)
	return err
}

// checkSchemaVersion returns the version of the schema, 0 if there is none, and refuses
// that of a later release.
func (s *Store) checkSchemaVersion(ctx context.Context) (found int, err error) {
	const doing = "read the version of the schema"
	err = s.read(ctx, doing, func(conn *pgx.Conn) error {
		found, err = s.readSchemaVersion(ctx, conn)
		return err
	})
	if err != nil {
		return 0, err
	}
	s.schemaSeen.Store(found > 0)
	if found > schemaVersion {
		return 0, &keys.StoreError{
			Problem: "the schema of the store is from a later release",
			Err:     fmt.Errorf("store %s: its schema has version %d, this release knows 1 to %d: use a newer release", s.name, found, schemaVersion),
		}
	}
	return found, nil
}

// readSchemaVersion returns the version of the schema, 0 if there is none.
func (s *Store) readSchemaVersion(ctx context.Context, conn *pgx.Conn) (int, error) {
	var inRecovery, exists bool
	err := conn.QueryRow(ctx, `SELECT pg_is_in_recovery(), EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = 'schema_version')`, s.location.schema).Scan(&inRecovery, &exists)
	if err == nil && inRecovery {
		err = errStandby
	}
	if err != nil || !exists {
		return 0, err
	}
	var version int
	err = conn.QueryRow(ctx, `SELECT version FROM `+s.schema+`.schema_version`).Scan(&version)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, errors.New("its table schema_version is empty: restore the schema from a backup")
	}
	return version, err
}
