package keys_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
)

func TestReadsOfAnEmptyStoreCreateNothing(t *testing.T) {
	f := newFixture(t)
	if r, err := keys.Open(t.Context(), f.options()); r != nil || !errors.Is(err, keys.ErrNoKeyset) {
		t.Errorf("Open = %v, %v", r, err)
	}
	if _, err := keys.Read(t.Context(), keys.Options{Store: f.store}); !errors.Is(err, keys.ErrNoKeyset) {
		t.Errorf("Read = %v", err)
	}
	if _, err := f.store.Load(t.Context()); !errors.Is(err, keys.ErrNoKeyset) {
		t.Errorf("the store has a keyset: %v", err)
	}
}

func TestCreateCreatesAKeysetThatSigns(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	wantSigns(t, r)
	ks := r.Keyset()
	pending, ok := ks.Pending()
	if want := []string{ks.Active().KeyID(), pending.KeyID()}; !ok || !slices.Equal(publishedKids(t, r), want) {
		t.Errorf("published %v, want %v", publishedKids(t, r), want)
	}
	key, now, latest, err := r.SigningKey(t.Context())
	if err != nil || !now.Equal(f.clock.Now()) || !latest.Equal(now.Add(time.Hour)) || key.KeyID() != ks.Active().KeyID() {
		t.Errorf("SigningKey = %v, %v, %v, %v", key, now, latest, err)
	}
	read, err := keys.Read(t.Context(), keys.Options{Store: f.store})
	if err != nil || !cmp.Equal(read, ks) {
		t.Errorf("Read = %v, %v", read.Version, err)
	}
	again := f.create(t)
	if diff := cmp.Diff(ks, again.Keyset()); diff != "" {
		t.Errorf("created again (-first +second):\n%s", diff)
	}
}

func TestManyProcessesCreateOneKeyset(t *testing.T) {
	f := newFixture(t)
	p := keystest.Policy(24 * time.Hour)
	var rings [8]*keys.Ring
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() {
			var err error
			if rings[i], err = keys.Create(t.Context(), f.options(), p); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for _, r := range rings {
		if diff := cmp.Diff(rings[0].Keyset(), r.Keyset()); diff != "" {
			t.Fatalf("two keysets (-first +other):\n%s", diff)
		}
		wantSigns(t, r)
	}
	if n := f.log.count(`"step":"create"`); n != 1 || rings[0].Keyset().Version != 1 {
		t.Errorf("created %d times, version %d", n, rings[0].Keyset().Version)
	}
}

func TestCreateNeedsAPolicyKeysAndAStore(t *testing.T) {
	f := newFixture(t)
	o := f.options()
	o.Generate = func(jwk.Algorithm, int) (jwk.PrivateKey, error) {
		t.Error("a key was generated without a policy")
		return jwk.PrivateKey{}, errDown
	}
	if _, err := keys.Create(t.Context(), o, keys.Policy{}); err == nil {
		t.Error("a keyset was created without a policy")
	}
	o.Generate = func(jwk.Algorithm, int) (jwk.PrivateKey, error) { return jwk.PrivateKey{}, errDown }
	if _, err := keys.Create(t.Context(), o, keystest.Policy(24*time.Hour)); !errors.Is(err, errDown) {
		t.Errorf("without keys: %v", err)
	}
	f.store.hook(func(s *hookedStore) { s.onLoad = func() error { return errDown } })
	if _, err := keys.Create(t.Context(), f.options(), keystest.Policy(24*time.Hour)); !errors.Is(err, keys.ErrUnavailable) || !errors.Is(err, errDown) {
		t.Errorf("without a store: %v", err)
	}
	if _, err := keys.Read(t.Context(), keys.Options{Store: f.store}); !errors.Is(err, keys.ErrUnavailable) {
		t.Errorf("Read without a store: %v", err)
	}
	f.store.hook(func(s *hookedStore) { s.onLoad = nil })
	if _, err := f.store.Load(t.Context()); !errors.Is(err, keys.ErrNoKeyset) {
		t.Errorf("the store has a keyset: %v", err)
	}
}

func TestAnotherSealingKeyIsAnError(t *testing.T) {
	f := newFixture(t)
	f.create(t)
	other := newSealer(t)
	o := f.options()
	o.Sealer = other
	for name, open := range map[string]func() (*keys.Ring, error){
		"Open":   func() (*keys.Ring, error) { return keys.Open(t.Context(), o) },
		"Create": func() (*keys.Ring, error) { return keys.Create(t.Context(), o, keystest.Policy(24*time.Hour)) },
	} {
		_, err := open()
		if !errors.Is(err, keys.ErrSealingKey) || !strings.Contains(err.Error(), other.Names()[0]) || !strings.Contains(err.Error(), f.sealer.Names()[0]) {
			t.Errorf("%s = %v", name, err)
		}
	}
}

func TestADocumentThatIsNoKeysetIsRefused(t *testing.T) {
	f := newFixture(t)
	must(t, f.store.Swap(t.Context(), keys.Change{Document: []byte(`{"schema":2}`)}))
	if _, err := keys.Open(t.Context(), f.options()); !errors.Is(err, keys.ErrDocument) {
		t.Errorf("Open = %v", err)
	}
	if _, err := keys.Create(t.Context(), f.options(), keystest.Policy(24*time.Hour)); !errors.Is(err, keys.ErrDocument) {
		t.Errorf("Create = %v", err)
	}
	if _, err := keys.Read(t.Context(), keys.Options{Store: f.store}); !errors.Is(err, keys.ErrDocument) {
		t.Errorf("Read = %v", err)
	}
}

func TestPublishedStaysTheSamePointerUntilItsContentChanges(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	published := func() *keys.Publication {
		t.Helper()
		p, err := r.Published()
		must(t, err)
		return p
	}
	refresh := func() {
		t.Helper()
		must(t, r.Refresh(t.Context()))
	}
	first := published()
	if first.MaxAge != 5*time.Minute {
		t.Errorf("MaxAge = %v", first.MaxAge)
	}
	f.clock.Advance(30 * time.Minute)
	refresh()
	if published() != first {
		t.Error("a refresh without a change made a new publication")
	}
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	second := published()
	if second == first || len(first.Keys) != 2 || len(second.Keys) != 3 {
		t.Errorf("after a rotation: %d and %d keys", len(first.Keys), len(second.Keys))
	}
	for range 4 { // expires_at is 2h1m10s after the rotation
		f.clock.Advance(30 * time.Minute)
		refresh()
	}
	f.clock.Advance(70*time.Second - 1)
	if published() != second {
		t.Error("the publication changed before the retired key expired")
	}
	f.clock.Advance(1)
	third := published()
	if want := publishedKids(t, r); len(third.Keys) != 2 || !slices.Equal(want, []string{second.Keys[0].KeyID(), second.Keys[1].KeyID()}) {
		t.Errorf("after expires_at it has the keys %v", want)
	}
	if published() != third {
		t.Error("the publication was made twice")
	}
	if v := r.Keyset().Version; v != 2 {
		t.Errorf("the store changed, version %d", v)
	}
}
