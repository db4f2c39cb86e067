package keys_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
)

// slowStore needs a clock_skew of 8s at least.
type slowStore struct{ keys.Store }

func (slowStore) MinClockSkew() time.Duration { return 8 * time.Second }

func wantTooShort(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, keys.ErrClockSkew) || !strings.Contains(err.Error(), "5s and must be at least 8s") {
		t.Errorf("%s = %v, want that 5s is too short and 8s is the least", what, err)
	}
}

func TestNoKeysetIsCreatedWithAClockSkewThatIsTooShortForTheStore(t *testing.T) {
	f := newFixture(t)
	o := f.options()
	o.Store = slowStore{f.store}
	_, err := createDaily(t.Context(), o)
	wantTooShort(t, "Create", err)
	if _, err := f.store.Load(t.Context()); !errors.Is(err, keys.ErrNoKeyset) {
		t.Errorf("a keyset was created: %v", err)
	}
}

// R = 40s is about the shortest for an engine that needs 8s.
func TestAClockSkewOfTheStoreIsKeptByAChangeOfThePolicy(t *testing.T) {
	f := newFixture(t)
	o := f.options()
	o.Store = slowStore{f.store}
	p, err := keys.NewPolicy(keys.Settings{RotationInterval: 40 * time.Second, Issuer: "https://issuer.example", Algorithm: "EdDSA", MinClockSkew: o.Store.MinClockSkew()})
	must(t, err)
	r, err := keys.Create(t.Context(), o, p)
	must(t, err)
	_, err = r.SetPolicy(t.Context(), keys.Settings{ClockSkew: 5 * time.Second})
	wantTooShort(t, "SetPolicy", err)
	_, err = r.SetPolicy(t.Context(), keys.Settings{RotationInterval: time.Hour})
	must(t, err)
	if got := r.Policy().ClockSkew; got != 8*time.Second {
		t.Errorf("clock_skew is %v after a change of the interval", got)
	}
}

// A keyset that was copied from another engine may have a shorter clock_skew. It can be
// read, but no process signs with it.
func TestACopiedKeysetWithAClockSkewThatIsTooShortIsNotOpened(t *testing.T) {
	f := newFixture(t)
	f.create(t)
	o := f.options()
	o.Store = slowStore{f.store}
	_, err := keys.Open(t.Context(), o)
	wantTooShort(t, "Open", err)
	if err == nil || !strings.Contains(err.Error(), "restore that in a SQLite store, run 'jwksctl serve --clock-skew 8s' there once, and copy that store") {
		t.Errorf("the error does not say what to do: %v", err)
	}
	_, err = keys.Create(t.Context(), o, keystest.Policy(24*time.Hour))
	wantTooShort(t, "Create on a store with a keyset", err)
	if ks, err := keys.Read(t.Context(), o); err != nil || ks.Version != 1 {
		t.Errorf("Read = version %d, %v", ks.Version, err)
	}
}
