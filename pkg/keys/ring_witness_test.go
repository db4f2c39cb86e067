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
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
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

// Two keysets may begin with one key that was generated elsewhere: CI jobs that have only
// the key in common, or a store that was lost and is created again with the same key.
func TestKeysetsThatBeginWithOneKeyAreNotTheSame(t *testing.T) {
	d := newDisk(t)
	shared, err := jwk.Generate(jwk.ES256, 0)
	must(t, err)
	create := func(ctx context.Context, o keys.Options) (*keys.Ring, error) {
		return keys.CreateWithKey(ctx, o, keystest.Policy(24*time.Hour), shared)
	}
	d.onThisMachine(t, create, rotate(t))
	d.wipe(t)
	d.onThisMachine(t, create, func(r *keys.Ring) {
		if got := r.Keyset().Active().KeyID(); got != shared.KeyID() {
			t.Errorf("%s is active", got)
		}
	})
	d.onThisMachine(t, keys.Open, noAction)
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

// A witness that cannot be read or written is logged once, and stops nothing.
func TestAWitnessThatCannotBeUsed(t *testing.T) {
	for name, breakIt := range map[string]func(*testing.T, *brokenWitness){
		"not readable": func(_ *testing.T, w *brokenWitness) { w.load = errDown },
		"not writable": func(_ *testing.T, w *brokenWitness) { w.store = errDown },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(t)
			w := &brokenWitness{Witness: d.witness}
			d.witness = w
			breakIt(t, w)
			var last uint64
			d.onThisMachine(t, createDaily, func(r *keys.Ring) {
				for range 3 {
					must(t, r.Refresh(t.Context()))
				}
				rotate(t)(r)
				wantSigns(t, r)
				d.log.want(t, 1, `"level":"WARN"`, "the witness cannot be used")
				if document, err := w.Witness.Load(r.Keyset().ID); err != nil || document != nil {
					t.Errorf("the witness has %q, %v", document, err)
				}
				w.load, w.store = nil, nil
				must(t, r.Refresh(t.Context()))
				if document, err := w.Load(r.Keyset().ID); err != nil || document == nil {
					t.Errorf("the witness was not updated: %v", err)
				}
				d.log.want(t, 1, "witness recovered")
				last = r.Keyset().Version
			})
			breakIt(t, w)
			for way, open := range map[string]opener{"Open": keys.Open, "Read": reading} {
				if err := d.withRing(t, w, open, noAction); err != nil {
					t.Errorf("%s = %v", way, err)
				}
			}
			err := d.withRing(t, w, keys.AcceptRestore, noAction)
			if unread := w.load != nil; errors.Is(err, keys.ErrWitness) != unread {
				t.Errorf("AcceptRestore = %v", err)
			}
			d.onOtherMachine(t, func(r *keys.Ring) {
				if v := r.Keyset().Version; v != last {
					t.Errorf("version %d, want %d", v, last)
				}
			})
		})
	}
}

// brokenWitness fails with the errors that are set.
type brokenWitness struct {
	keys.Witness
	load, store error
}

func (w *brokenWitness) Load(id string) ([]byte, error) {
	if w.load != nil {
		return nil, w.load
	}
	return w.Witness.Load(id)
}

func (w *brokenWitness) Store(id string, document []byte) error {
	if w.store != nil {
		return w.store
	}
	return w.Witness.Store(id, document)
}

// A running process replaces a damaged witness, because it has the newest document.
func TestARunningRingReplacesADamagedWitness(t *testing.T) {
	d := newDisk(t)
	d.onThisMachine(t, createDaily, func(r *keys.Ring) {
		good, err := d.witness.Load(r.Keyset().ID)
		must(t, err)
		must(t, d.witness.Store(r.Keyset().ID, []byte("rust")))
		must(t, r.Refresh(t.Context()))
		if now, err := d.witness.Load(r.Keyset().ID); err != nil || !slices.Equal(now, good) {
			t.Errorf("the witness has %q, %v", now, err)
		}
	})
}

// hookedWitness calls a function before the next Load or Store, and counts the calls
// of Store.
type hookedWitness struct {
	keys.Witness
	beforeLoad, beforeStore func()
	stored                  int
}

func (w *hookedWitness) Load(id string) ([]byte, error) {
	once(&w.beforeLoad)
	return w.Witness.Load(id)
}

func (w *hookedWitness) Store(id string, document []byte) error {
	once(&w.beforeStore)
	w.stored++
	return w.Witness.Store(id, document)
}

// once calls a function, if there is one, and forgets it.
func once(f *func()) {
	if call := *f; call != nil {
		*f = nil
		call()
	}
}

func TestTheWitnessIsWrittenOnceAVersion(t *testing.T) {
	d := newDisk(t)
	w := &hookedWitness{Witness: d.witness}
	d.witness = w
	d.onThisMachine(t, createDaily, func(r *keys.Ring) {
		must(t, r.Refresh(t.Context()))
		rotate(t)(r)
		must(t, r.Refresh(t.Context()))
	})
	if w.stored != 2 {
		t.Errorf("the witness was written %d times for two versions", w.stored)
	}
}

// Another process changes the store and records that in the witness, after this process
// has read the store and before it reads the witness.
func TestAChangeBetweenTheTwoReadsIsNoRestore(t *testing.T) {
	for name, open := range map[string]opener{"Open": keys.Open, "Create": createDaily, "Read": reading, "AcceptRestore": keys.AcceptRestore} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(t)
			d.create(t)
			faster := func() { d.onThisMachine(t, keys.Open, rotate(t)) }
			must(t, d.withRing(t, &hookedWitness{Witness: d.witness, beforeLoad: faster}, open, func(r *keys.Ring) {
				if r == nil { // of Read
					return
				}
				if ks := r.Keyset(); ks.Version < 2 || ks.Epoch != 0 {
					t.Errorf("version %d, epoch %d", ks.Version, ks.Epoch)
				}
			}))
		})
	}
}

// Two processes write the witness at the same time, and the one with the older document
// is last. The next process that looks writes the newer document again.
func TestALostUpdateOfTheWitnessIsRepeated(t *testing.T) {
	d := newDisk(t)
	id := d.create(t).ID
	s := d.store(t)
	defer s.Close() //nolint:errcheck // only read at the end
	running, err := keys.Open(t.Context(), d.options(s, d.witness))
	must(t, err)
	setPolicy(t, keys.Settings{Leeway: 2 * time.Minute})(running)

	faster := func() {
		setPolicy(t, keys.Settings{Leeway: 3 * time.Minute})(running)
	}
	must(t, os.Remove(filepath.Join(string(d.witness.(witness.Folder)), "witness-"+id+".json")))
	slow, err := keys.Open(t.Context(), d.options(s, &hookedWitness{Witness: d.witness, beforeStore: faster}))
	must(t, err)
	has := func() []byte {
		document, err := d.witness.Load(id)
		must(t, err)
		return document
	}
	older := has()
	if v := slow.Keyset().Version; v != 2 || !strings.Contains(string(older), `"version":2,`) {
		t.Fatalf("version %d; the test wants the older document to be last: %s", v, older)
	}
	must(t, running.Refresh(t.Context()))
	if newer := has(); !strings.Contains(string(newer), `"version":3,`) {
		t.Errorf("the witness has %s", newer)
	}
}

// A slow process does not replace the newer document of another one. A running process
// compares the store with the witness too.
func TestTheWitnessKeepsTheNewestDocument(t *testing.T) {
	d := newDisk(t)
	d.create(t)
	backup := d.backup(t)
	s := d.store(t)
	w := &hookedWitness{Witness: d.witness}
	w.beforeLoad = func() { // the process checks its document, and then compares it before it would write it
		w.beforeLoad = func() { d.onThisMachine(t, keys.Open, rotate(t)) }
	}
	running, err := keys.Open(t.Context(), d.options(s, w))
	must(t, err)
	if v := running.Keyset().Version; v != 1 || w.stored != 0 {
		t.Fatalf("version %d, written %d times: no other process was faster", v, w.stored)
	}
	d.overwrite(t, backup)
	d.wantRefused(t, "version 1")
	if err := running.Refresh(t.Context()); !restored(err) {
		t.Errorf("Refresh with the backup = %v", err)
	}
	must(t, s.Close())

	// The store and the witness have different documents of the newest version.
	d.onOtherMachine(t, setPolicy(t, keys.Settings{RotationInterval: 48 * time.Hour}))
	d.wantRefused(t, "another version 2")
}
