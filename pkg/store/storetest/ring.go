package storetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
)

// rings is the number of rings in the tests below. Each has a handle of its own, as if
// it were in a process of its own.
const rings = 4

// plainSealer has sealing keys that are nothing but names. They seal nothing, and only bind
// the bytes to the name and to their context.
type plainSealer []string

func (s plainSealer) Names() []string { return s }

func (plainSealer) Reload(context.Context) error { return nil }

func (plainSealer) Source() string { return "this test" }

func (s plainSealer) Seal(name string, plaintext, sealingContext []byte) ([]byte, error) {
	if !slices.Contains(s, name) {
		return nil, errors.New("there is no such sealing key")
	}
	return slices.Concat([]byte(name+"\n"), sealingContext, plaintext), nil
}

func (s plainSealer) Open(name string, sealed, sealingContext []byte) ([]byte, error) {
	plaintext, ok := bytes.CutPrefix(sealed, append([]byte(name+"\n"), sealingContext...))
	if !ok || !slices.Contains(s, name) {
		return nil, errors.New("the private key was sealed by another key, or for another context")
	}
	return plaintext, nil
}

// ringPolicy is a policy under which no step falls due during a test. The engine's
// clock is the real one, so that the rings need it too.
func ringPolicy(s keys.Store) keys.Policy {
	p := keystest.Policy(24 * time.Hour)
	p.ExpiredTokens = false
	p.ClockSkew = max(p.ClockSkew, s.MinClockSkew())
	return p
}

// createRings creates the keyset with many rings at once.
func createRings(t *testing.T, f *Fixture) (out []*keys.Ring) {
	t.Helper()
	return createRingsWith(t, f, plainSealer{"first"})
}

func createRingsWith(t *testing.T, f *Fixture, sealer keys.Sealer) (out []*keys.Ring) {
	t.Helper()
	out = make([]*keys.Ring, rings)
	var options []keys.Options
	for range rings {
		options = append(options, keys.Options{Store: f.open(), Sealer: sealer})
	}
	atOnce(t, func(i int) (err error) {
		out[i], err = keys.Create(t.Context(), options[i], ringPolicy(options[i].Store))
		return err
	})
	if t.Failed() {
		t.FailNow()
	}
	return out
}

// atOnce calls do for each ring, in goroutines that start at the same time.
func atOnce(t *testing.T, do func(i int) error) {
	t.Helper()
	start := make(chan struct{})
	var group sync.WaitGroup
	for i := range rings {
		group.Go(func() {
			<-start
			if err := do(i); err != nil {
				t.Errorf("ring %d: %v", i, err)
			}
		})
	}
	close(start)
	group.Wait()
}

// wantSame refreshes the rings, and checks that all have one keyset, and can sign with
// its active key.
func wantSame(t *testing.T, all []*keys.Ring) keys.Keyset {
	t.Helper()
	ks := keys.Keyset{}
	for i, r := range all {
		if err := r.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.Keyset(); i == 0 {
			ks = got
		} else if got.ID != ks.ID || got.Version != ks.Version {
			t.Errorf("ring %d has version %d of keyset %s, ring 0 version %d of %s", i, got.Version, got.ID, ks.Version, ks.ID)
		}
		if key, _, _, err := r.SigningKey(t.Context()); err != nil || key.KeyID() != ks.Active().KeyID() {
			t.Errorf("ring %d signs with %s, %v, want %s", i, key.KeyID(), err, ks.Active().KeyID())
		}
	}
	if _, ok := ks.Pending(); !ok {
		t.Error("the keyset has no pending key")
	}
	return ks
}

func testRingsCreate(t *testing.T, f *Fixture) {
	ks := wantSame(t, createRings(t, f))
	if ks.Version != 1 || len(ks.Keys) != 2 {
		t.Errorf("the keyset has version %d and %d keys, want version 1 and 2 keys", ks.Version, len(ks.Keys))
	}
}

// Each ring is asked to retire the same key.
func testRingsRotate(t *testing.T, f *Fixture) {
	all := createRings(t, f)
	for rotations := 1; rotations <= 3; rotations++ {
		before := wantSame(t, all)
		pending, _ := before.Pending()
		atOnce(t, func(i int) error {
			return all[i].Rotate(t.Context(), keys.StepRequest{Force: true})
		})
		after := wantSame(t, all)
		if after.Version != before.Version+1 || len(after.Keys) != 2+rotations || after.Active().KeyID() != pending.KeyID() {
			t.Errorf("rotation %d: version %d became %d, with %d keys, want one version and one key more, and the pending key active",
				rotations, before.Version, after.Version, len(after.Keys))
		}
	}
}

// Each ring is asked to revoke the same key.
func testRingsRevoke(t *testing.T, f *Fixture) {
	all := createRings(t, f)
	before := wantSame(t, all)
	kid := before.Active().KeyID()
	atOnce(t, func(i int) error {
		return all[i].Revoke(t.Context(), kid, keys.StepRequest{Force: true})
	})
	after := wantSame(t, all)
	wantRevoked(t, after, kid)
	if len(after.History) != 1 || len(after.Keys) != 2 {
		t.Errorf("the keyset has %d keys and %d in its history, want 2 and 1", len(after.Keys), len(after.History))
	}
	// The revocation is one version, the new pending key is in it or is another one.
	if changes := after.Version - before.Version; changes > 2 {
		t.Errorf("one revocation made %d versions", changes)
	}
	f.open().wantNoPrivateKey(kid)
}

func wantRevoked(t *testing.T, ks keys.Keyset, kid string) {
	t.Helper()
	if slices.ContainsFunc(ks.Keys, func(k keys.Key) bool { return k.KeyID() == kid }) {
		t.Errorf("the keyset still has the revoked key %s", kid)
	}
	if !slices.ContainsFunc(ks.History, func(k keys.Key) bool { return k.KeyID() == kid && !k.RevokedAt.IsZero() }) {
		t.Errorf("the history does not say that key %s is revoked", kid)
	}
}

// Some rings rotate while others revoke the key that is active.
func testRingsRotateAndRevoke(t *testing.T, f *Fixture) {
	all := createRings(t, f)
	for range 3 {
		before := wantSame(t, all)
		kid := before.Active().KeyID()
		atOnce(t, func(i int) error {
			request := keys.StepRequest{Force: true}
			if i%2 == 0 {
				return all[i].Rotate(t.Context(), request)
			}
			return all[i].Revoke(t.Context(), kid, request)
		})
		after := wantSame(t, all)
		wantRevoked(t, after, kid)
		if after.Active().KeyID() == kid {
			t.Errorf("key %s is still active", kid)
		}
		for _, k := range after.History {
			f.open().wantNoPrivateKey(k.KeyID())
		}
	}
}

// Some rings replace the sealing key while others rotate: every private key of the keyset
// is sealed under the key that the document names.
func testRingsSetSealingKey(t *testing.T, f *Fixture) {
	all := createRingsWith(t, f, plainSealer{"first", "second"})
	before := wantSame(t, all)
	atOnce(t, func(i int) error {
		if i%2 == 0 {
			return all[i].SetSealingKey(t.Context(), "second")
		}
		return all[i].Rotate(t.Context(), keys.StepRequest{Force: true})
	})
	after := wantSame(t, all)
	if after.SealingKey != "second" || after.SealingKeyBefore != "first" || after.Version != before.Version+2 {
		t.Errorf("version %d became %d, with the sealing key %q, before that %q; want two versions more, second, first",
			before.Version, after.Version, after.SealingKey, after.SealingKeyBefore)
	}
	h := f.open()
	kids, err := h.PrivateKeyIDs(t.Context())
	if err != nil || len(kids) != 3 {
		t.Errorf("the store has the private keys %q, %v, want three", kids, err)
	}
	for _, kid := range kids {
		if sealed, err := h.PrivateKey(t.Context(), kid); err != nil || !bytes.HasPrefix(sealed, []byte("second\n")) {
			t.Errorf("the private key of %s is %.10q…, %v, want one sealed by second", kid, sealed, err)
		}
	}
	if r, err := keys.Open(t.Context(), keys.Options{Store: h, Sealer: plainSealer{"second"}}); err != nil || len(r.Status().Unreadable) > 0 {
		t.Errorf("a process with the new sealing key: %v", err)
	}
	if _, err := keys.Open(t.Context(), keys.Options{Store: h, Sealer: plainSealer{"first"}}); !errors.Is(err, keys.ErrSealingKey) {
		t.Errorf("a process with the earlier sealing key: %v, want keys.ErrSealingKey", err)
	}
}

// memoryWitness is a witness in memory.
type memoryWitness struct {
	mu        sync.Mutex
	documents map[string][]byte
}

func (w *memoryWitness) Load(id string) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.documents[id], nil
}

func (w *memoryWitness) Store(id string, document []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.documents[id] = document
	return nil
}

// reopened is a store whose handle is replaced when the store is restored.
type reopened struct{ keys.Store }

// A store that goes back, because a backup was restored, is refused by a process that
// saw the newer keyset, and by a new process on a machine with a witness.
func testRestoredBackup(t *testing.T, f *Fixture) {
	if f.Backup == nil {
		t.Fatal("the fixture cannot restore a backup")
	}
	h := f.open()
	store := &reopened{h}
	o := keys.Options{Store: store, Sealer: plainSealer{"first"}, Witness: &memoryWitness{documents: map[string][]byte{}}}
	r, err := keys.Create(t.Context(), o, ringPolicy(h))
	if err != nil {
		t.Fatal(err)
	}
	restore := f.Backup()
	old := r.Keyset()
	revoked := old.Active().KeyID()
	for range 2 { // the version of the backup is reached again below, by another change
		if err := r.Rotate(t.Context(), keys.StepRequest{Force: true}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Revoke(t.Context(), revoked, keys.StepRequest{Force: true}); err != nil {
		t.Fatal(err)
	}
	h.close()
	restore()
	store.Store = f.open()
	if record, err := store.Load(t.Context()); err != nil || record.Version != old.Version {
		t.Fatalf("Load = version %d, %v, want version %d of the backup", record.Version, err, old.Version)
	}
	wantRestored(t, "Refresh of the ring", r.Refresh(t.Context()))
	_, err = keys.Open(t.Context(), o)
	wantRestored(t, "Open with the witness", err)

	// A process that has seen nothing takes the store as it is. What it makes of it is
	// refused too.
	fresh, err := keys.Open(t.Context(), keys.Options{Store: store, Sealer: plainSealer{"first"}})
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if err := fresh.Rotate(t.Context(), keys.StepRequest{Force: true}); err != nil {
			t.Fatal(err)
		}
	}
	wantRestored(t, "Refresh at a newer version", r.Refresh(t.Context()))
	_, err = keys.Open(t.Context(), o)
	wantRestored(t, "Open at a newer version", err)
}

func wantRestored(t *testing.T, what string, err error) {
	t.Helper()
	if refusal, ok := errors.AsType[*keys.Refusal](err); !ok || refusal.Guard != keys.GuardRestored {
		t.Errorf("%s = %v, want a refusal by guard %q", what, err, keys.GuardRestored)
	}
}
