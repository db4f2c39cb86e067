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

// ambiguous has the next swap commit and then report an error.
func (l *lab) ambiguous() {
	l.store.hook(func(s *hookedStore) {
		done := false
		s.swap = func(_ keys.Change, commit func() error) error {
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
			if err != nil {
				t.Fatal(err)
			}
			return r.Import(t.Context(), key)
		}, 2, func(t *testing.T, _, is keys.Keyset) {
			if p, _ := is.Pending(); p.JWK.Algorithm() != jwk.RS256 || len(is.History) != 1 {
				t.Errorf("pending %+v", p)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			r := l.found(t)
			was := r.Keyset()
			l.ambiguous()
			if err := tt.do(t, r); err != nil {
				t.Fatal(err)
			}
			is := r.Keyset()
			if is.Version != tt.version {
				t.Errorf("version %d, want %d", is.Version, tt.version)
			}
			tt.check(t, was, is)
		})
	}
}

func TestAnAmbiguousTimedStepIsNotDoneTwice(t *testing.T) {
	l := newLab(t)
	r := l.found(t)
	pending, _ := r.Keyset().Pending()
	l.clock.Advance(24 * time.Hour)
	l.ambiguous()
	if err := r.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ks := r.Keyset(); ks.Version != 2 || ks.Active().KeyID() != pending.KeyID() {
		t.Errorf("version %d, active %s", ks.Version, ks.Active().KeyID())
	}
}

func TestAnAmbiguousFoundingIsNotDoneTwice(t *testing.T) {
	l := newLab(t)
	l.ambiguous()
	r := l.found(t)
	signs(t, r)
	if ks := r.Keyset(); ks.Version != 1 || len(ks.Keys) != 2 {
		t.Errorf("version %d, %d keys", ks.Version, len(ks.Keys))
	}
}

func TestAConflictIsDecidedAgain(t *testing.T) {
	l := newLab(t)
	r := l.found(t)
	other := l.other(t)
	first := r.Keyset().Active().KeyID()
	meet := func(do func() error) { // just before the next swap, another process is first
		once := true
		l.store.hook(func(s *hookedStore) {
			s.swap = func(_ keys.Change, commit func() error) error {
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
	// Both rotate: that is one rotation, since both wanted the first key to go.
	meet(func() error { return other.Rotate(t.Context(), keys.StepRequest{}) })
	if err := r.Rotate(t.Context(), keys.StepRequest{}); err != nil {
		t.Fatal(err)
	}
	if ks := r.Keyset(); ks.Version != 2 || ks.Active().KeyID() != other.Keyset().Active().KeyID() {
		t.Errorf("version %d, active %s", ks.Version, ks.Active().KeyID())
	}
	// One revokes while the other changes the policy: both come true.
	meet(func() error {
		_, err := other.SetPolicy(t.Context(), keys.Settings{TokenTTL: time.Minute})
		return err
	})
	if err := r.Revoke(t.Context(), first, keys.StepRequest{}); err != nil {
		t.Fatal(err)
	}
	if ks := r.Keyset(); ks.Version != 4 || ks.Policy.TokenTTL != time.Minute || slices.Contains(publishedKids(t, r), first) {
		t.Errorf("version %d, token_ttl %v", ks.Version, ks.Policy.TokenTTL)
	}
	// One revokes the key that the other was about to put in force.
	l.clock.Advance(2 * time.Hour)
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	pending, _ := r.Keyset().Pending()
	meet(func() error { return other.Revoke(t.Context(), pending.KeyID(), keys.StepRequest{}) })
	err := r.Rotate(t.Context(), keys.StepRequest{})
	if refusal, ok := errors.AsType[*keys.Refusal](err); !ok || refusal.Guard != keys.GuardGate {
		t.Errorf("Rotate onto a key that was revoked meanwhile = %v", err)
	}
}

func TestAWriteThatCameTooLateIsTriedAgain(t *testing.T) {
	l := newLab(t)
	r := l.found(t)
	var deadlines []time.Duration
	l.store.hook(func(s *hookedStore) {
		s.swap = func(c keys.Change, commit func() error) error {
			deadlines = append(deadlines, c.Deadline.Sub(l.clock.Now()))
			if len(deadlines) < 3 {
				l.clock.Advance(2500 * time.Millisecond) // e/2: no time is left for the write
			}
			return commit()
		}
	})
	start := l.clock.Now()
	if err := r.Rotate(t.Context(), keys.StepRequest{}); err != nil {
		t.Fatal(err)
	}
	if want := slices.Repeat([]time.Duration{2500 * time.Millisecond}, 3); !slices.Equal(deadlines, want) {
		t.Errorf("deadlines %v from now, want %v", deadlines, want)
	}
	if got := r.Keyset().Active().ActiveAt.Sub(start); got != 5*time.Second {
		t.Errorf("the stamps are of a try that failed: active %v after the first", got)
	}
}

// A change of e must land as soon as the smaller one asks, before and after.
func TestAPolicyChangeLandsWithinTheSmallerSkew(t *testing.T) {
	l := newLab(t)
	r := l.found(t)
	for _, e := range []time.Duration{time.Second, 5 * time.Second} {
		var lands time.Duration
		l.store.hook(func(s *hookedStore) {
			s.swap = func(c keys.Change, commit func() error) error {
				lands = c.Deadline.Sub(l.clock.Now())
				return commit()
			}
		})
		if _, err := r.SetPolicy(t.Context(), keys.Settings{ClockSkew: e}); err != nil {
			t.Fatal(err)
		}
		if lands != 500*time.Millisecond {
			t.Errorf("to e = %v: the write may take %v, want half a second", e, lands)
		}
	}
}

func TestAStoreThatFailsForALittleWhileIsTriedAgain(t *testing.T) {
	l := newLab(t)
	r := l.found(t)
	fails := 2
	l.store.hook(func(s *hookedStore) {
		s.load = func() error {
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
	tries := 0
	for name, tt := range map[string]struct {
		reads bool // or writes
		err   error
		tries int
	}{
		"reads":     {true, errDown, 3},
		"writes":    {false, errDown, 3},
		"luck":      {false, keys.ErrConflict, 16}, // others keep winning, and the store is well
		"good time": {false, keys.ErrTooLate, 3},
	} {
		tries = 0
		l.store.hook(func(s *hookedStore) {
			fail := func() error { tries++; return tt.err }
			s.load, s.swap = nil, func(keys.Change, func() error) error { return fail() }
			if tt.reads {
				s.load = fail
			}
		})
		err := r.Rotate(t.Context(), keys.StepRequest{Force: true})
		if !errors.Is(err, keys.ErrUnavailable) || !errors.Is(err, tt.err) || tries != tt.tries {
			t.Errorf("without %s: %v after %d tries", name, err, tries)
		}
	}
	if v := r.Keyset().Version; v != 2 {
		t.Errorf("version %d", v)
	}
}

func TestAChangeEndsWithItsContext(t *testing.T) {
	l := newLab(t)
	r := l.found(t)
	ctx, cancel := context.WithCancel(t.Context())
	tries := 0
	l.store.hook(func(s *hookedStore) {
		s.swap = func(keys.Change, func() error) error { tries++; cancel(); return ctx.Err() }
	})
	if err := r.Rotate(ctx, keys.StepRequest{}); !errors.Is(err, keys.ErrUnavailable) || tries != 1 {
		t.Errorf("Rotate = %v after %d tries", err, tries)
	}
	loads := 0
	l.store.hook(func(s *hookedStore) { s.load = func() error { loads++; return nil } })
	if err := r.Rotate(ctx, keys.StepRequest{}); !errors.Is(err, keys.ErrUnavailable) || loads != 0 {
		t.Errorf("Rotate = %v after %d reads", err, loads)
	}
}

// What cannot be known must not be told as a refusal, after which nothing has
// changed; what is known to have failed must not be told as unknown.
func TestWhatEndsAChangeAfterAFailedSwap(t *testing.T) {
	for _, tt := range []struct {
		name    string
		swap    error // of the first try
		then    func(l *lab)
		unclear bool
	}{
		{"ambiguous, then a guard", errDown, func(l *lab) { l.jump(time.Hour) }, true},
		{"ambiguous, then a store without a keyset", errDown, func(l *lab) {
			l.store.hook(func(s *hookedStore) { s.load = func() error { return keys.ErrNoKeyset } })
		}, true},
		{"conflict, then a guard", keys.ErrConflict, func(l *lab) { l.jump(time.Hour) }, false},
		{"too late, then a guard", keys.ErrTooLate, func(l *lab) { l.jump(time.Hour) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			r := l.found(t)
			l.store.hook(func(s *hookedStore) {
				s.swap = func(keys.Change, func() error) error { tt.then(l); return tt.swap }
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

func TestAChangeThatCannotBeReadBackIsToldAsMade(t *testing.T) {
	l := newLab(t)
	r := l.found(t)
	l.store.hook(func(s *hookedStore) {
		s.swap = func(_ keys.Change, commit func() error) error {
			l.store.hook(func(s *hookedStore) { s.load = func() error { return errDown } })
			return commit()
		}
	})
	err := r.Rotate(t.Context(), keys.StepRequest{})
	if !errors.Is(err, keys.ErrUnavailable) || !strings.Contains(err.Error(), "the change is made") {
		t.Errorf("Rotate = %v", err)
	}
}

func TestAStoreThatWentBackIsRefused(t *testing.T) {
	l := newLab(t)
	r := l.found(t)
	backup, err := l.store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Rotate(t.Context(), keys.StepRequest{}); err != nil {
		t.Fatal(err)
	}
	inner := l.store.Store
	l.store.Store = restoredStore{inner, backup}
	reads := 0
	l.store.hook(func(s *hookedStore) { s.load = func() error { reads++; return nil } })
	for name, err := range map[string]error{"Refresh": r.Refresh(t.Context()), "Rotate": r.Rotate(t.Context(), keys.StepRequest{})} {
		if refusal, ok := errors.AsType[*keys.Refusal](err); !ok || refusal.Guard != keys.GuardRestored {
			t.Errorf("%s = %v", name, err)
		}
	}
	if reads != 2 {
		t.Errorf("%d reads of a store that went back, want one each", reads)
	}
	if v := r.Keyset().Version; v != 2 {
		t.Errorf("version %d is acted on", v)
	}
	l.store.Store = inner
	if err := r.Refresh(t.Context()); err != nil {
		t.Errorf("the store is whole again: %v", err)
	}
}

// A store that was restored comes to the same versions again.
func TestAnotherDocumentOfTheSameVersionIsRefused(t *testing.T) {
	l := newLab(t)
	r := l.found(t)
	backup, err := l.store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	restored := keys.Change{Document: backup.Document, Put: map[string][]byte{}}
	for _, k := range r.Keyset().Keys {
		if restored.Put[k.KeyID()], err = l.store.PrivateKey(t.Context(), k.KeyID()); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Rotate(t.Context(), keys.StepRequest{}); err != nil {
		t.Fatal(err)
	}
	was := publishedKids(t, r)
	l.store.Store = memory.New(l.clock.Now)
	if err := l.store.Swap(t.Context(), restored); err != nil {
		t.Fatal(err)
	}
	if other := l.other(t); other.Rotate(t.Context(), keys.StepRequest{}) != nil || other.Keyset().Version != r.Keyset().Version {
		t.Fatalf("versions %d and %d", other.Keyset().Version, r.Keyset().Version)
	}
	err = r.Refresh(t.Context())
	if refusal, ok := errors.AsType[*keys.Refusal](err); !ok || refusal.Guard != keys.GuardRestored || !slices.Equal(publishedKids(t, r), was) {
		t.Errorf("Refresh = %v, published %v", err, publishedKids(t, r))
	}
}

// restoredStore answers with an old record.
type restoredStore struct {
	keys.Store
	record keys.Record
}

func (s restoredStore) Load(context.Context) (keys.Record, error) { return s.record, nil }
