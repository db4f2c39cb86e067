package keys_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/witness"
)

func TestChangesThatARestoredStoreLacksAreDetected(t *testing.T) {
	noKeys := func(ctx context.Context, o keys.Options) (*keys.Ring, error) {
		o.Generate = func(jwk.Algorithm, int) (jwk.PrivateKey, error) { return jwk.PrivateKey{}, errDown }
		return keys.Open(ctx, o)
	}
	policies := func(d ...time.Duration) func(testing.TB, keys.Keyset, *keys.Ring) {
		return func(t testing.TB, _ keys.Keyset, r *keys.Ring) {
			for _, leeway := range d {
				setPolicy(t, keys.Settings{Leeway: leeway})(r)
			}
		}
	}
	for _, tt := range []struct {
		name      string
		open      opener
		here      func(testing.TB, keys.Keyset, *keys.Ring)
		elsewhere func(testing.TB, keys.Keyset, *keys.Ring)
		why       string
	}{
		{"the same version, other content", keys.Open, policies(2 * time.Minute), policies(3 * time.Minute), "another version 2"},
		{
			"a key was published", keys.Open, func(t testing.TB, _ keys.Keyset, r *keys.Ring) { rotate(t)(r) },
			policies(2*time.Minute, 3*time.Minute), "does not know key",
		},
		{"a key has left", noKeys, func(t testing.TB, first keys.Keyset, r *keys.Ring) {
			revoke(t, first.Active().KeyID(), "leaked")(r)
		}, policies(2*time.Minute, 3*time.Minute), "which this machine has seen expire or be revoked"},
		{"the policy was changed", keys.Open, policies(2 * time.Minute), func(t testing.TB, _ keys.Keyset, r *keys.Ring) {
			rotate(t)(r)
			must(t, r.Rotate(t.Context(), keys.StepRequest{Force: true}))
		}, "a change of the policy"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDisk(t)
			first := d.create(t)
			backup := d.backup(t)
			d.onThisMachine(t, tt.open, func(r *keys.Ring) { tt.here(t, first, r) })
			d.restore(t, backup)
			d.onOtherMachine(t, func(r *keys.Ring) { tt.elsewhere(t, first, r) })
			d.wantRefused(t, tt.why)
			d.onThisMachine(t, keys.AcceptRestore, func(r *keys.Ring) { wantSigns(t, r) })
			d.onThisMachine(t, keys.Open, func(r *keys.Ring) { wantSigns(t, r) })
		})
	}
}

func TestAStoreThatWasCreatedAgainHasAnotherKeyset(t *testing.T) {
	d := newDisk(t)
	old := d.create(t)
	backup := d.backup(t)
	d.onThisMachine(t, keys.Open, rotate(t))
	latest := d.backup(t)
	d.wipe(t)
	if fresh := d.create(t); fresh.ID == old.ID || fresh.Version != 1 {
		t.Fatalf("created again: %s, version %d", fresh.ID, fresh.Version)
	}
	d.restore(t, backup)
	d.wantRefused(t, "version 1")

	// The same while a process runs.
	s := d.store(t)
	defer s.Close() //nolint:errcheck // only read at the end
	d.overwrite(t, latest)
	running, err := keys.Open(t.Context(), d.options(s, d.witness))
	must(t, err)
	d.overwrite(t, nil)
	fresh := d.create(t)
	must(t, running.Refresh(t.Context()))
	if running.Keyset().ID != fresh.ID {
		t.Error("the running ring has another keyset")
	}
	d.overwrite(t, backup)
	if err := running.Refresh(t.Context()); !restored(err) || running.Keyset().ID != fresh.ID {
		t.Errorf("Refresh with the old keyset restored = %v", err)
	}
}

func TestABrokenWitnessIsAnError(t *testing.T) {
	d := newDisk(t)
	id := d.create(t).ID
	folder := string(d.witness.(witness.Folder))
	path := filepath.Join(folder, "witness-"+id+".json")
	good, err := os.ReadFile(path)
	must(t, err)
	other := newDisk(t)
	otherID := other.create(t).ID
	foreign, err := other.witness.Load(otherID)
	must(t, err)
	for name, content := range map[string][]byte{
		"empty":             {},
		"no JSON":           []byte("rust"),
		"cut off":           good[:len(good)/2],
		"of another schema": []byte(strings.Replace(string(good), `"schema":1`, `"schema":9`, 1)),
		"of another keyset": foreign,
	} {
		t.Run(name, func(t *testing.T) {
			must(t, os.WriteFile(path, content, 0o600))
			for way, open := range map[string]opener{"Open": keys.Open, "Read": reading, "AcceptRestore": keys.AcceptRestore} {
				if err := d.withRing(t, d.witness, open, noAction); !errors.Is(err, keys.ErrWitness) {
					t.Errorf("%s = %v", way, err)
				}
			}
			if now, err := os.ReadFile(path); err != nil || !slices.Equal(now, content) {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
	must(t, os.Remove(path))
	d.onThisMachine(t, keys.Open, func(r *keys.Ring) { wantSigns(t, r) })
}

// A witness that cannot be written is logged once, and stops nothing.
func TestAWitnessThatCannotBeWritten(t *testing.T) {
	d := newDisk(t)
	missing := filepath.Join(t.TempDir(), "later")
	d.witness = witness.Folder(missing)
	d.onThisMachine(t, createDaily, func(r *keys.Ring) {
		for range 3 {
			must(t, r.Refresh(t.Context()))
		}
		rotate(t)(r)
		d.log.want(t, 1, `"level":"WARN"`, "witness update failed")
		must(t, os.Mkdir(missing, 0o700))
		must(t, r.Refresh(t.Context()))
		if document, err := d.witness.Load(r.Keyset().ID); err != nil || document == nil {
			t.Errorf("the witness was not updated: %v", err)
		}
		d.log.want(t, 1, "witness update recovered")
	})
}

// countingWitness counts the updates.
type countingWitness struct {
	keys.Witness
	n int
}

func (w *countingWitness) Update(id string, decide func([]byte) []byte) error {
	w.n++
	return w.Witness.Update(id, decide)
}

func TestTheWitnessIsUpdatedOnceAVersion(t *testing.T) {
	d := newDisk(t)
	w := &countingWitness{Witness: d.witness}
	d.witness = w
	d.onThisMachine(t, createDaily, func(r *keys.Ring) {
		must(t, r.Refresh(t.Context()))
		rotate(t)(r)
		must(t, r.Refresh(t.Context()))
	})
	if w.n != 2 {
		t.Errorf("%d updates of two versions", w.n)
	}
}

// delayedWitness calls before at its next update.
type delayedWitness struct {
	keys.Witness
	before func()
}

func (w *delayedWitness) Update(id string, decide func([]byte) []byte) error {
	if before := w.before; before != nil {
		w.before = nil
		before()
	}
	return w.Witness.Update(id, decide)
}

func TestTheWitnessKeepsTheNewestDocument(t *testing.T) {
	d := newDisk(t)
	d.create(t)
	backup := d.backup(t)
	s := d.store(t)
	slow, err := keys.Open(t.Context(), d.options(s, &delayedWitness{d.witness, func() { d.onThisMachine(t, keys.Open, rotate(t)) }}))
	must(t, err)
	if v := slow.Keyset().Version; v != 1 {
		t.Fatalf("version %d: no other process was faster", v)
	}
	d.overwrite(t, backup)
	d.wantRefused(t, "version 1") // the slow process did not replace the newer document

	// A process that saw nothing newer than the backup cannot detect the restore. The
	// witness does not take the versions that it writes.
	setPolicy(t, keys.Settings{RotationInterval: 48 * time.Hour})(slow)
	must(t, s.Close())
	d.wantRefused(t, "another version 2")
}
