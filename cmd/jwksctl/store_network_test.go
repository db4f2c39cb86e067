//go:build linux

package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/store/postgrestest"
)

// A keyset moves from a file to PostgreSQL and back to a file, and its backup is restored
// in another database.
func TestStoreCommandsOnPostgreSQL(t *testing.T) {
	server := postgrestest.Start(t)
	database, other := server.CreateDatabase(t), server.CreateDatabase(t)
	folder := t.TempDir()
	file := func(name string) string { return "sqlite:" + filepath.Join(folder, name, "keyset.db") }
	m := newMachine(t, file("first"))
	token := strings.Fields(m.run(exitDone, "token"))[0]
	kids := m.run(exitDone, "keys", "list")

	text := m.run(exitDone, "store", "copy", file("first"), database)
	m.want(text, "postgres://", "at version 3, epoch 1", "1. copy the sealing key "+filepath.Join(folder, "first", "seal.key"))
	m.want(m.run(5, "token"), "moved to postgres://")
	m.want(m.run(exitUsage, "store", "copy", file("first"), "postgres://u:secret@h/d"), "TO has a password")

	m = newMachine(t, database, "JWKSCTL_SEAL_KEY=file:"+filepath.Join(folder, "first", "seal.key"))
	if got := m.run(exitDone, "keys", "list"); got != kids {
		t.Errorf("keys before and after the copy:\n%s\n%s", kids, got)
	}
	m.run(exitDone, "verify", token)
	m.run(exitDone, "keys", "rotate")
	m.want(m.run(exitFailed, "store", "check"), "version\tok\tversion 4, epoch 1", "private_keys_open\tok\t3 opened", "postgres_rights\tok",
		"postgres_fsync\tfinding\tfsync is off") // the server of the test is a fast one

	backup := filepath.Join(folder, "backup.json")
	m.run(exitDone, "store", "backup", backup)
	m.want(m.run(5, "store", "restore", backup), "has a keyset already")
	kids = m.run(exitDone, "keys", "list")
	restored := newMachine(t, other, m.environ[len(m.environ)-1])
	m.want(restored.run(exitDone, "store", "restore", backup), "restored version 4, epoch 1", "postgres://")
	if got := restored.run(exitDone, "keys", "list"); got != kids {
		t.Errorf("keys before the backup and after its restore:\n%s\n%s", kids, got)
	}
	restored.run(exitDone, "verify", token)

	m.want(m.run(5, "store", "copy", database, other), "the store to copy to: this store has a keyset already")
	m.want(m.run(exitDone, "store", "copy", database, file("second")), "at version 6, epoch 2")
	m.want(m.run(5, "keys", "list"), "moved to sqlite:")
	m.environ = append(m.environ, "JWKSCTL_STORE="+file("second"))
	m.run(exitDone, "verify", token)

	server.Stop(t)
	for _, args := range [][]string{
		{"store", "check"},
		{"store", "backup", filepath.Join(folder, "other.json")},
		{"store", "restore", backup},
		{"store", "copy", file("second"), database},
		{"store", "copy", database, file("third")},
	} {
		m.want(restored.run(exitUnavailable, args...), "the store cannot be reached")
	}
	m.run(exitDone, "token") // the copy to a server that is away has left no mark
}
