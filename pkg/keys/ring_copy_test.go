package keys_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/memory"
	"github.com/jwksctl/jwksctl/pkg/store/witness"
)

const targetName = "postgres://db.example/jwksctl"

// moving is a keyset that is copied from the store of a fixture to another one.
type moving struct {
	*fixture
	target *hookedStore
}

func newMoving(t testing.TB) *moving {
	t.Helper()
	f := newFixture(t)
	return &moving{f, &hookedStore{Store: memory.New(f.clock.Now)}}
}

// atTarget are the options of a process that uses the target.
func (m *moving) atTarget() keys.Options {
	o := m.options()
	o.Store = m.target
	return o
}

// copies copies without a sealing key, which is not needed.
func (m *moving) copies(ctx context.Context) (keys.Keyset, error) {
	from, to := m.options(), m.atTarget()
	from.Sealer, to.Sealer = nil, nil
	return keys.Copy(ctx, from, to, targetName)
}

func (m *moving) undo(ctx context.Context) error {
	return keys.UndoCopy(ctx, m.options(), m.atTarget(), targetName)
}

// interrupt has a copy lose the connection to the target between the two swaps.
func (m *moving) interrupt(t testing.TB) {
	t.Helper()
	lost := false
	m.target.hook(func(s *hookedStore) {
		s.onSwap = func(keys.Change, func() error) error { lost = true; return errDown }
		s.onLoad = func() error {
			if lost {
				return errDown
			}
			return nil
		}
	})
	_, err := m.copies(t.Context())
	if !errors.Is(err, keys.ErrUnavailable) || !strings.Contains(err.Error(), "undo") {
		t.Errorf("Copy = %v, want that it can be undone", err)
	}
	m.target.hook(func(s *hookedStore) { s.onLoad, s.onSwap = nil, nil })
}

// sealedKeys are the sealed private keys in a store.
func sealedKeys(t testing.TB, s keys.Store) map[string]string {
	t.Helper()
	kids, err := s.PrivateKeyIDs(t.Context())
	must(t, err)
	all := map[string]string{}
	for _, kid := range kids {
		sealed, err := s.PrivateKey(t.Context(), kid)
		must(t, err)
		all[kid] = string(sealed)
	}
	return all
}

func TestACopyIsTheSameKeysetWithAHigherVersion(t *testing.T) {
	m := newMoving(t)
	r := m.create(t)
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	_, err := r.SetPolicy(t.Context(), keys.Settings{ExpiredTokens: new(true)})
	must(t, err)
	must(t, r.Step(t.Context()))
	before, sealed := r.Keyset(), sealedKeys(t, m.store)
	if len(sealed) != 4 {
		t.Fatalf("%d private keys, want those of an active, a pending, a retired key and a specimen", len(sealed))
	}

	copied, err := m.copies(t.Context())
	must(t, err)
	want := before
	want.Epoch, want.Version = 1, before.Version+2
	if diff := cmp.Diff(want, copied); diff != "" {
		t.Errorf("the copy (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(sealed, sealedKeys(t, m.target)); diff != "" {
		t.Errorf("the private keys of the copy (-want +got):\n%s", diff)
	}
	there, err := keys.Open(t.Context(), m.atTarget())
	must(t, err)
	wantSigns(t, there)
	m.clock.Advance(24 * time.Hour)
	must(t, there.Step(t.Context()))
	if there.Keyset().Version != copied.Version+1 {
		t.Errorf("a step after the copy gives version %d", there.Keyset().Version)
	}
}

// The processes of the old store are as without a connection: they take no step, and stop
// after max_staleness (1h). What they sign until then is published by the new store.
func TestProcessesOfTheOldStoreStop(t *testing.T) {
	m := newMoving(t)
	old := m.create(t)
	_, err := m.copies(t.Context())
	must(t, err)
	there, err := keys.Open(t.Context(), m.atTarget())
	must(t, err)

	for name, err := range map[string]error{
		"Refresh": old.Refresh(t.Context()),
		"Step":    old.Step(t.Context()),
		"Rotate":  old.Rotate(t.Context(), keys.StepRequest{Force: true}),
		"Revoke":  old.Revoke(t.Context(), pendingKid(t, old.Keyset()), keys.StepRequest{Force: true}),
		"Open":    errorOf(keys.Open(t.Context(), m.options())),
		"Create":  errorOf(createDaily(t.Context(), m.options())),
		"Read":    errorOf(keys.Read(t.Context(), m.options())),
		"accept":  errorOf(keys.AcceptRestore(t.Context(), m.options())),
		"backup":  errorOf(keys.ReadBackup(t.Context(), m.options())),
	} {
		wantGuard(t, name, err, keys.GuardMoved)
		if !strings.Contains(err.Error(), targetName) {
			t.Errorf("%s does not name the new store: %v", name, err)
		}
	}
	if problem := old.Status().StoreProblem(); problem != "the keyset was moved to another store" {
		t.Errorf("the old process says: %s", problem)
	}
	must(t, there.Rotate(t.Context(), keys.StepRequest{}))
	m.clock.Advance(time.Hour - time.Second)
	wantSigns(t, old)
	key, _, _, err := old.SigningKey(t.Context())
	must(t, err)
	must(t, there.Refresh(t.Context()))
	if !slices.Contains(publishedKids(t, there), key.KeyID()) {
		t.Error("the new store does not publish the key that the old process signs with")
	}
	m.clock.Advance(time.Second + 1)
	if _, _, _, err := old.SigningKey(t.Context()); !errors.Is(err, keys.ErrStale) {
		t.Errorf("after max_staleness the old process signs: %v", err)
	}
	if _, err := old.Published(); !errors.Is(err, keys.ErrStale) {
		t.Errorf("after max_staleness the old process publishes: %v", err)
	}
}

func errorOf[T any](_ T, err error) error { return err }

// dying is a store whose process dies at a call, or loses the connection for good.
type dying struct {
	keys.Store
	left    *int // calls until then, of both stores
	commits bool // whether a Swap that meets the end is committed
}

func (d dying) ends() bool {
	*d.left--
	return *d.left < 0
}

func (d dying) Load(ctx context.Context) (keys.Record, error) {
	if d.ends() {
		return keys.Record{}, errDown
	}
	return d.Store.Load(ctx)
}

func (d dying) PrivateKey(ctx context.Context, kid string) ([]byte, error) {
	if d.ends() {
		return nil, errDown
	}
	return d.Store.PrivateKey(ctx, kid)
}

func (d dying) Swap(ctx context.Context, c keys.Change) error {
	if d.ends() {
		if d.commits && *d.left == -1 {
			return errors.Join(errDown, d.Store.Swap(ctx, c))
		}
		return errDown
	}
	return d.Store.Swap(ctx, c)
}

// A copy that ends at any call leaves one store that is in use, and the same command
// finishes it.
func TestACopyThatEndsAtAnyCall(t *testing.T) {
	for _, commits := range []bool{false, true} {
		for calls, done := 0, false; !done; calls++ {
			synctest.Test(t, func(t *testing.T) {
				m := newMoving(t)
				before := m.create(t).Keyset()
				left := calls
				from, to := m.options(), m.atTarget()
				from.Store, to.Store = dying{m.store, &left, commits}, dying{m.target, &left, commits}
				_, err := keys.Copy(t.Context(), from, to, targetName)
				done = err == nil
				if _, noCopy := m.target.Load(t.Context()); noCopy == nil {
					wantGuard(t, "the old store beside a copy", errorOf(keys.Read(t.Context(), m.options())), keys.GuardMoved)
				}
				copied, err := m.copies(t.Context())
				if err != nil {
					t.Fatalf("after %d calls: the copy cannot be finished: %v", calls, err)
				}
				if copied.Version <= before.Version || copied.Epoch != 1 || !slices.Equal(kidsOf(copied), kidsOf(before)) {
					t.Errorf("after %d calls: version %d, epoch %d, keys %v", calls, copied.Version, copied.Epoch, kidsOf(copied))
				}
				wantGuard(t, "the old store", errorOf(keys.Open(t.Context(), m.options())), keys.GuardMoved)
				wantSigns(t, result(keys.Open(t.Context(), m.atTarget()))(t))
			})
		}
	}
}

// result is the value of a call that must succeed: result(call())(t).
func result[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		must(t, err)
		return v
	}
}

func kidsOf(ks keys.Keyset) (kids []string) {
	for _, k := range ks.Keys {
		kids = append(kids, k.KeyID())
	}
	return kids
}

// A copy that another process beats to a change of the old store has that change.
func TestACopyHasTheChangesThatAreMadeMeanwhile(t *testing.T) {
	m := newMoving(t)
	m.create(t)
	m.target.hook(func(s *hookedStore) {
		s.onLoad = func() error {
			m.target.hook(func(s *hookedStore) { s.onLoad = nil })
			return m.other(t).Rotate(t.Context(), keys.StepRequest{})
		}
	})
	copied, err := m.copies(t.Context())
	must(t, err)
	if copied.Version != 4 || len(copied.Keys) != 3 {
		t.Errorf("the copy has version %d and %d keys: it lacks the rotation", copied.Version, len(copied.Keys))
	}
	wantSigns(t, result(keys.Open(t.Context(), m.atTarget()))(t))
}

// If nothing was written to the new store, the old one goes on.
func TestAFailedCopyChangesNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		swap func(keys.Change, func() error) error
		want error
	}{
		"too late":  {func(keys.Change, func() error) error { return keys.ErrTooLate }, keys.ErrUnavailable},
		"read-only": {func(keys.Change, func() error) error { return errDown }, errDown},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMoving(t)
				r := m.create(t)
				m.target.hook(func(s *hookedStore) { s.onSwap = tt.swap })
				began := time.Now()
				if _, err := m.copies(t.Context()); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), "is in use as before") {
					t.Errorf("Copy = %v", err)
				}
				if name == "read-only" && time.Since(began) < r.Policy().ClockSkew {
					t.Error("the mark was removed before the write to the new store could land")
				}
				must(t, r.Rotate(t.Context(), keys.StepRequest{}))
				m.target.hook(func(s *hookedStore) { s.onSwap = nil })
				must(t, errorOf(m.copies(t.Context())))
			})
		})
	}
}

// A write may land although it failed.
func TestAnUnclearWriteThatLands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMoving(t)
		m.create(t)
		m.target.hook(func(s *hookedStore) {
			s.onSwap = func(_ keys.Change, commit func() error) error {
				must(t, commit())
				return errDown
			}
		})
		must(t, errorOf(m.copies(t.Context())))
		wantSigns(t, result(keys.Open(t.Context(), m.atTarget()))(t))
	})
}

func TestACopyIsNotInterruptedInTheMiddle(t *testing.T) {
	m := newMoving(t)
	m.create(t)
	ctx, interrupt := context.WithCancel(t.Context())
	m.target.hook(func(s *hookedStore) {
		s.onSwap = func(_ keys.Change, commit func() error) error {
			interrupt()
			return commit()
		}
	})
	must(t, errorOf(m.copies(ctx)))
}

func TestTwoCopiesAtTheSameTime(t *testing.T) {
	m := newMoving(t)
	m.create(t)
	m.target.hook(func(s *hookedStore) { // between the mark of the one and its second swap
		s.onSwap = func(_ keys.Change, commit func() error) error {
			m.target.hook(func(s *hookedStore) { s.onSwap = nil })
			must(t, errorOf(m.copies(t.Context())))
			there := result(keys.Open(t.Context(), m.atTarget()))(t)
			must(t, there.Rotate(t.Context(), keys.StepRequest{}))
			return commit()
		}
	})
	copied, err := m.copies(t.Context())
	must(t, err)
	if copied.Version != 5 {
		t.Errorf("version %d, want that of the rotation after the other copy", copied.Version)
	}
	wantGuard(t, "the old store", errorOf(keys.Read(t.Context(), m.options())), keys.GuardMoved)
}

func TestCopiesThatAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(*testing.T, *moving)
		guard   keys.Guard
		text    string
	}{
		"the target has a keyset": {func(t *testing.T, m *moving) {
			must(t, errorOf(createDaily(t.Context(), m.atTarget())))
		}, keys.GuardTarget, "an empty store"},
		"the target has a document that cannot be used": {func(t *testing.T, m *moving) {
			must(t, m.target.Swap(t.Context(), keys.Change{Document: []byte("{}")}))
		}, keys.GuardTarget, "an empty store"},
		"the keyset was copied elsewhere": {func(t *testing.T, m *moving) {
			must(t, errorOf(keys.Copy(t.Context(), m.options(), keys.Options{Store: memory.New(m.clock.Now), Clock: m.options().Clock}, "etcd://other")))
		}, keys.GuardMoved, "moved to etcd://other"},
		"an interrupted copy, and the target has another keyset now": {func(t *testing.T, m *moving) {
			m.interrupt(t)
			o := m.atTarget()
			must(t, errorOf(createDaily(t.Context(), o)))
			rec := result(m.target.Load(t.Context()))(t)
			later := bytes.Replace(rec.Document, []byte(`"version":1`), []byte(`"epoch":7,"version":2`), 1)
			must(t, m.target.Swap(t.Context(), keys.Change{Version: 1, Document: later}))
		}, keys.GuardTarget, "an empty store"},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newMoving(t)
			m.create(t)
			tt.prepare(t, m)
			before, target := result(m.store.Load(t.Context()))(t), result(m.target.Load(t.Context()))
			_, err := m.copies(t.Context())
			wantGuard(t, "Copy", err, tt.guard)
			if err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%s: Copy = %v, want %q", name, err, tt.text)
			}
			if diff := cmp.Diff(before, result(m.store.Load(t.Context()))(t)); diff != "" {
				t.Errorf("%s: the old store was changed: %s", name, diff)
			}
			if tt.guard == keys.GuardTarget {
				if diff := cmp.Diff(target(t), result(m.target.Load(t.Context()))(t)); diff != "" {
					t.Errorf("%s: the target was changed: %s", name, diff)
				}
			}
		})
	}
}

func TestAnEmptyStoreIsNotCopied(t *testing.T) {
	m := newMoving(t)
	if _, err := m.copies(t.Context()); !errors.Is(err, keys.ErrNoKeyset) {
		t.Errorf("Copy of an empty store = %v", err)
	}
}

func TestAKeysetWhoseClockSkewIsTooShortForTheTarget(t *testing.T) {
	m := newMoving(t)
	r := m.create(t)
	to := m.atTarget()
	to.Store = slowStore{m.target}
	_, err := keys.Copy(t.Context(), m.options(), to, targetName)
	wantTooShort(t, "Copy", err)
	if err == nil || !strings.Contains(err.Error(), "serve --clock-skew 8s") {
		t.Errorf("Copy = %v, want what to do", err)
	}
	must(t, r.Refresh(t.Context()))
	_, err = r.SetPolicy(t.Context(), keys.Settings{ClockSkew: 8 * time.Second})
	must(t, err)
	must(t, errorOf(keys.Copy(t.Context(), m.options(), to, targetName)))
}

func TestAStoreThatLacksAPrivateKeyIsNotCopied(t *testing.T) {
	m := newMoving(t)
	m.store.losePrivateKey(m.create(t).Keyset().Active().KeyID())
	if _, err := m.copies(t.Context()); !errors.Is(err, keys.ErrUnreadable) {
		t.Errorf("Copy = %v, want ErrUnreadable", err)
	}
}

// A machine that has seen the old store accepts the new one, and refuses the old one then,
// also if a backup from before the copy is restored there.
func TestAWitnessAcceptsTheCopyAndRefusesTheOldStore(t *testing.T) {
	m := newMoving(t)
	folder := witness.Folder(t.TempDir())
	from, to := m.options(), m.atTarget()
	from.Witness = folder
	r, err := createDaily(t.Context(), from)
	must(t, err)
	backup, sealed := result(m.store.Load(t.Context()))(t), sealedKeys(t, m.store)
	must(t, errorOf(keys.Copy(t.Context(), from, to, targetName)))

	// There is nothing to accept in a store that was marked.
	marked := result(m.store.Load(t.Context()))(t)
	wantGuard(t, "AcceptRestore of the old store", errorOf(keys.AcceptRestore(t.Context(), from)), keys.GuardMoved)
	if diff := cmp.Diff(marked, result(m.store.Load(t.Context()))(t)); diff != "" {
		t.Errorf("AcceptRestore changed the old store: %s", diff)
	}

	old := memory.New(m.clock.Now)
	put := map[string][]byte{}
	for kid, key := range sealed {
		put[kid] = []byte(key)
	}
	must(t, old.Swap(t.Context(), keys.Change{Document: backup.Document, Put: put}))
	restoredOld := from
	restoredOld.Store = old
	wantGuard(t, "the old store from a backup", errorOf(keys.Open(t.Context(), restoredOld)), keys.GuardRestored)

	to.Witness = folder
	must(t, errorOf(keys.Open(t.Context(), to)))
	if got := slices.Sorted(maps.Keys(sealedKeys(t, m.target))); len(got) != len(sealed) {
		t.Errorf("private keys of the copy: %v", got)
	}
	// An operator who accepts the backup uses that store again.
	accepted, err := keys.AcceptRestore(t.Context(), restoredOld)
	must(t, err)
	if accepted.Keyset().Epoch != 2 || accepted.Keyset().ID != r.Keyset().ID {
		t.Errorf("accepted: epoch %d", accepted.Keyset().Epoch)
	}
	wantGuard(t, "the copy after the backup was accepted", errorOf(keys.Open(t.Context(), to)), keys.GuardRestored)
}

// A machine may have seen the mark and never the copy.
func TestARestoredStoreIsAcceptedAfterAMark(t *testing.T) {
	m := newMoving(t)
	folder := witness.Folder(t.TempDir())
	o := m.options()
	o.Witness = folder
	must(t, errorOf(createDaily(t.Context(), o)))
	backup, err := keys.ReadBackup(t.Context(), o)
	must(t, err)
	must(t, errorOf(m.copies(t.Context())))
	marked := result(m.store.Load(t.Context()))(t)
	must(t, folder.Store(backup.Keyset().ID, marked.Document))
	o.Store = memory.New(m.clock.Now)
	must(t, keys.Restore(t.Context(), o, backup))
	wantGuard(t, "the backup", errorOf(keys.Open(t.Context(), o)), keys.GuardRestored)
	wantSigns(t, result(keys.AcceptRestore(t.Context(), o))(t))
}
