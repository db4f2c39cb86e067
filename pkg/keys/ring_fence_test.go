package keys_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// fenced tells whether a ring refuses to act, in all of its ways.
func fenced(t *testing.T, r *keys.Ring) bool {
	t.Helper()
	_, _, _, signing := r.SigningKey(t.Context())
	_, _, _, specimen := r.Specimen(0).SigningKey(t.Context())
	_, published := r.Published()
	_, found := r.Keys(t.Context(), r.Keyset().Active().KeyID())
	ways := []error{signing, published, found, r.Status().Stale, r.Status().Ready()}
	for _, err := range ways {
		if (err == nil) != (signing == nil) || (err != nil && !errors.Is(err, keys.ErrStale)) {
			t.Fatalf("some ways are fenced and some are not: %v", ways)
		}
	}
	if errors.Is(specimen, keys.ErrStale) != (signing != nil) {
		t.Fatalf("the specimen says %v, the active key %v", specimen, signing)
	}
	return signing != nil
}

func TestWhatIsNotConfirmedForMaxStalenessIsNotActedOn(t *testing.T) {
	l := newLab(t)
	r := l.found(t)
	if l.clock.Advance(time.Hour); fenced(t, r) {
		t.Error("fenced after exactly max_staleness")
	}
	if l.clock.Advance(1); !fenced(t, r) {
		t.Error("not fenced after more than max_staleness")
	}
	l.store.hook(func(s *hookedStore) { s.load = func() error { return errDown } })
	if err := r.Refresh(t.Context()); !errors.Is(err, keys.ErrUnavailable) || !fenced(t, r) {
		t.Errorf("a refresh that failed (%v) opened the fence", err)
	}
	l.store.hook(func(s *hookedStore) { s.load = nil })
	if err := r.Refresh(t.Context()); err != nil || fenced(t, r) {
		t.Errorf("fenced after a refresh: %v", err)
	}
	signs(t, r)
}

func TestAgeCountsFromBeforeTheRead(t *testing.T) {
	l := newLab(t)
	r := l.found(t)
	l.store.hook(func(s *hookedStore) {
		s.load = func() error { l.clock.Advance(10 * time.Minute); return nil }
	})
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.Status().Age; got != 10*time.Minute {
		t.Errorf("Age = %v after a read of ten minutes", got)
	}
	if l.clock.Advance(50 * time.Minute); fenced(t, r) {
		t.Error("fenced too early")
	}
	if l.clock.Advance(1); !fenced(t, r) {
		t.Error("the time that the read took was not counted")
	}
}

func TestASuspendedMachineWakesUpFenced(t *testing.T) {
	l := newLab(t)
	r := l.found(t)
	l.suspend(time.Hour + time.Second)
	if !fenced(t, r) {
		t.Error("the wall clock stood still, and so did the fence")
	}
	if got := r.Status().Age; got != time.Hour+time.Second {
		t.Errorf("Age = %v", got)
	}
}

func TestAClockThatIsSetBackDoesNotOpenTheFence(t *testing.T) {
	l := newLab(t)
	r := l.found(t)
	l.clock.Advance(time.Hour + time.Second)
	if l.jump(-time.Hour); !fenced(t, r) {
		t.Error("the fence opened")
	}
}

func TestAJumpOfTheClockFreezesStepsAndGoesOnSigning(t *testing.T) {
	for _, jump := range []time.Duration{30 * time.Minute, -30 * time.Minute} {
		l := newLab(t)
		r := l.found(t)
		l.clock.Advance(10 * time.Minute)
		before := l.clock.Now()
		l.jump(jump)
		if err := r.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		signs(t, r)
		_, now, latest, err := r.SigningKey(t.Context())
		safe := before
		if jump < 0 {
			safe = now
		}
		if err != nil || !now.Equal(l.clock.Now()) || !latest.Equal(safe.Add(time.Hour)) {
			t.Errorf("%v: SigningKey at %v may give exp %v, %v", jump, now.Sub(before), latest.Sub(before), err)
		}
		_, unknown := r.SetPolicy(t.Context(), keys.Settings{TokenTTL: time.Minute})
		for name, err := range map[string]error{
			"Rotate":    r.Rotate(t.Context(), keys.StepRequest{Force: true}),
			"Revoke":    r.Revoke(t.Context(), r.Keyset().Active().KeyID(), keys.StepRequest{Force: true}),
			"SetPolicy": unknown,
			"Step":      r.Step(t.Context()),
		} {
			if refusal, ok := errors.AsType[*keys.Refusal](err); !ok || refusal.Guard != keys.GuardClock {
				t.Errorf("%v: %s = %v", jump, name, err)
			}
		}
		if s := r.Status(); s.Clock == nil || s.Ready() != nil || s.Refused[keys.GuardClock] != 4 || s.Keyset.Version != 1 {
			t.Errorf("%v: Status = %+v", jump, s)
		}
		l.jump(-jump)
		if err := r.Rotate(t.Context(), keys.StepRequest{}); err != nil {
			t.Errorf("%v: the clock is back: %v", jump, err)
		}
	}
}

// A key that is about to leave leaves by the slower of two clocks that disagree.
func TestAJumpForwardDoesNotMakeKeysLeave(t *testing.T) {
	l := newLab(t)
	r := l.found(t)
	first := r.Keyset().Active().KeyID()
	if err := r.Rotate(t.Context(), keys.StepRequest{}); err != nil {
		t.Fatal(err)
	}
	pending, _ := r.Keyset().Pending()
	l.store.hook(func(s *hookedStore) { // so that the document is read anew each time
		s.half = func(kid string, sealed []byte, err error) ([]byte, error) {
			if kid == pending.KeyID() {
				return nil, keys.ErrNoPrivateKey
			}
			return sealed, err
		}
	})
	blind, err := keys.Open(t.Context(), l.options())
	if err != nil {
		t.Fatal(err)
	}
	l.jump(3 * time.Hour)
	for _, ring := range []*keys.Ring{r, blind} {
		if err := ring.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := publishedKids(t, ring); !slices.Contains(got, first) {
			t.Errorf("published %v without %s", got, first)
		}
	}
	if got, err := r.Keys(t.Context(), first); err != nil || len(got) != 1 {
		t.Errorf("Keys = %v, %v", got, err)
	}
}

func TestAClockBehindTheKeysetTakesNoStep(t *testing.T) {
	l := newLab(t)
	l.found(t)
	behind := l.options()
	behind.Clock = keys.Clock{Now: func() time.Time { return l.clock.Now().Add(-5*time.Second - 1) }}
	r, err := keys.Open(t.Context(), behind)
	if err != nil {
		t.Fatal(err)
	}
	err = r.Rotate(t.Context(), keys.StepRequest{Force: true})
	if refusal, ok := errors.AsType[*keys.Refusal](err); !ok || refusal.Guard != keys.GuardClock {
		t.Errorf("Rotate = %v", err)
	}
	_, err = r.Preview(keys.Keyset.Import)
	if refusal, ok := errors.AsType[*keys.Refusal](err); !ok || refusal.Guard != keys.GuardClock {
		t.Errorf("Preview = %v", err)
	}
	signs(t, r)
	if l.clock.Advance(1); r.Status().Clock != nil {
		t.Errorf("a clock that is e behind may take steps: %v", r.Status().Clock)
	}
}

// clockedStore has a clock of its own, as a database server has.
type clockedStore struct {
	keys.Store
	now func() time.Time
}

func (s clockedStore) Load(ctx context.Context) (keys.Record, error) {
	r, err := s.Store.Load(ctx)
	r.Now = s.now()
	return r, err
}

func TestTheStoresClockCounts(t *testing.T) {
	l := newLab(t)
	l.found(t)
	var off time.Duration
	o := l.options()
	o.Store = clockedStore{l.store, func() time.Time { return l.clock.Now().Add(off) }}
	r, err := keys.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		off  time.Duration
		want bool
	}{{0, true}, {5 * time.Second, true}, {-5 * time.Second, true}, {5*time.Second + 1, false}, {-5*time.Second - 1, false}} {
		off = tt.off
		err := r.Step(t.Context())
		if refusal, ok := errors.AsType[*keys.Refusal](err); (err == nil) != tt.want || (ok && refusal.Guard != keys.GuardClock) {
			t.Errorf("the store is %v ahead: Step = %v", tt.off, err)
		}
	}
	// What the store said keeps its worth while time passes without a read.
	off = 0
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l.clock.Advance(10 * time.Minute); r.Status().Clock != nil {
		t.Errorf("ten minutes later: %v", r.Status().Clock)
	}
	// A jump that the store's clock made too was none.
	l.jump(time.Hour)
	if r.Status().Clock == nil {
		t.Error("a jump was not noticed")
	}
	if err := r.Step(t.Context()); err != nil {
		t.Errorf("the store's clock agrees: %v", err)
	}
	// One that the store's clock did not make is trouble.
	l.jump(time.Hour)
	off = -time.Hour
	if err := r.Step(t.Context()); err == nil {
		t.Error("the store's clock disagrees, and a step was taken")
	}
}
