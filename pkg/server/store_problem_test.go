package server

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
	"github.com/jwksctl/jwksctl/pkg/seal"
	"github.com/jwksctl/jwksctl/pkg/store/memory"
)

// failingStore fails each Load with err, if there is one. If now is set, it is a store with
// a clock.
type failingStore struct {
	keys.Store
	err error
	now func() time.Time
}

func (s *failingStore) Load(ctx context.Context) (keys.Record, error) {
	if s.err != nil {
		return keys.Record{}, s.err
	}
	record, err := s.Store.Load(ctx)
	if s.now != nil {
		record.Now = s.now()
	}
	return record, err
}

// newReplica is a server that only publishes, on a store that has a keyset.
func newReplica(t *testing.T) (*testServer, *failingStore) {
	t.Helper()
	srv := &testServer{clock: keystest.NewClock(), logged: &lockedBuffer{}}
	store := &failingStore{Store: memory.New(srv.clock.Now)}
	sealer, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	policy, err := keys.NewPolicy(keys.Settings{Issuer: "https://issuer.example", Algorithm: jwk.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	o := keys.Options{Store: store, Sealer: sealer, Clock: keys.Clock{Now: srv.clock.Now}}
	if _, err := keys.Create(t.Context(), o, policy); err != nil {
		t.Fatal(err)
	}
	if srv.ring, err = keys.OpenReader(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	srv.Server = New(Options{Ring: srv.ring, Now: srv.clock.Now, NoTokens: true})
	return srv, store
}

func TestServerThatOnlyPublishes(t *testing.T) {
	srv, _ := newReplica(t)
	for _, method := range []string{"POST", "GET", "PUT", "OPTIONS"} {
		for _, target := range []string{"/auth", "/auth/", "/auth?expired=true"} {
			wantProblem(t, srv.do(method, target, "username=alice", "Content-Type", "application/x-www-form-urlencoded"), 404, "issues no tokens")
		}
	}
	for _, path := range documents() {
		if r := srv.do("GET", path, ""); r.StatusCode != 200 || strings.Contains(read(t, r), "token_endpoint") {
			t.Errorf("GET %s = %d", path, r.StatusCode)
		}
	}
	r := srv.do("GET", "/readyz", "")
	if body := read(t, r); r.StatusCode != 200 || !strings.Contains(body, srv.ring.Keyset().Active().KeyID()) {
		t.Errorf("/readyz = %d %s", r.StatusCode, body)
	}
	metrics := read(t, srv.do("GET", "/metrics", ""))
	for text, want := range map[string]bool{
		"\njwksctl_ready 1\n": true, "\njwksctl_store_up 1\n": true, "\njwksctl_unreadable_keys 0\n": true, "jwksctl_keys{": true,
		"jwksctl_tokens_total": false, "jwksctl_sign_wait_seconds": false,
	} {
		if strings.Contains(metrics, text) != want {
			t.Errorf("the metrics contain %q: %t, want %t", text, !want, want)
		}
	}
}

// An operator sees what is wrong with the store before the server stops being ready, and
// a client sees no detail.
func TestReadinessNamesTheProblemOfTheStore(t *testing.T) {
	srv, store := newReplica(t)
	get := func(status int, want any, up string) {
		t.Helper()
		r := srv.do("GET", "/readyz", "")
		body := read(t, r)
		var got map[string]any
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if r.StatusCode != status || got["store"] != want || got["ready"] != (status == 200) || strings.Contains(body, "10.0.0.7") {
			t.Errorf("%d %s, want %d and %v", r.StatusCode, body, status, want)
		}
		wantMetrics(t, srv, map[string]string{"jwksctl_store_up": up})
	}
	get(200, nil, "1")
	const password = "the store refuses the password"
	store.err = &keys.StoreError{Problem: password, Err: errors.New("10.0.0.7: role app")}
	_ = srv.ring.Refresh(t.Context()) // the status has its error
	get(200, password, "0")
	store.err = errors.New("10.0.0.7: something else")
	_ = srv.ring.Refresh(t.Context())
	get(200, "the store cannot be read", "0")
	srv.clock.Advance(2 * time.Hour) // more than max_staleness
	get(503, "the store cannot be read", "0")
	store.err = nil
	if err := srv.ring.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	get(200, nil, "1")
}

// A server whose clock differs from the store's goes on serving and takes no step, which an
// operator must see.
func TestReadinessNamesTheProblemOfTheClock(t *testing.T) {
	srv, store := newReplica(t)
	get := func(want string) {
		t.Helper()
		if err := srv.ring.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := srv.do("GET", "/readyz", "")
		var got map[string]any
		if err := json.Unmarshal([]byte(read(t, r)), &got); err != nil {
			t.Fatal(err)
		}
		clock, given := got["clock"].(string)
		if r.StatusCode != 200 || given != (want != "") || !strings.Contains(clock, want) {
			t.Errorf("%d %v, want the clock %q", r.StatusCode, got, want)
		}
	}
	get("")
	ahead := 4 * time.Second // clock_skew is 5s
	store.now = func() time.Time { return srv.clock.Now().Add(ahead) }
	get("")
	ahead = time.Minute
	get("this machine's clock differs by -1m0s from the store's")
	ahead = 0
	get("")
}
