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
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
	"github.com/jwksctl/jwksctl/pkg/seal"
	"github.com/jwksctl/jwksctl/pkg/store/sqlite"
	"github.com/jwksctl/jwksctl/pkg/store/witness"
)

// disk is a store in a file that can be backed up and restored, and a machine
// that has a witness. Other machines have none.
type disk struct {
	path    string
	sealer  keys.Sealer
	clock   *keystest.Clock
	witness keys.Witness
	log     logLines
}

func newDisk(t testing.TB) *disk {
	t.Helper()
	sealer, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return &disk{
		path: filepath.Join(t.TempDir(), "keyset.db"), sealer: sealer,
		clock: keystest.NewClock(), witness: witness.Folder(t.TempDir()),
	}
}

// store opens the file. The caller closes it: only then may the file be copied.
func (d *disk) store(t testing.TB) keys.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), d.path, d.clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (d *disk) options(s keys.Store, w keys.Witness) keys.Options {
	return keys.Options{Store: s, Sealer: d.sealer, Witness: w, Log: d.log.logger(), Clock: keys.Clock{Now: d.clock.Now}}
}

// opener is a way to get a ring.
type opener = func(context.Context, keys.Options) (*keys.Ring, error)

// try has a process with the witness w open the store, act, and end.
func (d *disk) try(t testing.TB, w keys.Witness, open opener, do func(*keys.Ring)) error {
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

// here has a process of this machine act, which has the witness.
func (d *disk) here(t testing.TB, open opener, do func(*keys.Ring)) {
	t.Helper()
	if err := d.try(t, d.witness, open, do); err != nil {
		t.Fatal(err)
	}
}

// elsewhere has a process of a machine without a witness act.
func (d *disk) elsewhere(t testing.TB, do func(*keys.Ring)) {
	t.Helper()
	if err := d.try(t, nil, keys.Open, do); err != nil {
		t.Fatal(err)
	}
}

func (d *disk) found(t testing.TB) (founded keys.Keyset) {
	t.Helper()
	d.here(t, founding, func(r *keys.Ring) { founded = r.Keyset() })
	return founded
}

// founding founds under the daily policy of lab.found.
func founding(ctx context.Context, o keys.Options) (*keys.Ring, error) {
	p := keystest.Policy(24 * time.Hour)
	p.ExpiredTokens = false
	return keys.Create(ctx, o, p)
}

// backup is the content of the store, which no process has open.
func (d *disk) backup(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile(d.path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(d.path + "-wal"); err == nil {
		t.Fatal("the copy lacks what is in the log")
	}
	return data
}

func (d *disk) restore(t testing.TB, backup []byte) {
	t.Helper()
	d.wipe(t)
	if err := os.WriteFile(d.path, backup, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (d *disk) wipe(t testing.TB) {
	t.Helper()
	if err := os.Remove(d.path); err != nil {
		t.Fatal(err)
	}
}

// overwrite restores a backup, or wipes the store if that is nil, while
// processes have the store open.
func (d *disk) overwrite(t testing.TB, backup []byte) {
	t.Helper()
	db, err := sql.Open("sqlite", d.path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // every statement was checked
	db.SetMaxOpenConns(1)
	statements := []string{"DELETE FROM keyset", "DELETE FROM private_key"}
	if backup != nil {
		from := filepath.Join(t.TempDir(), "backup.db")
		if err := os.WriteFile(from, backup, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "ATTACH ? AS backup", from); err != nil {
			t.Fatal(err)
		}
		statements = append(statements,
			"INSERT INTO main.keyset SELECT * FROM backup.keyset", "INSERT INTO main.private_key SELECT * FROM backup.private_key")
	}
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), strings.Replace(s, "DELETE FROM ", "DELETE FROM main.", 1)); err != nil {
			t.Fatal(err)
		}
	}
}

// refused checks that a process of this machine refuses the store, by whichever
// way it comes, and that part of the message says why.
func (d *disk) refused(t testing.TB, why string) {
	t.Helper()
	for name, open := range map[string]opener{"Open": keys.Open, "Found": founding, "Read": reading} {
		err := d.try(t, d.witness, open, func(*keys.Ring) {})
		if !restored(err) || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), "accept-restore") {
			t.Errorf("%s = %v, want a refusal with %q", name, err, why)
		}
	}
}

func reading(ctx context.Context, o keys.Options) (*keys.Ring, error) {
	_, err := keys.Read(ctx, o.Store, o.Witness)
	return nil, err
}

func restored(err error) bool {
	refusal, ok := errors.AsType[*keys.Refusal](err)
	return ok && refusal.Guard == keys.GuardRestored
}

// find returns a key wherever it stands in the keyset.
func find(t testing.TB, ks keys.Keyset, kid string) keys.Key {
	t.Helper()
	all := slices.Concat(ks.Keys, ks.History)
	i := slices.IndexFunc(all, func(k keys.Key) bool { return k.KeyID() == kid })
	if i < 0 {
		t.Fatalf("the keyset forgot key %s", kid)
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

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func nobody(*keys.Ring) {}

func pendingKid(t testing.TB, ks keys.Keyset) string {
	t.Helper()
	k, ok := ks.Pending()
	if !ok {
		t.Fatal("there is no pending key")
	}
	return k.KeyID()
}

// wantRevoked checks that a key is out for good, and that everybody is told why.
func wantRevoked(t testing.TB, r *keys.Ring, kid, reason string) {
	t.Helper()
	_, err := r.Keys(t.Context(), kid)
	withdrawn, ok := errors.AsType[*keys.WithdrawnError](err)
	if !ok || withdrawn.State != keys.Revoked || withdrawn.Reason != reason {
		t.Errorf("Keys of the revoked key = %v, want that it was revoked: %q", err, reason)
	}
	if slices.Contains(publishedKids(t, r), kid) {
		t.Error("the revoked key is published")
	}
}
