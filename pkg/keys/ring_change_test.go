package keys_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
	"github.com/jwksctl/jwksctl/pkg/store/memory"
)

// ambiguousCommit has the next swap commit and return an error.
func (f *fixture) ambiguousCommit() {
	f.store.hook(func(s *hookedStore) {
		done := false
		s.onSwap = func(_ keys.Change, commit func() error) error {
			err := commit()
			if !done && err == nil {
				done = true
				return errDown
			}
			return err
		}
	})
}

func TestAnAmbiguousCommitIsNotDoneTwice(t *testing.T) {
	for _, tt := range []struct {
		name    string
		do      func(t *testing.T, r *keys.Ring) error
		version uint64
		check   func(t *testing.T, was, is keys.Keyset)
	}{
		{"rotate", func(t *testing.T, r *keys.Ring) error { return r.Rotate(t.Context(), keys.StepRequest{Force: true}) }, 2, func(t *testing.T, was, is keys.Keyset) {
			if p, _ := was.Pending(); is.Active().KeyID() != p.KeyID() || len(is.Keys) != 3 {
				t.Errorf("active %s, %d keys", is.Active().KeyID(), len(is.Keys))
			}
		}},
		{"revoke", func(t *testing.T, r *keys.Ring) error {
			return r.Revoke(t.Context(), r.Keyset().Active().KeyID(), keys.StepRequest{Reason: "leaked"})
		}, 3, func(t *testing.T, was, is keys.Keyset) { // the third version publishes a successor
			if p, _ := was.Pending(); is.Active().KeyID() != p.KeyID() || len(is.Keys) != 2 || len(is.History) != 1 {
				t.Errorf("active %s, %d keys, %d in the history", is.Active().KeyID(), len(is.Keys), len(is.History))
			}
		}},
		{"policy", func(t *testing.T, r *keys.Ring) error {
			changed, err := r.SetPolicy(t.Context(), keys.Settings{TokenTTL: time.Minute})
			if len(changed) != 1 || changed[0].Setting != "token_ttl" {
				t.Errorf("changed %v", changed)
			}
			return err
		}, 2, func(t *testing.T, _, is keys.Keyset) {
			if is.Policy.TokenTTL != time.Minute {
				t.Errorf("token_ttl %v", is.Policy.TokenTTL)
			}
		}},
		{"import", func(t *testing.T, r *keys.Ring) error {
			key, err := keystest.RSA(jwk.RS256, 0)
			must(t, err)
			return r.Import(t.Context(), key)
		}, 2, func(t *testing.T, _, is keys.Keyset) {
			if p, _ := is.Pending(); p.JWK.Algorithm() != jwk.RS256 || len(is.History) != 1 {
				t.Errorf("pending %+v", p)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			r := f.create(t)
			was := r.Keyset()
			f.ambiguousCommit()
			must(t, tt.do(t, r))
			is := r.Keyset()
			if is.Version != tt.version {
				t.Errorf("version %d, want %d", is.Version, tt.version)
			}
			tt.check(t, was, is)
		})
	}
}

func TestAnAmbiguousTimedStepIsNotDoneTwice(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	pending, _ := r.Keyset().Pending()
	f.clock.Advance(24 * time.Hour)
	f.ambiguousCommit()
	must(t, r.Step(t.Context()))
	if ks := r.Keyset(); ks.Version != 2 || ks.Active().KeyID() != pending.KeyID() {
		t.Errorf("version %d, active %s", ks.Version, ks.Active().KeyID())
	}
}

func TestAnAmbiguousCreationIsNotDoneTwice(t *testing.T) {
	f := newFixture(t)
	f.ambiguousCommit()
	r := f.create(t)
	wantSigns(t, r)
	if ks := r.Keyset(); ks.Version != 1 || len(ks.Keys) != 2 {
		t.Errorf("version %d, %d keys", ks.Version, len(ks.Keys))
	}
}

func TestAConflictIsDecidedAgain(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	other := f.other(t)
	first := r.Keyset().Active().KeyID()
	beforeSwap := func(do func() error) { // has another process act just before the next swap
		once := true
		f.store.hook(func(s *hookedStore) {
			s.onSwap = func(_ keys.Change, commit func() error) error {
				if once {
					once = false
					if err := do(); err != nil {
						t.Error(err)
					}
				}
				return commit()
			}
		})
	}
	// Both rotate: that is one rotation, because both wanted to retire the first key.
	beforeSwap(func() error { return other.Rotate(t.Context(), keys.StepRequest{}) })
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	if ks := r.Keyset(); ks.Version != 2 || ks.Active().KeyID() != other.Keyset().Active().KeyID() {
		t.Errorf("version %d, active %s", ks.Version, ks.Active().KeyID())
	}
	// One revokes while the other changes the policy: both changes are made.
	beforeSwap(func() error {
		_, err := other.SetPolicy(t.Context(), keys.Settings{TokenTTL: time.Minute})
		return err
	})
	must(t, r.Revoke(t.Context(), first, keys.StepRequest{}))
	if ks := r.Keyset(); ks.Version != 4 || ks.Policy.TokenTTL != time.Minute || slices.Contains(publishedKids(t, r), first) {
		t.Errorf("version %d, token_ttl %v", ks.Version, ks.Policy.TokenTTL)
	}
	// One revokes the key that the other was about to activate.
	f.clock.Advance(2 * time.Hour)
	must(t, r.Refresh(t.Context()))
	pending, _ := r.Keyset().Pending()
	beforeSwap(func() error { return other.Revoke(t.Context(), pending.KeyID(), keys.StepRequest{}) })
	err := r.Rotate(t.Context(), keys.StepRequest{})
	wantGuard(t, "Rotate to a key that was revoked meanwhile", err, keys.GuardGate)
}

func TestALateWriteIsTriedAgain(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	var deadlines []time.Duration
	f.store.hook(func(s *hookedStore) {
		s.onSwap = func(c keys.Change, commit func() error) error {
			deadlines = append(deadlines, c.Deadline.Sub(f.clock.Now()))
			if len(deadlines) < 3 {
				f.clock.Advance(2500 * time.Millisecond) // e/2, which is the deadline
			}
			return commit()
		}
	})
	start := f.clock.Now()
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	if want := slices.Repeat([]time.Duration{2500 * time.Millisecond}, 3); !slices.Equal(deadlines, want) {
		t.Errorf("deadlines %v from now, want %v", deadlines, want)
	}
	if got := r.Keyset().Active().ActiveAt.Sub(start); got != 5*time.Second {
		t.Errorf("the stamps are of a failed attempt: active %v after the first one", got)
	}
}

// A change of e must land within the smaller one of the old and the new e.
func TestAPolicyChangeLandsWithinTheSmallerSkew(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	for _, e := range []time.Duration{time.Second, 5 * time.Second} {
		var lands time.Duration
		f.store.hook(func(s *hookedStore) {
			s.onSwap = func(c keys.Change, commit func() error) error {
				lands = c.Deadline.Sub(f.clock.Now())
				return commit()
			}
		})
		if _, err := r.SetPolicy(t.Context(), keys.Settings{ClockSkew: e}); err != nil {
			t.Fatal(err)
		}
		if lands != 500*time.Millisecond {
			t.Errorf("to e = %v: the write may take %v, want 500ms", e, lands)
		}
	}
}

func TestAStoreThatFailsBrieflyIsTriedAgain(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	fails := 2
	f.store.hook(func(s *hookedStore) {
		s.onLoad = func() error {
			if fails > 0 {
				fails--
				return errDown
			}
			return nil
		}
	})
	if err := r.Rotate(t.Context(), keys.StepRequest{}); err != nil {
		t.Error(err)
	}
	attempts := 0
	for name, tt := range map[string]struct {
		reads    bool // otherwise writes
		err      error
		attempts int
	}{
		"reads fail":      {true, errDown, 3},
		"writes fail":     {false, errDown, 3},
		"others win":      {false, keys.ErrConflict, 16}, // the store works
		"writes are late": {false, keys.ErrTooLate, 3},
	} {
		attempts = 0
		f.store.hook(func(s *hookedStore) {
			fail := func() error { attempts++; return tt.err }
			s.onLoad, s.onSwap = nil, func(keys.Change, func() error) error { return fail() }
			if tt.reads {
				s.onLoad = fail
			}
		})
		err := r.Rotate(t.Context(), keys.StepRequest{Force: true})
		if !errors.Is(err, keys.ErrUnavailable) || !errors.Is(err, tt.err) || attempts != tt.attempts {
			t.Errorf("%s: %v after %d attempts", name, err, attempts)
		}
	}
	if v := r.Keyset().Version; v != 2 {
		t.Errorf("version %d", v)
	}
}

func TestAChangeEndsWithItsContext(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	ctx, cancel := context.WithCancel(t.Context())
	attempts := 0
	f.store.hook(func(s *hookedStore) {
		s.onSwap = func(keys.Change, func() error) error { attempts++; cancel(); return ctx.Err() }
	})
	if err := r.Rotate(ctx, keys.StepRequest{}); !errors.Is(err, keys.ErrUnavailable) || attempts != 1 {
		t.Errorf("Rotate = %v after %d attempts", err, attempts)
	}
	loads := 0
	f.store.hook(func(s *hookedStore) { s.onLoad = func() error { loads++; return nil } })
	if err := r.Rotate(ctx, keys.StepRequest{}); !errors.Is(err, keys.ErrUnavailable) || loads != 0 {
		t.Errorf("Rotate = %v after %d reads", err, loads)
	}
}

// If a change may have been committed, the error must not be a refusal, after which
// nothing has changed. If it was not committed, the error must not say that it may.
func TestTheErrorOfAChangeAfterAFailedSwap(t *testing.T) {
	for _, tt := range []struct {
		name    string
		swap    error // of the first attempt
		then    func(f *fixture)
		unclear bool
	}{
		{"ambiguous, then a guard", errDown, func(f *fixture) { f.jump(time.Hour) }, true},
		{"ambiguous, then a store without a keyset", errDown, func(f *fixture) {
			f.store.hook(func(s *hookedStore) { s.onLoad = func() error { return keys.ErrNoKeyset } })
		}, true},
		{"conflict, then a guard", keys.ErrConflict, func(f *fixture) { f.jump(time.Hour) }, false},
		{"too late, then a guard", keys.ErrTooLate, func(f *fixture) { f.jump(time.Hour) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			r := f.create(t)
			f.store.hook(func(s *hookedStore) {
				s.onSwap = func(keys.Change, func() error) error { tt.then(f); return tt.swap }
			})
			err := r.Rotate(t.Context(), keys.StepRequest{})
			_, refused := errors.AsType[*keys.Refusal](err)
			unclear := errors.Is(err, keys.ErrUnavailable) && strings.Contains(err.Error(), "may have been made")
			if err == nil || unclear != tt.unclear || refused == tt.unclear {
				t.Errorf("Rotate = %v", err)
			}
		})
	}
}

// A first attempt may be committed, and the later ones were refused because it holds the
// lock of the store. The error says that the change may have been made, and the status
// goes on to name the problem of the first one.
func TestAnUnclearSwapAndThenLateOnes(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	unconfirmed := &keys.StoreError{Problem: "the store did not confirm a change", Err: errDown}
	for _, last := range []error{keys.ErrTooLate, keys.ErrConflict} {
		swaps := 0
		f.store.hook(func(s *hookedStore) {
			s.onSwap = func(keys.Change, func() error) error {
				if swaps++; swaps == 1 {
					return unconfirmed
				}
				return last
			}
		})
		err := r.Rotate(t.Context(), keys.StepRequest{})
		if !errors.Is(err, keys.ErrUnavailable) || errors.Is(err, last) || !strings.Contains(err.Error(), "may have been made") {
			t.Errorf("Rotate = %v, want an error that says that the change may have been made", err)
		}
		if got := r.Status().WriteError; errors.Is(last, keys.ErrTooLate) && !errors.Is(got, errDown) {
			t.Errorf("after it, WriteError = %v", got)
		}
	}
}

func TestAChangeThatCannotBeReadBackIsReportedAsMade(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	f.store.hook(func(s *hookedStore) {
		s.onSwap = func(_ keys.Change, commit func() error) error {
			f.store.hook(func(s *hookedStore) { s.onLoad = func() error { return errDown } })
			return commit()
		}
	})
	err := r.Rotate(t.Context(), keys.StepRequest{})
	if !errors.Is(err, keys.ErrUnavailable) || !strings.Contains(err.Error(), "the change is made") {
		t.Errorf("Rotate = %v", err)
	}
}

func TestAStoreThatWentBackIsRefused(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	backup, err := f.store.Load(t.Context())
	must(t, err)
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	inner := f.store.Store
	f.store.Store = restoredStore{inner, backup}
	reads := 0
	f.store.hook(func(s *hookedStore) { s.onLoad = func() error { reads++; return nil } })
	for name, err := range map[string]error{"Refresh": r.Refresh(t.Context()), "Rotate": r.Rotate(t.Context(), keys.StepRequest{})} {
		wantGuard(t, name, err, keys.GuardRestored)
	}
	if reads != 2 {
		t.Errorf("%d reads of a store that went back, want one each", reads)
	}
	if v := r.Keyset().Version; v != 2 {
		t.Errorf("the ring acts on version %d", v)
	}
	f.store.Store = inner
	if err := r.Refresh(t.Context()); err != nil {
		t.Errorf("the store is as before, and Refresh = %v", err)
	}
}

// A restored store reaches the same versions again.
func TestAnotherDocumentOfTheSameVersionIsRefused(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	backup, err := f.store.Load(t.Context())
	must(t, err)
	restored := keys.Change{Document: backup.Document, Put: map[string][]byte{}}
	for _, k := range r.Keyset().Keys {
		if restored.Put[k.KeyID()], err = f.store.PrivateKey(t.Context(), k.KeyID()); err != nil {
			t.Fatal(err)
		}
	}
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	was := publishedKids(t, r)
	f.store.Store = memory.New(f.clock.Now)
	must(t, f.store.Swap(t.Context(), restored))
	if other := f.other(t); other.Rotate(t.Context(), keys.StepRequest{}) != nil || other.Keyset().Version != r.Keyset().Version {
		t.Fatalf("versions %d and %d", other.Keyset().Version, r.Keyset().Version)
	}
	wantGuard(t, "Refresh", r.Refresh(t.Context()), keys.GuardRestored)
	if !slices.Equal(publishedKids(t, r), was) {
		t.Errorf("published %v, want %v", publishedKids(t, r), was)
	}
}

// restoredStore returns an old record.
type restoredStore struct {
	keys.Store
	record keys.Record
}

func (s restoredStore) Load(context.Context) (keys.Record, error) { return s.record, nil }
