package keys_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
	"github.com/jwksctl/jwksctl/pkg/seal"
	"github.com/jwksctl/jwksctl/pkg/store/memory"
)

// lab is a store with hooks, a sealing key and a machine's clocks: what a ring
// under test is made of.
type lab struct {
	store  *hookedStore
	sealer keys.Sealer
	clock  *keystest.Clock
	start  time.Time
	ahead  atomic.Int64 // by how much the uptime is ahead of the wall clock
	log    logLines
}

func newLab(t testing.TB) *lab {
	t.Helper()
	sealer, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	clock := keystest.NewClock()
	return &lab{store: &hookedStore{Store: memory.New(clock.Now)}, sealer: sealer, clock: clock, start: clock.Now()}
}

func (l *lab) options() keys.Options {
	return keys.Options{Store: l.store, Sealer: l.sealer, Log: l.log.logger(), Clock: keys.Clock{
		Now:    l.clock.Now,
		Uptime: func() time.Duration { return l.clock.Now().Sub(l.start) + time.Duration(l.ahead.Load()) },
	}}
}

// suspend has time pass that the wall clock does not show.
func (l *lab) suspend(d time.Duration) { l.ahead.Add(int64(d)) }

// jump sets the wall clock, and no time passes.
func (l *lab) jump(d time.Duration) {
	l.clock.Advance(d)
	l.ahead.Add(-int64(d))
}

// found founds the keyset under the daily policy: R 24h, T 1h, M 5m, D 1h, L
// 1m, e 5s, no specimen.
func (l *lab) found(t testing.TB) *keys.Ring {
	t.Helper()
	p := keystest.Policy(24 * time.Hour)
	p.ExpiredTokens = false
	r, err := keys.Create(t.Context(), l.options(), p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// other is another process on the same store, without the hooks.
func (l *lab) other(t testing.TB) *keys.Ring {
	t.Helper()
	o := l.options()
	o.Store = l.store.Store
	r, err := keys.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// hookedStore lets a test step in. A hook that is nil is passed over.
type hookedStore struct {
	keys.Store

	mu   sync.Mutex
	load func() error // before a Load
	half func(kid string, sealed []byte, err error) ([]byte, error)
	swap func(c keys.Change, commit func() error) error
}

// hook changes the hooks.
func (s *hookedStore) hook(set func(*hookedStore)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set(s)
}

func (s *hookedStore) Load(ctx context.Context) (keys.Record, error) {
	s.mu.Lock()
	load := s.load
	s.mu.Unlock()
	if load != nil {
		if err := load(); err != nil {
			return keys.Record{}, err
		}
	}
	return s.Store.Load(ctx)
}

func (s *hookedStore) PrivateKey(ctx context.Context, kid string) ([]byte, error) {
	s.mu.Lock()
	half := s.half
	s.mu.Unlock()
	sealed, err := s.Store.PrivateKey(ctx, kid)
	if half != nil {
		return half(kid, sealed, err)
	}
	return sealed, err
}

func (s *hookedStore) Swap(ctx context.Context, c keys.Change) error {
	s.mu.Lock()
	swap := s.swap
	s.mu.Unlock()
	commit := func() error { return s.Store.Swap(ctx, c) }
	if swap != nil {
		return swap(c, commit)
	}
	return commit()
}

// logLines keeps what is logged.
type logLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logLines) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// count is how many lines contain all of the parts.
func (l *logLines) count(parts ...string) (n int) {
	for line := range strings.Lines(l.String()) {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
			n++
		}
	}
	return n
}

var errDown = errors.New("the network is down")

func publishedKids(t testing.TB, r *keys.Ring) (out []string) {
	t.Helper()
	p, err := r.Published()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range p.Keys {
		out = append(out, k.KeyID())
	}
	return out
}

// signs signs with a ring and checks by its published keys.
func signs(t testing.TB, r *keys.Ring) {
	t.Helper()
	key, _, _, err := r.SigningKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	signature, err := key.Sign([]byte("input"))
	if err != nil {
		t.Fatal(err)
	}
	found, err := r.Keys(t.Context(), key.KeyID())
	if err != nil || len(found) != 1 {
		t.Fatalf("Keys of the signing key = %v, %v", found, err)
	}
	if err := found[0].Verify(jwk.EdDSA, []byte("input"), signature); err != nil {
		t.Error(err)
	}
}

func TestReadsOfAnEmptyStoreCreateNothing(t *testing.T) {
	l := newLab(t)
	if r, err := keys.Open(t.Context(), l.options()); r != nil || !errors.Is(err, keys.ErrNoKeyset) {
		t.Errorf("Open = %v, %v", r, err)
	}
	if _, err := keys.Read(t.Context(), l.store, nil); !errors.Is(err, keys.ErrNoKeyset) {
		t.Errorf("Read = %v", err)
	}
	if _, err := l.store.Load(t.Context()); !errors.Is(err, keys.ErrNoKeyset) {
		t.Errorf("the store holds something: %v", err)
	}
}

func TestFoundMakesAKeysetThatSigns(t *testing.T) {
	l := newLab(t)
	r := l.found(t)
	signs(t, r)
	ks := r.Keyset()
	pending, ok := ks.Pending()
	if want := []string{ks.Active().KeyID(), pending.KeyID()}; !ok || !slices.Equal(publishedKids(t, r), want) {
		t.Errorf("published %v, want %v", publishedKids(t, r), want)
	}
	key, now, latest, err := r.SigningKey(t.Context())
	if err != nil || !now.Equal(l.clock.Now()) || !latest.Equal(now.Add(time.Hour)) || key.KeyID() != ks.Active().KeyID() {
		t.Errorf("SigningKey = %v, %v, %v, %v", key, now, latest, err)
	}
	read, err := keys.Read(t.Context(), l.store, nil)
	if err != nil || !cmp.Equal(read, ks) {
		t.Errorf("Read = %v, %v", read.Version, err)
	}
	again := l.found(t)
	if diff := cmp.Diff(ks, again.Keyset()); diff != "" {
		t.Errorf("founded again (-first +second):\n%s", diff)
	}
}

func TestFoundByManyAtOnceMakesOneKeyset(t *testing.T) {
	l := newLab(t)
	p := keystest.Policy(24 * time.Hour)
	var rings [8]*keys.Ring
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() {
			var err error
			if rings[i], err = keys.Create(t.Context(), l.options(), p); err != nil {
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
		signs(t, r)
	}
	if n := l.log.count(`"step":"create"`); n != 1 || rings[0].Keyset().Version != 1 {
		t.Errorf("founded %d times, version %d", n, rings[0].Keyset().Version)
	}
}

func TestFoundRefusesWhatItCannotUse(t *testing.T) {
	l := newLab(t)
	o := l.options()
	o.Generate = func(jwk.Algorithm, int) (jwk.PrivateKey, error) {
		t.Error("a key was made for no policy")
		return jwk.PrivateKey{}, errDown
	}
	if _, err := keys.Create(t.Context(), o, keys.Policy{}); err == nil {
		t.Error("a keyset was founded under no policy")
	}
	o.Generate = func(jwk.Algorithm, int) (jwk.PrivateKey, error) { return jwk.PrivateKey{}, errDown }
	if _, err := keys.Create(t.Context(), o, keystest.Policy(24*time.Hour)); !errors.Is(err, errDown) {
		t.Errorf("without keys: %v", err)
	}
	l.store.hook(func(s *hookedStore) { s.load = func() error { return errDown } })
	if _, err := keys.Create(t.Context(), l.options(), keystest.Policy(24*time.Hour)); !errors.Is(err, keys.ErrUnavailable) || !errors.Is(err, errDown) {
		t.Errorf("without a store: %v", err)
	}
	if _, err := keys.Read(t.Context(), l.store, nil); !errors.Is(err, keys.ErrUnavailable) {
		t.Errorf("Read without a store: %v", err)
	}
	l.store.hook(func(s *hookedStore) { s.load = nil })
	if _, err := l.store.Load(t.Context()); !errors.Is(err, keys.ErrNoKeyset) {
		t.Errorf("the store holds something: %v", err)
	}
}

func TestAnotherSealingKeyIsAnError(t *testing.T) {
	l := newLab(t)
	l.found(t)
	other := newLab(t).sealer
	o := l.options()
	o.Sealer = other
	for name, open := range map[string]func() (*keys.Ring, error){
		"Open":  func() (*keys.Ring, error) { return keys.Open(t.Context(), o) },
		"Found": func() (*keys.Ring, error) { return keys.Create(t.Context(), o, keystest.Policy(24*time.Hour)) },
	} {
		_, err := open()
		if !errors.Is(err, keys.ErrSealingKey) || !strings.Contains(err.Error(), other.Name()) || !strings.Contains(err.Error(), l.sealer.Name()) {
			t.Errorf("%s = %v", name, err)
		}
	}
}

func TestADocumentThatIsNoKeysetIsRefused(t *testing.T) {
	l := newLab(t)
	if err := l.store.Swap(t.Context(), keys.Change{Document: []byte(`{"schema":2}`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Open(t.Context(), l.options()); !errors.Is(err, keys.ErrDocument) {
		t.Errorf("Open = %v", err)
	}
	if _, err := keys.Create(t.Context(), l.options(), keystest.Policy(24*time.Hour)); !errors.Is(err, keys.ErrDocument) {
		t.Errorf("Found = %v", err)
	}
	if _, err := keys.Read(t.Context(), l.store, nil); !errors.Is(err, keys.ErrDocument) {
		t.Errorf("Read = %v", err)
	}
}

func TestPublishedStaysTheSamePointerUntilItsContentChanges(t *testing.T) {
	l := newLab(t)
	r := l.found(t)
	published := func() *keys.Publication {
		t.Helper()
		p, err := r.Published()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	refresh := func() {
		t.Helper()
		if err := r.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	first := published()
	if first.MaxAge != 5*time.Minute {
		t.Errorf("MaxAge = %v", first.MaxAge)
	}
	l.clock.Advance(30 * time.Minute)
	refresh()
	if published() != first {
		t.Error("a refresh that found nothing new made a new publication")
	}
	if err := r.Rotate(t.Context(), keys.StepRequest{}); err != nil {
		t.Fatal(err)
	}
	second := published()
	if second == first || len(first.Keys) != 2 || len(second.Keys) != 3 {
		t.Errorf("after a rotation: %d and %d keys", len(first.Keys), len(second.Keys))
	}
	for range 4 { // until a moment before expires_at, 2h1m10s after the rotation
		l.clock.Advance(30 * time.Minute)
		refresh()
	}
	l.clock.Advance(70*time.Second - 1)
	if published() != second {
		t.Error("it changed before the retired key expired")
	}
	l.clock.Advance(1)
	third := published()
	if want := publishedKids(t, r); len(third.Keys) != 2 || !slices.Equal(want, []string{second.Keys[0].KeyID(), second.Keys[1].KeyID()}) {
		t.Errorf("after expires_at it holds %v", want)
	}
	if published() != third {
		t.Error("it was made twice")
	}
	if v := r.Keyset().Version; v != 2 {
		t.Errorf("the store changed, version %d", v)
	}
}
