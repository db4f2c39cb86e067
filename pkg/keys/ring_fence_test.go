package keys_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// fenced reports whether a ring refuses to act. All of its methods must agree.
func fenced(t *testing.T, r *keys.Ring) bool {
	t.Helper()
	_, _, _, signing := r.SigningKey(t.Context())
	_, _, _, specimen := r.Specimen(0).SigningKey(t.Context())
	_, published := r.Published()
	_, lookup := r.Keys(t.Context(), r.Keyset().Active().KeyID())
	all := []error{signing, published, lookup, r.Status().Stale, r.Status().Ready()}
	for _, err := range all {
		if (err == nil) != (signing == nil) || (err != nil && !errors.Is(err, keys.ErrStale)) {
			t.Fatalf("some methods are fenced and some are not: %v", all)
		}
	}
	if errors.Is(specimen, keys.ErrStale) != (signing != nil) {
		t.Fatalf("the specimen: %v, the active key: %v", specimen, signing)
	}
	return signing != nil
}

func TestAViewIsFencedAfterMaxStaleness(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	if f.clock.Advance(time.Hour); fenced(t, r) {
		t.Error("fenced after exactly max_staleness")
	}
	if f.clock.Advance(1); !fenced(t, r) {
		t.Error("not fenced after more than max_staleness")
	}
	f.store.hook(func(s *hookedStore) { s.onLoad = func() error { return errDown } })
	if err := r.Refresh(t.Context()); !errors.Is(err, keys.ErrUnavailable) || !fenced(t, r) {
		t.Errorf("not fenced after a refresh that failed: %v", err)
	}
	f.store.hook(func(s *hookedStore) { s.onLoad = nil })
	if err := r.Refresh(t.Context()); err != nil || fenced(t, r) {
		t.Errorf("fenced after a refresh: %v", err)
	}
	wantSigns(t, r)
}

func TestAgeCountsFromBeforeTheRead(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	f.store.hook(func(s *hookedStore) {
		s.onLoad = func() error { f.clock.Advance(10 * time.Minute); return nil }
	})
	must(t, r.Refresh(t.Context()))
	if got := r.Status().Age; got != 10*time.Minute {
		t.Errorf("Age = %v after a read of ten minutes", got)
	}
	if f.clock.Advance(50 * time.Minute); fenced(t, r) {
		t.Error("fenced too early")
	}
	if f.clock.Advance(1); !fenced(t, r) {
		t.Error("not fenced: the duration of the read was not counted")
	}
}

func TestAViewIsFencedAfterASuspend(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	f.suspend(time.Hour + time.Second)
	if !fenced(t, r) {
		t.Error("not fenced, although the uptime says so")
	}
	if got := r.Status().Age; got != time.Hour+time.Second {
		t.Errorf("Age = %v", got)
	}
}

func TestAViewStaysFencedIfTheClockIsSetBack(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	f.clock.Advance(time.Hour + time.Second)
	if f.jump(-time.Hour); !fenced(t, r) {
		t.Error("not fenced")
	}
}

func TestAfterAClockJumpTheRingSignsAndTakesNoStep(t *testing.T) {
	for _, jump := range []time.Duration{30 * time.Minute, -30 * time.Minute} {
		f := newFixture(t)
		r := f.create(t)
		f.clock.Advance(10 * time.Minute)
		before := f.clock.Now()
		f.jump(jump)
		must(t, r.Refresh(t.Context()))
		wantSigns(t, r)
		_, now, latest, err := r.SigningKey(t.Context())
		safe := before
		if jump < 0 {
			safe = f.clock.Now()
		}
		if err != nil || !now.Equal(safe) || !latest.Equal(safe.Add(time.Hour)) {
			t.Errorf("%v: SigningKey gives iat %v and may give exp %v, %v", jump, now.Sub(before), latest.Sub(before), err)
		}
		_, setPolicy := r.SetPolicy(t.Context(), keys.Settings{TokenTTL: time.Minute})
		for name, err := range map[string]error{
			"Rotate":    r.Rotate(t.Context(), keys.StepRequest{Force: true}),
			"SetPolicy": setPolicy,
			"Step":      r.Step(t.Context()),
		} {
			wantGuard(t, name, err, keys.GuardClock)
		}
		if s := r.Status(); s.Clock == nil || s.Ready() != nil || s.Refused[keys.GuardClock] != 3 || s.Keyset.Version != 1 {
			t.Errorf("%v: Status = %+v", jump, s)
		}
		f.jump(-jump)
		if err := r.Rotate(t.Context(), keys.StepRequest{}); err != nil {
			t.Errorf("%v: the clock is back: %v", jump, err)
		}
	}
}

// If the clocks disagree, a key leaves by the slower one.
func TestAJumpForwardDoesNotMakeKeysLeave(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	first := r.Keyset().Active().KeyID()
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	f.store.losePrivateKey(pendingKid(t, r.Keyset())) // so that the document is decoded at each refresh
	other := f.open(t)
	f.jump(3 * time.Hour)
	for _, ring := range []*keys.Ring{r, other} {
		must(t, ring.Refresh(t.Context()))
		if got := publishedKids(t, ring); !slices.Contains(got, first) {
			t.Errorf("published %v without %s", got, first)
		}
	}
	if got, err := r.Keys(t.Context(), first); err != nil || len(got) != 1 {
		t.Errorf("Keys = %v, %v", got, err)
	}
}

func TestAClockBehindTheKeysetTakesNoStep(t *testing.T) {
	f := newFixture(t)
	f.create(t)
	behind := f.options()
	behind.Clock = keys.Clock{Now: func() time.Time { return f.clock.Now().Add(-5*time.Second - 1) }}
	r, err := keys.Open(t.Context(), behind)
	must(t, err)
	wantGuard(t, "Rotate", r.Rotate(t.Context(), keys.StepRequest{Force: true}), keys.GuardClock)
	_, err = r.Preview(keys.Keyset.Import)
	wantGuard(t, "Preview", err, keys.GuardClock)
	wantSigns(t, r)
	if f.clock.Advance(1); r.Status().Clock != nil {
		t.Errorf("refused with a clock that is e behind: %v", r.Status().Clock)
	}
}

// A start sets the policy to what it is already. That needs no clock.
func TestAWrongClockDoesNotRefuseAPolicyThatIsSetAlready(t *testing.T) {
	f := newFixture(t)
	f.create(t)
	f.clock.Advance(-24 * time.Hour)
	r := f.open(t)
	p := r.Policy()
	changed, err := r.SetPolicy(t.Context(), keys.Settings{Issuer: p.Issuer, TokenTTL: p.TokenTTL})
	if err != nil || len(changed) != 0 {
		t.Errorf("SetPolicy = %v, %v", changed, err)
	}
	_, err = r.SetPolicy(t.Context(), keys.Settings{TokenTTL: time.Minute})
	wantGuard(t, "SetPolicy", err, keys.GuardClock)
	wantSigns(t, r)
}

// wrongClocks are ways in which a clock cannot be trusted. Each returns a process on a
// keyset that was created before.
func wrongClocks() map[string]func(t *testing.T, f *fixture) *keys.Ring {
	jumped := func(by time.Duration) func(*testing.T, *fixture) *keys.Ring {
		return func(t *testing.T, f *fixture) *keys.Ring {
			t.Helper()
			r := f.open(t)
			f.jump(by)
			return r
		}
	}
	differs := func(by time.Duration) func(*testing.T, *fixture) *keys.Ring {
		return func(t *testing.T, f *fixture) *keys.Ring {
			t.Helper()
			right := f.clock.Now()
			f.clock.Advance(by)
			o := f.options()
			o.Store = clockedStore{f.store, func() time.Time { return right }}
			r, err := keys.Open(t.Context(), o)
			must(t, err)
			return r
		}
	}
	return map[string]func(t *testing.T, f *fixture) *keys.Ring{
		"a day behind the keyset": func(t *testing.T, f *fixture) *keys.Ring {
			t.Helper()
			f.clock.Advance(-24 * time.Hour)
			return f.open(t)
		},
		"jumped ahead":       jumped(30 * time.Minute),
		"jumped back":        jumped(-30 * time.Minute),
		"ahead of the store": differs(24 * time.Hour),
		"behind the store":   differs(-24 * time.Hour),
	}
}

func TestRevokeWithAWrongClock(t *testing.T) {
	for name, open := range wrongClocks() {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			first := f.create(t)
			must(t, first.Rotate(t.Context(), keys.StepRequest{})) // a key is retired, and the pending one is not ready
			before := first.Keyset()
			retired, active, pending := before.Keys[0].KeyID(), before.Active().KeyID(), pendingKid(t, before)
			right := f.clock.Now()
			r := open(t, f)

			must(t, r.Revoke(t.Context(), retired, keys.StepRequest{}))
			wantGuard(t, "Revoke", r.Revoke(t.Context(), active, keys.StepRequest{}), keys.GuardGate)
			preview, err := r.PreviewRevocation(active, keys.StepRequest{Force: true})
			must(t, err)
			must(t, r.Revoke(t.Context(), active, keys.StepRequest{Force: true}))
			ks := r.Keyset()
			if ks.Active().KeyID() != pending || preview.Active().KeyID() != pending || !ks.Active().Forced {
				t.Errorf("the active key is %+v, in the preview %+v", ks.Active(), preview.Active())
			}
			for _, k := range ks.History {
				if k.RevokedAt.Before(before.ChangedAt) || k.RevokedAt.After(right) {
					t.Errorf("%s is revoked at %v; the keyset was changed at %v, and it is %v", k.KeyID(), k.RevokedAt, before.ChangedAt, right)
				}
			}
			if next, ok := ks.Pending(); ok { // its ready_at would count from a wrong time
				t.Errorf("a wrong clock published %+v", next)
			}
			wantGuard(t, "Rotate", r.Rotate(t.Context(), keys.StepRequest{Force: true}), keys.GuardClock)

			f.clock.Advance(right.Sub(f.clock.Now()))
			f.ahead.Store(0)
			must(t, f.open(t).Step(t.Context())) // a right clock publishes the next key
		})
	}
}

// If the store answers too slowly to compare the clocks, this machine's may be ahead.
func TestASlowStoreDoesNotMakeAKeyReady(t *testing.T) {
	f := newFixture(t)
	first := f.create(t)
	must(t, first.Rotate(t.Context(), keys.StepRequest{}))
	active := first.Keyset().Active().KeyID()
	pending, _ := first.Keyset().Pending()
	f.clock.Advance(pending.ReadyAt.Sub(f.clock.Now()) - 35*time.Second) // Open and Revoke each load once
	o := f.options()
	o.Store = clockedStore{f.store, func() time.Time {
		sent := f.clock.Now()
		f.clock.Advance(20 * time.Second)
		return sent // or the store read its clock just before it answered
	}}
	r, err := keys.Open(t.Context(), o)
	must(t, err)
	wantGuard(t, "Revoke", r.Revoke(t.Context(), active, keys.StepRequest{}), keys.GuardGate)
	if now := f.clock.Now(); !now.After(pending.ReadyAt) {
		t.Errorf("by this machine's clock, %v, the key is not ready either", now)
	}
}

// A pending key that caches have takes over also if the clock is wrong, but only if the
// key is ready by a time that has surely come.
func TestRevokeTheActiveKeyWithAWrongClock(t *testing.T) {
	for name, open := range wrongClocks() {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			ks := f.create(t).Keyset()
			r := open(t, f)
			err := r.Revoke(t.Context(), ks.Active().KeyID(), keys.StepRequest{})
			if f.clock.Now().Before(f.start) { // the first pending key is ready from the start on
				wantGuard(t, "Revoke", err, keys.GuardGate)
				return
			}
			must(t, err)
			if now := r.Keyset().Active(); now.KeyID() != pendingKid(t, ks) || now.Forced {
				t.Errorf("the active key is %+v", now)
			}
		})
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

func TestTheClockIsComparedWithTheStores(t *testing.T) {
	f := newFixture(t)
	f.create(t)
	var off time.Duration
	o := f.options()
	o.Store = clockedStore{f.store, func() time.Time { return f.clock.Now().Add(off) }}
	r, err := keys.Open(t.Context(), o)
	must(t, err)
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
	// The comparison stays valid while time passes without a read.
	off = 0
	must(t, r.Refresh(t.Context()))
	if f.clock.Advance(10 * time.Minute); r.Status().Clock != nil {
		t.Errorf("ten minutes later: %v", r.Status().Clock)
	}
	// If the store's clock shows the same jump, the clock is right.
	f.jump(time.Hour)
	if r.Status().Clock == nil {
		t.Error("a jump was not noticed")
	}
	if err := r.Step(t.Context()); err != nil {
		t.Errorf("the store's clock agrees, and Step = %v", err)
	}
	// If the store's clock does not show the jump, no step is taken.
	f.jump(time.Hour)
	off = -time.Hour
	if err := r.Step(t.Context()); err == nil {
		t.Error("the store's clock disagrees, and a step was taken")
	}
}
