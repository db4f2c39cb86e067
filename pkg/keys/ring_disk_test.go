package keys_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
	"github.com/jwksctl/jwksctl/pkg/store/sqlite"
	"github.com/jwksctl/jwksctl/pkg/store/witness"
)

// disk is a store in a file that a test can back up and restore, and a machine that
// has a witness. Other machines have none.
type disk struct {
	path    string
	sealer  keys.Sealer
	clock   *keystest.Clock
	witness keys.Witness
	log     logLines
}

func newDisk(t testing.TB) *disk {
	t.Helper()
	return &disk{
		path: filepath.Join(t.TempDir(), "keyset.db"), sealer: newSealer(t),
		clock: keystest.NewClock(), witness: witness.Folder(t.TempDir()),
	}
}

// store opens the file. The caller closes it before the file is copied.
func (d *disk) store(t testing.TB) keys.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), d.path, d.clock.Now)
	must(t, err)
	return s
}

func (d *disk) options(s keys.Store, w keys.Witness) keys.Options {
	return keys.Options{Store: s, Sealer: d.sealer, Witness: w, Log: d.log.logger(), Clock: keys.Clock{Now: d.clock.Now}}
}

// opener is a function that returns a ring.
type opener = func(context.Context, keys.Options) (*keys.Ring, error)

// withRing has a process with the witness w open the store, act, and end.
func (d *disk) withRing(t testing.TB, w keys.Witness, open opener, do func(*keys.Ring)) error {
	t.Helper()
	s := d.store(t)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	r, err := open(t.Context(), d.options(s, w))
	if err == nil {
		do(r)
	}
	return err
}

// onThisMachine has a process of this machine act.
func (d *disk) onThisMachine(t testing.TB, open opener, do func(*keys.Ring)) {
	t.Helper()
	must(t, d.withRing(t, d.witness, open, do))
}

// onOtherMachine has a process of another machine act.
func (d *disk) onOtherMachine(t testing.TB, do func(*keys.Ring)) {
	t.Helper()
	must(t, d.withRing(t, nil, keys.Open, do))
}

func (d *disk) create(t testing.TB) (created keys.Keyset) {
	t.Helper()
	d.onThisMachine(t, createDaily, func(r *keys.Ring) { created = r.Keyset() })
	return created
}

// backup is the content of the file, which no process has open.
func (d *disk) backup(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile(d.path)
	must(t, err)
	if _, err := os.Stat(d.path + "-wal"); err == nil {
		t.Fatal("the write-ahead log has changes that the file lacks")
	}
	return data
}

func (d *disk) restore(t testing.TB, backup []byte) {
	t.Helper()
	d.wipe(t)
	must(t, os.WriteFile(d.path, backup, 0o600))
}

func (d *disk) wipe(t testing.TB) {
	t.Helper()
	must(t, os.Remove(d.path))
}

// overwrite restores a backup, or wipes the store if that is nil, while
// processes have the store open.
func (d *disk) overwrite(t testing.TB, backup []byte) {
	t.Helper()
	db, err := sql.Open("sqlite", d.path)
	must(t, err)
	defer db.Close() //nolint:errcheck // every statement was checked
	db.SetMaxOpenConns(1)
	exec := func(statement string, args ...any) {
		t.Helper()
		_, err := db.ExecContext(t.Context(), statement, args...)
		must(t, err)
	}
	if backup != nil {
		from := filepath.Join(t.TempDir(), "backup.db")
		must(t, os.WriteFile(from, backup, 0o600))
		exec("ATTACH ? AS backup", from)
	}
	for _, table := range tables(t, db) {
		exec("DELETE FROM main." + table)
		if backup != nil {
			exec("INSERT INTO main." + table + " SELECT * FROM backup." + table)
		}
	}
}

// tables lists the tables of the store.
func tables(t testing.TB, db *sql.DB) (names []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT name FROM main.sqlite_master WHERE type = 'table'")
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var name string
		must(t, rows.Scan(&name))
		names = append(names, name)
	}
	must(t, rows.Err())
	return names
}

// wantRefused checks that a process of this machine refuses the store in all
// functions that read it, and that the message contains why.
func (d *disk) wantRefused(t testing.TB, why string) {
	t.Helper()
	for name, open := range map[string]opener{"Open": keys.Open, "Create": createDaily, "Read": reading} {
		err := d.withRing(t, d.witness, open, func(*keys.Ring) {})
		if !restored(err) || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), "accept-restore") {
			t.Errorf("%s = %v, want a refusal with %q", name, err, why)
		}
	}
}

func reading(ctx context.Context, o keys.Options) (*keys.Ring, error) {
	_, err := keys.Read(ctx, o)
	return nil, err
}

func restored(err error) bool {
	refusal, ok := errors.AsType[*keys.Refusal](err)
	return ok && refusal.Guard == keys.GuardRestored
}

// findKey returns a key of the keyset or its history.
func findKey(t testing.TB, ks keys.Keyset, kid string) keys.Key {
	t.Helper()
	all := slices.Concat(ks.Keys, ks.History)
	i := slices.IndexFunc(all, func(k keys.Key) bool { return k.KeyID() == kid })
	if i < 0 {
		t.Fatalf("the keyset does not contain key %s", kid)
	}
	return all[i]
}

func rotate(t testing.TB) func(*keys.Ring) {
	return func(r *keys.Ring) { must(t, r.Rotate(t.Context(), keys.StepRequest{})) }
}

func revoke(t testing.TB, kid, reason string) func(*keys.Ring) {
	return func(r *keys.Ring) { must(t, r.Revoke(t.Context(), kid, keys.StepRequest{Reason: reason})) }
}

func setPolicy(t testing.TB, s keys.Settings) func(*keys.Ring) {
	return func(r *keys.Ring) {
		_, err := r.SetPolicy(t.Context(), s)
		must(t, err)
	}
}

func noAction(*keys.Ring) {}

// wantRevoked checks that a key is not published and that its error has the reason.
func wantRevoked(t testing.TB, r *keys.Ring, kid, reason string) {
	t.Helper()
	_, err := r.Keys(t.Context(), kid)
	withdrawn, ok := errors.AsType[*keys.WithdrawnError](err)
	if !ok || withdrawn.State != keys.Revoked || withdrawn.Reason != reason {
		t.Errorf("Keys of the revoked key = %v, want a revocation with reason %q", err, reason)
	}
	if slices.Contains(publishedKids(t, r), kid) {
		t.Error("the revoked key is published")
	}
}
