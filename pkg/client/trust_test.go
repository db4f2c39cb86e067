package client_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

const github = "https://token.actions.githubusercontent.com"

// platformToken are the claims of a token of GitHub Actions, changed.
func (f fixture) platformToken(change map[string]any) map[string]any {
	now := f.clock.Now().Unix()
	return changed(map[string]any{
		"iss": github, "sub": "repo:example/shop:ref:refs/heads/main", "aud": ourIssuer,
		"iat": now, "exp": now + 300, "nbf": now, "repository_id": "4711", "repository_owner": "example",
	}, change)
}

// trusting is the entry of a client that trusts GitHub Actions, with keys.
func trusting(t testing.TB, id, subject string, key jwk.PrivateKey, more string) string {
	t.Helper()
	return "- id: " + id + "\n  audiences: [https://api.example]\n  trust:\n" +
		"  - {issuer: '" + github + "', subject: '" + subject + "', audience: '" + ourIssuer + "', jwks: " + jwks(t, key) + more + "}\n"
}

func TestTrust(t *testing.T) {
	key := newKey(t, jwk.RS256)
	f := newFixture(t, trusting(t, "shop", "repo:example/shop:ref:refs/heads/main", key, ", require: {repository_id: '4711'}"))
	good := sign(t, key, map[string]any{"typ": "JWT"}, f.platformToken(nil))
	f.accepts(t, assertionOf(good), "shop", client.Platform)
	f.accepts(t, assertionOf(good), "shop", client.Platform) // a platform gives a token for several requests
	f.accepts(t, assertionOf(sign(t, key, nil, f.platformToken(map[string]any{"aud": []string{ourIssuer}}))), "shop", client.Platform)
	f.accepts(t, assertionOf(sign(t, key, nil, f.platformToken(map[string]any{"repository_id": 4711}))), "shop", client.Platform)
	f.accepts(t, assertionOf(sign(t, key, nil, f.platformToken(map[string]any{"iat": nil, "exp": f.clock.Now().Unix() - 9}))), "shop", client.Platform) // its clock is behind
	withID := assertionOf(good)
	withID.ClientID = "shop"
	f.accepts(t, withID, "shop", client.Platform)

	for _, tt := range []struct {
		name           string
		header, claims map[string]any
		reason         string
	}{
		{"for another server", nil, map[string]any{"aud": "https://other.example"}, "the token is for"},
		{"for two servers", nil, map[string]any{"aud": []string{ourIssuer, "https://other.example"}}, "exactly one aud"},
		{"for our token endpoint", nil, map[string]any{"aud": endpoint}, "the token is for"},
		{"of another repository", nil, map[string]any{"sub": "repo:example/other:ref:refs/heads/main"}, "sub is"},
		{"claim with another value", nil, map[string]any{"repository_id": "4712"}, "\"repository_id\" is not \"4711\""},
		{"claim missing", nil, map[string]any{"repository_id": nil}, "\"repository_id\" is missing"},
		{"expired", nil, map[string]any{"exp": f.clock.Now().Unix() - 10}, "expired"},
		{"without exp", nil, map[string]any{"exp": nil}, "\"exp\" is missing"},
		{"of another issuer", nil, map[string]any{"iss": github + "/"}, "no client that could be meant trusts it"},
		{"access token", map[string]any{"typ": "at+jwt"}, nil, "typ is"},
		{"alg none", map[string]any{"alg": "none"}, nil, "not signed"},
		{"unknown kid", map[string]any{"kid": "x"}, nil, "no key has kid"},
		{"our own token", map[string]any{"typ": "at+jwt"}, map[string]any{"iss": ourIssuer, "sub": "shop"}, "this server has issued it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f.refuses(t, assertionOf(sign(t, key, tt.header, f.platformToken(tt.claims))), tt.reason)
		})
	}
	t.Run("wrong signature", func(t *testing.T) {
		refusal := f.refuses(t, assertionOf(sign(t, otherRSA(t), map[string]any{"kid": key.KeyID()}, f.platformToken(nil))), "signature is wrong")
		if refusal.Method != client.Platform || refusal.ClientID != "shop" {
			t.Errorf("got %+v", refusal)
		}
	})
}

func TestTrustTypes(t *testing.T) {
	key := newKey(t, jwk.ES256)
	f := newFixture(t, trusting(t, "shop", "repo:example/shop:*", key, ", typ: at+jwt"))
	for typ, accepted := range map[string]bool{"at+jwt": true, "AT+JWT": true, "application/at+jwt": true, "JWT": false, "": false} {
		var header map[string]any
		if typ != "" {
			header = map[string]any{"typ": typ}
		}
		c := assertionOf(sign(t, key, header, f.platformToken(nil)))
		if accepted {
			f.accepts(t, c, "shop", client.Platform)
		} else {
			f.refuses(t, c, "typ")
		}
	}
}

func TestSubjects(t *testing.T) {
	key := newKey(t, jwk.ES256)
	for _, tt := range []struct {
		subject            string
		accepted, rejected []string
	}{
		{
			"repo:example/*",
			[]string{"repo:example/x", "repo:example/x:ref:refs/heads/main", "repo:example/*"},
			[]string{"repo:example-evil/x", "repo:example/", "repo:example", "repo:Example/x", "xrepo:example/x", " repo:example/x"},
		},
		{
			"repo:example/shop:*",
			[]string{"repo:example/shop:ref:refs/heads/main", "repo:example/shop:pull_request"},
			[]string{"repo:example/shop-evil:ref:refs/heads/main", "repo:example/shop", "repo:example/shop:"},
		},
		{
			"system:serviceaccount:prod:*",
			[]string{"system:serviceaccount:prod:shop"},
			[]string{"system:serviceaccount:prod2:shop", "system:serviceaccount:prod", "system:serviceaccounts:prod:shop"},
		},
		{
			"repo:example/shop:ref:refs/heads/main",
			[]string{"repo:example/shop:ref:refs/heads/main"},
			[]string{"repo:example/shop:ref:refs/heads/main2", "repo:example/shop:ref:refs/heads/mai", "*", "repo:example/shop:ref:refs/heads/main*"},
		},
		{"project_path:group/project:ref_type:branch:ref:main", []string{"project_path:group/project:ref_type:branch:ref:main"}, []string{"project_path:group/project"}},
	} {
		f := newFixture(t, trusting(t, "shop", tt.subject, key, ""))
		for _, sub := range tt.accepted {
			f.accepts(t, assertionOf(sign(t, key, nil, f.platformToken(map[string]any{"sub": sub}))), "shop", client.Platform)
		}
		for _, sub := range tt.rejected {
			f.refuses(t, assertionOf(sign(t, key, nil, f.platformToken(map[string]any{"sub": sub}))), "sub is")
		}
	}
}

func TestAmbiguousAssertion(t *testing.T) {
	key := newKey(t, jwk.ES256)
	f := newFixture(t, trusting(t, "all", "repo:example/*", key, "")+trusting(t, "main", "repo:example/shop:*", key, "")+
		trusting(t, "other", "repo:other/*", key, ""))
	c := assertionOf(sign(t, key, nil, f.platformToken(nil)))
	refusal := f.refuses(t, c, "have the client send client_id")
	if refusal.ClientID != "" || !strings.Contains(refusal.Reason, "all and main") {
		t.Errorf("got %+v", refusal)
	}
	for _, id := range []string{"all", "main"} {
		c.ClientID = id
		f.accepts(t, c, id, client.Platform)
	}
	c.ClientID = "other"
	f.refuses(t, c, "sub is")
	f.accepts(t, assertionOf(sign(t, key, nil, f.platformToken(map[string]any{"sub": "repo:example/x"}))), "all", client.Platform)

	// A required claim tells clients apart, and one client may have entries that overlap.
	f.set(t, trusting(t, "prod", "repo:example/shop:*", key, ", require: {environment: prod}")+trusting(t, "dev", "repo:example/shop:*", key, ", require: {environment: dev}"))
	f.accepts(t, assertionOf(sign(t, key, nil, f.platformToken(map[string]any{"environment": "dev"}))), "dev", client.Platform)
	f.refuses(t, assertionOf(sign(t, key, nil, f.platformToken(nil))), "\"environment\" is missing")
	twice := trusting(t, "shop", "repo:example/*", key, "")
	f.set(t, twice+strings.SplitAfter(trusting(t, "", "repo:example/shop:*", key, ""), "trust:\n")[1])
	f.accepts(t, assertionOf(sign(t, key, nil, f.platformToken(nil))), "shop", client.Platform)
}

// provider is an issuer with metadata that the test changes.
type provider struct {
	*httptest.Server
	path     atomic.Pointer[string] // of the keys
	down     atomic.Bool
	requests atomic.Int64
}

func newProvider(t *testing.T, sets map[string]string) *provider {
	p := &provider{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.requests.Add(1)
		set, known := sets[r.URL.Path]
		switch {
		case p.down.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/.well-known/openid-configuration":
			_, _ = w.Write([]byte(`{"issuer": "` + p.URL + `", "jwks_uri": "` + p.URL + *p.path.Load() + `"}`))
		case known:
			w.Header().Set("Cache-Control", "max-age=1800")
			_, _ = w.Write([]byte(set))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) moveKeys(path string) { p.path.Store(&path) }

func TestKeysOfIssuer(t *testing.T) {
	first, second := newKey(t, jwk.ES256), newKey(t, jwk.ES256)
	p := newProvider(t, map[string]string{"/first": jwks(t, first), "/second": jwks(t, second)})
	p.moveKeys("/first")
	p.down.Store(true)
	f := newFixture(t, "- {id: shop, audiences: [a], trust: [{issuer: '"+p.URL+"', subject: x, audience: '"+ourIssuer+"'}]}")
	by := func(key jwk.PrivateKey) client.Credentials {
		return assertionOf(sign(t, key, nil, f.platformToken(map[string]any{"iss": p.URL, "sub": "x"})))
	}

	// While the issuer cannot be reached, requests are few.
	for range 5 {
		if _, _, err := f.Authenticate(t.Context(), by(first)); !errors.Is(err, token.ErrKeysUnavailable) {
			t.Fatalf("got %v, want ErrKeysUnavailable", err)
		}
	}
	if n := p.requests.Load(); n != 2 { // one for each place of metadata
		t.Errorf("%d requests", n)
	}
	// No request is sent for a token that fits no entry.
	f.clock.Advance(time.Minute)
	f.refuses(t, assertionOf(sign(t, first, nil, f.platformToken(map[string]any{"iss": p.URL, "sub": "y"}))), "sub is")
	if n := p.requests.Load(); n != 2 {
		t.Errorf("%d requests", n)
	}

	p.down.Store(false)
	f.accepts(t, by(first), "shop", client.Platform)
	sent := p.requests.Load()
	f.set(t, "- {id: shop, audiences: [b], trust: [{issuer: '"+p.URL+"', subject: x, audience: '"+ourIssuer+"'}]}")
	f.accepts(t, by(first), "shop", client.Platform)
	if n := p.requests.Load(); n != sent {
		t.Errorf("%d requests after the list was replaced", n-sent)
	}

	// New metadata is fetched after ten minutes. If it is the same, the keys stay.
	f.clock.Advance(10 * time.Minute)
	f.accepts(t, by(first), "shop", client.Platform)
	eventually(t, func() bool { return p.requests.Load() == sent+1 })
	f.accepts(t, by(first), "shop", client.Platform)

	// An outage does not lose the keys, and other keys are found after it. The clock moves
	// until a request begins to fetch after the last fetch has ended.
	f.clock.Advance(10 * time.Minute)
	p.down.Store(true)
	eventually(t, func() bool {
		f.clock.Advance(10 * time.Second)
		f.accepts(t, by(first), "shop", client.Platform)
		return p.requests.Load() > sent+1
	})
	p.down.Store(false)
	p.moveKeys("/second")
	eventually(t, func() bool {
		f.clock.Advance(10 * time.Second)
		_, _, err := f.Authenticate(t.Context(), by(second))
		return err == nil
	})
	f.refuses(t, by(first), "no key has kid")
}

// eventually waits for a condition.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !condition(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen")
		}
	}
}

// While metadata cannot be fetched, a request waits for the answer, and others do not.
func TestOneRequestWaitsForMetadata(t *testing.T) {
	arrived, answer := make(chan struct{}), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-answer
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer srv.Close()
	f := newFixture(t, "- {id: shop, audiences: [a], trust: [{issuer: '"+srv.URL+"', subject: x, audience: '"+ourIssuer+"'}]}")
	c := assertionOf(sign(t, newKey(t, jwk.ES256), nil, f.platformToken(map[string]any{"iss": srv.URL, "sub": "x"})))
	ask := func(ctx context.Context) error {
		_, _, err := f.Authenticate(ctx, c)
		return err
	}
	attempt := func(meanwhile func()) {
		t.Helper()
		waits := make(chan error, 1)
		go func() { waits <- ask(t.Context()) }()
		<-arrived
		meanwhile()
		answer <- struct{}{}
		<-arrived // at the other place of metadata
		answer <- struct{}{}
		if err := <-waits; !errors.Is(err, token.ErrKeysUnavailable) {
			t.Errorf("got %v, want ErrKeysUnavailable", err)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	attempt(func() {
		if err := ask(ended); !errors.Is(err, context.Canceled) { // nothing is known yet
			t.Errorf("a second request: %v", err)
		}
	})
	f.clock.Advance(time.Minute)
	attempt(func() {
		if err := ask(t.Context()); !errors.Is(err, token.ErrKeysUnavailable) {
			t.Errorf("a second request: %v", err)
		}
	})
}

// A request that begins to fetch metadata and gives up does not stop the fetch, because others
// wait for it. While metadata that is too old is fetched again, the old address stays in use.
func TestMetadataThatHangs(t *testing.T) {
	key := newKey(t, jwk.ES256)
	arrived, answer := make(chan struct{}, 1), make(chan struct{}, 1)
	var srv *httptest.Server
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			w.Header().Set("Cache-Control", "max-age=1800")
			_, _ = w.Write([]byte(jwks(t, key)))
			return
		}
		arrived <- struct{}{}
		select {
		case <-answer:
			_, _ = w.Write([]byte(`{"issuer": "` + srv.URL + `", "jwks_uri": "` + srv.URL + `/keys"}`))
		case <-r.Context().Done():
		}
	}))
	defer srv.Close()
	f := newFixture(t, "- {id: shop, audiences: [a], trust: [{issuer: '"+srv.URL+"', subject: x, audience: '"+ourIssuer+"'}]}")
	ask := func(ctx context.Context) error {
		c := assertionOf(sign(t, key, nil, f.platformToken(map[string]any{"iss": srv.URL, "sub": "x"})))
		_, _, err := f.Authenticate(ctx, c)
		return err
	}
	ctx, giveUp := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { first <- ask(ctx) }()
	<-arrived
	giveUp()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the request that gave up: %v", err)
	}
	answer <- struct{}{}
	if err := ask(t.Context()); err != nil {
		t.Fatalf("the next request: %v", err)
	}

	f.clock.Advance(10 * time.Minute)
	for range 2 {
		if err := ask(ctx); err != nil { // it has ended, so that it cannot wait
			t.Errorf("while metadata is fetched again: %v", err)
		}
	}
	<-arrived
	answer <- struct{}{}
}
