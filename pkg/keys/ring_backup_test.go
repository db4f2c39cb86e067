package keys_test

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/memory"
	"github.com/jwksctl/jwksctl/pkg/store/witness"
)

// backupOf is a backup of the fixture's store, as a file.
func (f *fixture) backupOf(t testing.TB) []byte {
	t.Helper()
	o := f.options()
	o.Sealer = nil // it is not needed
	b, err := keys.ReadBackup(t.Context(), o)
	must(t, err)
	data, err := b.Encode()
	must(t, err)
	return data
}

// atEmpty are the options of a process that uses a new store.
func (f *fixture) atEmpty() keys.Options {
	o := f.options()
	o.Store = memory.New(f.clock.Now)
	return o
}

func parsed(t testing.TB, data []byte) keys.Backup {
	t.Helper()
	b, err := keys.ParseBackup(data)
	must(t, err)
	return b
}

func TestARestoredBackupIsTheSameKeyset(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	must(t, r.Rotate(t.Context(), keys.StepRequest{Reason: "<a> & ü"}))
	data := f.backupOf(t)
	if again := f.backupOf(t); !bytes.Equal(data, again) {
		t.Error("two backups of one version differ")
	}
	o := f.atEmpty()
	must(t, keys.Restore(t.Context(), o, parsed(t, data)))
	if diff := cmp.Diff(result(f.store.Load(t.Context()))(t), result(o.Store.Load(t.Context()))(t)); diff != "" {
		t.Errorf("the restored document (-was +is):\n%s", diff)
	}
	if diff := cmp.Diff(sealedKeys(t, f.store), sealedKeys(t, o.Store)); diff != "" {
		t.Errorf("the restored private keys (-was +is):\n%s", diff)
	}
	wantSigns(t, result(keys.Open(t.Context(), o))(t))
}

// A retired key may lack its private key, as after an accepted restore.
func TestABackupWithoutThePrivateKeyOfARetiredKey(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	retired := r.Keyset().Active().KeyID()
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	f.store.losePrivateKey(retired)
	data := f.backupOf(t)
	o := f.atEmpty()
	must(t, keys.Restore(t.Context(), o, parsed(t, data)))
	if kids := sealedKeys(t, o.Store); len(kids) != 2 {
		t.Errorf("%d private keys, want those of the active and the pending key", len(kids))
	}
}

func TestABackupIsConsistent(t *testing.T) {
	f := newFixture(t)
	f.create(t)
	reads := 0
	f.store.hook(func(s *hookedStore) {
		s.onPrivateKey = func(_ string, sealed []byte, err error) ([]byte, error) {
			if reads++; reads == 1 {
				must(t, f.other(t).Rotate(t.Context(), keys.StepRequest{}))
			}
			return sealed, err
		}
	})
	b, err := keys.ReadBackup(t.Context(), f.options())
	must(t, err)
	if b.Keyset().Version != 2 || b.PrivateKeys() != 3 {
		t.Errorf("version %d with %d private keys, want those of version 2", b.Keyset().Version, b.PrivateKeys())
	}
}

func TestBackupsThatAreNotMade(t *testing.T) {
	f := newFixture(t)
	if _, err := keys.ReadBackup(t.Context(), f.options()); !errors.Is(err, keys.ErrNoKeyset) {
		t.Errorf("of an empty store: %v", err)
	}
	active := f.create(t).Keyset().Active().KeyID()
	f.store.losePrivateKey(active)
	if _, err := keys.ReadBackup(t.Context(), f.options()); !errors.Is(err, keys.ErrUnreadable) || !strings.Contains(err.Error(), active) {
		t.Errorf("of a store that lacks a private key: %v", err)
	}
	f.store.hook(func(s *hookedStore) {
		s.onPrivateKey = func(string, []byte, error) ([]byte, error) { return nil, errDown }
	})
	if _, err := keys.ReadBackup(t.Context(), f.options()); !errors.Is(err, keys.ErrUnavailable) {
		t.Errorf("of a store that is away: %v", err)
	}
}

// Backups are kept for long, so every later release reads this file.
func TestAnOldBackupIsRead(t *testing.T) {
	data, err := os.ReadFile(oldBackup)
	must(t, err)
	b := parsed(t, data)
	if b.Keyset().Version != 2 || b.PrivateKeys() != 3 {
		t.Errorf("version %d with %d private keys", b.Keyset().Version, b.PrivateKeys())
	}
}

const oldBackup = "testdata/backup-1.json"

// Any damage of the file is refused.
func TestADamagedBackupIsRefused(t *testing.T) {
	f := newFixture(t)
	f.create(t)
	data := f.backupOf(t)
	refused := func(what string, damaged []byte) {
		t.Helper()
		if _, err := keys.ParseBackup(damaged); !errors.Is(err, keys.ErrBackup) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range data {
		refused("cut short", data[:i])
		damaged := bytes.Clone(data)
		damaged[i] ^= 1 << (i % 8)
		refused("one bit", damaged)
	}
	refused("more at the end", append(bytes.Clone(data), '\n'))
	refused("twice", append(bytes.Clone(data), data...))
	for name, tt := range map[string][3]string{
		"a later format":    {`jwksctl-backup-1`, `jwksctl-backup-2`, "use the jwksctl that wrote it"},
		"an unknown member": {`"sha256"`, `"by": "x", "sha256"`, "unknown"},
		"another checksum":  {`"sha256": "`, `"sha256": "0`, "checksum"},
		"no backup":         {`"format"`, `"from"`, "format is"},
	} {
		damaged := bytes.Replace(data, []byte(tt[0]), []byte(tt[1]), 1)
		refused(name, damaged)
		if _, err := keys.ParseBackup(damaged); err == nil || !strings.Contains(err.Error(), tt[2]) {
			t.Errorf("%s: %v, want %q", name, err, tt[2])
		}
	}
}

func TestRestoresThatAreRefused(t *testing.T) {
	f := newFixture(t)
	f.create(t)
	b := parsed(t, f.backupOf(t))
	before := result(f.store.Load(t.Context()))(t)
	wantGuard(t, "Restore over a keyset", keys.Restore(t.Context(), f.options(), b), keys.GuardTarget)
	if diff := cmp.Diff(before, result(f.store.Load(t.Context()))(t)); diff != "" {
		t.Errorf("the store was changed: %s", diff)
	}
	o := f.atEmpty()
	empty := o.Store
	o.Store = slowStore{empty}
	wantTooShort(t, "Restore", keys.Restore(t.Context(), o, b))
	if _, err := empty.Load(t.Context()); !errors.Is(err, keys.ErrNoKeyset) {
		t.Errorf("a keyset was restored: %v", err)
	}
	o.Store = &hookedStore{Store: empty, onLoad: func() error { return errDown }}
	if err := keys.Restore(t.Context(), o, b); !errors.Is(err, keys.ErrUnavailable) {
		t.Errorf("Restore into a store that is away = %v", err)
	}
}

// The store returns something else than was written.
func TestARestoreIsReadBack(t *testing.T) {
	f := newFixture(t)
	f.create(t)
	b := parsed(t, f.backupOf(t))
	for name, damage := range map[string]func(*hookedStore){
		"a private key": func(s *hookedStore) {
			s.onPrivateKey = func(_ string, sealed []byte, err error) ([]byte, error) { return append(sealed, 0), err }
		},
		"the document": func(s *hookedStore) {
			s.onSwap = func(c keys.Change, _ func() error) error {
				c.Document = append(bytes.Clone(c.Document), ' ')
				return s.Store.Swap(t.Context(), c)
			}
		},
		"the version": func(s *hookedStore) {
			s.onSwap = func(c keys.Change, _ func() error) error {
				c.First = 9
				return s.Store.Swap(t.Context(), c)
			}
		},
	} {
		o := f.atEmpty()
		damaged := &hookedStore{Store: o.Store}
		damaged.hook(damage)
		o.Store = damaged
		if err := keys.Restore(t.Context(), o, b); err == nil || !strings.Contains(err.Error(), "read back") {
			t.Errorf("%s: Restore = %v", name, err)
		}
	}
}

// A restored store that is behind the witness is refused until it is accepted, as one
// whose file was restored.
func TestARestoreBehindTheWitness(t *testing.T) {
	f := newFixture(t)
	folder := witness.Folder(t.TempDir())
	o := f.options()
	o.Witness = folder
	r, err := createDaily(t.Context(), o)
	must(t, err)
	leaked := r.Keyset().Active().KeyID()
	first := parsed(t, f.backupOf(t))
	must(t, r.Revoke(t.Context(), leaked, keys.StepRequest{Reason: "leaked"}))
	newest := parsed(t, f.backupOf(t))
	made := pendingKid(t, r.Keyset())

	o.Store = memory.New(f.clock.Now)
	must(t, keys.Restore(t.Context(), o, newest))
	if missing, err := keys.MissingSince(t.Context(), o); err != nil || missing != nil {
		t.Errorf("the newest backup lacks %v, %v", missing, err)
	}
	wantSigns(t, result(keys.Open(t.Context(), o))(t))

	o.Store = memory.New(f.clock.Now)
	must(t, keys.Restore(t.Context(), o, first))
	missing, err := keys.MissingSince(t.Context(), o)
	wantGuard(t, "MissingSince", err, keys.GuardRestored)
	var kids []string
	for _, k := range missing {
		kids = append(kids, k.KeyID()+" "+string(k.State(f.clock.Now())))
	}
	if want := []string{made + " pending", leaked + " revoked"}; !slices.Equal(kids, want) {
		t.Errorf("missing are %q, want %q", kids, want)
	}
	wantGuard(t, "Open", errorOf(keys.Open(t.Context(), o)), keys.GuardRestored)
	accepted := result(keys.AcceptRestore(t.Context(), o))(t)
	wantRevoked(t, accepted, leaked, "leaked")
	wantSigns(t, accepted)
}

func FuzzParseBackup(f *testing.F) {
	fix := newFixture(f)
	r := fix.create(f)
	f.Add(fix.backupOf(f))
	must(f, r.Rotate(f.Context(), keys.StepRequest{}))
	fix.clock.Advance(2 * time.Hour)
	f.Add(fix.backupOf(f))
	old, err := os.ReadFile(oldBackup)
	must(f, err)
	f.Add(old)
	f.Add([]byte(`{"format": "jwksctl-backup-1", "document": {}, "private_keys": {}, "sha256": ""}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := keys.ParseBackup(data)
		if err != nil {
			if !errors.Is(err, keys.ErrBackup) {
				t.Errorf("the error is no ErrBackup: %v", err)
			}
			return
		}
		if again, err := b.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("Encode(ParseBackup(data)) differs from data: %v", err)
		}
		must(t, keys.Restore(t.Context(), fix.atEmpty(), b))
	})
}
