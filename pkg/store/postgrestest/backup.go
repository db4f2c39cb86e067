//go:build unix

package postgrestest

import (
	"context"
	"path/filepath"
	"strconv"
	"testing"
)

// Backup makes a backup of a database with pg_dump, and returns a function that restores
// it with pg_restore.
func (s *Server) Backup(t testing.TB, database string) (restore func()) {
	t.Helper()
	file := filepath.Join(s.Folder, database+".dump")
	server := []string{"--host=" + s.Folder, "--port=" + strconv.Itoa(s.Port), "--username=postgres", "--dbname=" + database}
	s.run(t, "pg_dump", append(server, "--format=custom", "--file="+file)...)
	return func() {
		t.Helper()
		s.run(t, "pg_restore", append(server, "--clean", "--if-exists", "--single-transaction", file)...)
	}
}

// run runs a program of PostgreSQL.
func (s *Server) run(t testing.TB, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	if err := s.in.run(ctx, program, args...); err != nil {
		t.Fatal(err)
	}
}
