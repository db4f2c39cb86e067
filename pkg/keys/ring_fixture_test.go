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

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
	"github.com/jwksctl/jwksctl/pkg/seal"
	"github.com/jwksctl/jwksctl/pkg/store/memory"
)

// fixture is what a ring under test needs: a store with hooks, a sealing key and
// clocks that the test moves.
type fixture struct {
	store  *hookedStore
	sealer keys.Sealer
	clock  *keystest.Clock
	start  time.Time
	ahead  atomic.Int64 // by how much the uptime is ahead of the wall clock
	log    logLines
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	clock := keystest.NewClock()
	return &fixture{store: &hookedStore{Store: memory.New(clock.Now)}, sealer: newSealer(t), clock: clock, start: clock.Now()}
}

func newSealer(t testing.TB) keys.Sealer {
	t.Helper()
	sealer, err := seal.NewKey()
	must(t, err)
	return sealer
}

func (f *fixture) options() keys.Options {
	return keys.Options{Store: f.store, Sealer: f.sealer, Log: f.log.logger(), Clock: keys.Clock{
		Now:    f.clock.Now,
		Uptime: func() time.Duration { return f.clock.Now().Sub(f.start) + time.Duration(f.ahead.Load()) },
	}}
}

// suspend moves the uptime alone.
func (f *fixture) suspend(d time.Duration) { f.ahead.Add(int64(d)) }

// jump moves the wall clock alone.
func (f *fixture) jump(d time.Duration) {
	f.clock.Advance(d)
	f.ahead.Add(-int64(d))
}

// create creates the keyset with the daily policy.
func (f *fixture) create(t testing.TB) *keys.Ring {
	t.Helper()
	r, err := createDaily(t.Context(), f.options())
	must(t, err)
	return r
}

// createDaily has the daily policy: R 24h, T 1h, M 5m, D 1h, L 1m, e 5s, no specimen.
func createDaily(ctx context.Context, o keys.Options) (*keys.Ring, error) {
	p := keystest.Policy(24 * time.Hour)
	p.ExpiredTokens = false
	return keys.Create(ctx, o, p)
}

// open is a new process on the store.
func (f *fixture) open(t testing.TB) *keys.Ring {
	t.Helper()
	r, err := keys.Open(t.Context(), f.options())
	must(t, err)
	return r
}

// other is a new process on the store, without the hooks.
func (f *fixture) other(t testing.TB) *keys.Ring {
	t.Helper()
	o := f.options()
	o.Store = f.store.Store
	r, err := keys.Open(t.Context(), o)
	must(t, err)
	return r
}

// hookedStore calls the hooks that are not nil.
type hookedStore struct {
	keys.Store

	mu           sync.Mutex
	onLoad       func() error // before a Load
	onPrivateKey func(kid string, sealed []byte, err error) ([]byte, error)
	onSwap       func(c keys.Change, commit func() error) error
}

// hook changes the hooks.
func (s *hookedStore) hook(set func(*hookedStore)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set(s)
}

// losePrivateKey answers that the private key of kid is missing.
func (s *hookedStore) losePrivateKey(kid string) {
	s.hook(func(s *hookedStore) {
		s.onPrivateKey = func(asked string, sealed []byte, err error) ([]byte, error) {
			if asked == kid {
				return nil, keys.ErrNoPrivateKey
			}
			return sealed, err
		}
	})
}

func (s *hookedStore) Load(ctx context.Context) (keys.Record, error) {
	s.mu.Lock()
	onLoad := s.onLoad
	s.mu.Unlock()
	if onLoad != nil {
		if err := onLoad(); err != nil {
			return keys.Record{}, err
		}
	}
	return s.Store.Load(ctx)
}

func (s *hookedStore) PrivateKey(ctx context.Context, kid string) ([]byte, error) {
	s.mu.Lock()
	onPrivateKey := s.onPrivateKey
	s.mu.Unlock()
	sealed, err := s.Store.PrivateKey(ctx, kid)
	if onPrivateKey != nil {
		return onPrivateKey(kid, sealed, err)
	}
	return sealed, err
}

func (s *hookedStore) Swap(ctx context.Context, c keys.Change) error {
	s.mu.Lock()
	onSwap := s.onSwap
	s.mu.Unlock()
	commit := func() error { return s.Store.Swap(ctx, c) }
	if onSwap != nil {
		return onSwap(c, commit)
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

// count is the number of lines that contain all of the parts.
func (l *logLines) count(parts ...string) (n int) {
	for line := range strings.Lines(l.String()) {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
			n++
		}
	}
	return n
}

// want checks that n lines contain all of the parts.
func (l *logLines) want(t testing.TB, n int, parts ...string) {
	t.Helper()
	if got := l.count(parts...); got != n {
		t.Errorf("%d log lines contain %q, want %d:\n%s", got, parts, n, l)
	}
}

var errDown = errors.New("the network is down")

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantGuard checks that what was done was refused by the guard.
func wantGuard(t testing.TB, what string, err error, guard keys.Guard) {
	t.Helper()
	if refusal, ok := errors.AsType[*keys.Refusal](err); !ok || refusal.Guard != guard {
		t.Errorf("%s = %v, want a refusal by guard %q", what, err, guard)
	}
}

func pendingKid(t testing.TB, ks keys.Keyset) string {
	t.Helper()
	k, ok := ks.Pending()
	if !ok {
		t.Fatal("there is no pending key")
	}
	return k.KeyID()
}

func publishedKids(t testing.TB, r *keys.Ring) (out []string) {
	t.Helper()
	p, err := r.Published()
	must(t, err)
	for _, k := range p.Keys {
		out = append(out, k.KeyID())
	}
	return out
}

// wantSigns checks that a ring signs, by its published keys.
func wantSigns(t testing.TB, r *keys.Ring) {
	t.Helper()
	key, _, _, err := r.SigningKey(t.Context())
	must(t, err)
	signature, err := key.Sign([]byte("input"))
	must(t, err)
	public, err := r.Keys(t.Context(), key.KeyID())
	if err != nil || len(public) != 1 {
		t.Fatalf("Keys of the signing key = %v, %v", public, err)
	}
	if err := public[0].Verify(jwk.EdDSA, []byte("input"), signature); err != nil {
		t.Error(err)
	}
}
