package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

func TestDocumentHeaders(t *testing.T) {
	srv := newTestServer(t, keys.Settings{JWKSMaxAge: 90 * time.Second})
	for _, path := range documents() {
		get, head := srv.do("GET", path, "", "X-Request-Id", "1"), srv.do("HEAD", path, "", "X-Request-Id", "1")
		body := read(t, get)
		if got := read(t, head); got != "" {
			t.Errorf("HEAD %s has a body: %q", path, got)
		}
		if diff := cmp.Diff(get.Header, head.Header); diff != "" {
			t.Errorf("HEAD %s differs from GET: %s", path, diff)
		}
		want := http.Header{
			"Cache-Control":               {"public, max-age=90, must-revalidate"},
			"Access-Control-Allow-Origin": {"*"},
			"X-Content-Type-Options":      {"nosniff"},
		}
		for name := range want {
			if diff := cmp.Diff(want[name], get.Header[name]); diff != "" {
				t.Errorf("%s: %s: %s", path, name, diff)
			}
		}
		kind := "application/json"
		if strings.Contains(path, "jwks") {
			kind = "application/jwk-set+json"
		}
		if got := get.Header.Get("Content-Type"); got != kind {
			t.Errorf("%s: Content-Type = %q, want %q", path, got, kind)
		}
		if !json.Valid([]byte(body)) || get.Header.Get("Content-Length") == "" {
			t.Errorf("%s: Content-Length %q of %q", path, get.Header.Get("Content-Length"), body)
		}
	}
}

func TestIfNoneMatch(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	etag := srv.do("GET", "/jwks", "").Header.Get("Etag")
	if !strings.HasPrefix(etag, `"`) || len(etag) < 20 {
		t.Fatalf("ETag = %s, want a strong one", etag)
	}
	for _, tt := range []struct {
		name  string
		lines []string
		want  int
	}{
		{"same", []string{etag}, 304},
		{"weak", []string{"W/" + etag}, 304},
		{"any", []string{"*"}, 304},
		{"in a list", []string{`"a", W/"b,c" ,` + etag}, 304},
		{"on a second line", []string{`"a"`, etag}, 304},
		{"other", []string{`"other"`}, 200},
		{"inside another", []string{`"x` + strings.Trim(etag, `"`) + `"`}, 200},
		{"unquoted", []string{strings.Trim(etag, `"`)}, 200},
		{"open", []string{etag[:len(etag)-1]}, 200},
		{"empty", []string{""}, 200},
		{"none", nil, 200},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			r := httptest.NewRequest(method, "/jwks", nil)
			r.Header["If-None-Match"] = tt.lines
			w := httptest.NewRecorder()
			srv.Handler().ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("%s, %s: status = %d, want %d", method, tt.name, w.Code, tt.want)
			}
			if w.Code != http.StatusNotModified {
				continue
			}
			if w.Body.Len() > 0 || w.Header().Get("Etag") != etag || w.Header().Get("Cache-Control") == "" || w.Header().Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s, %s: 304 with %v and %d bytes", method, tt.name, w.Header(), w.Body.Len())
			}
		}
	}
}

// A JWK Set is served whole or not at all.
func TestDocumentsIgnoreRangesAndOtherConditions(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	for _, path := range documents() {
		whole := read(t, srv.do("GET", path, ""))
		for _, header := range [][]string{{"Range", "bytes=0-9"}, {"Range", "bytes=99999-"}, {"If-Match", `"other"`}} {
			r := srv.do("GET", path, "", header...)
			if body := read(t, r); r.StatusCode != http.StatusOK || body != whole {
				t.Errorf("%s with %v: %d %q", path, header, r.StatusCode, body)
			}
		}
	}
}

func TestPreflight(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	r := srv.do("OPTIONS", "/jwks", "", "Origin", "https://app.example", "Access-Control-Request-Method", "GET")
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "GET, HEAD",
		"Access-Control-Allow-Headers": "*, Authorization", "Allow": "GET, HEAD, OPTIONS",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

func TestDiscovery(t *testing.T) {
	for issuer, uri := range map[string]string{
		"https://a.example":      "https://a.example/.well-known/jwks.json",
		"https://a.example/":     "https://a.example/.well-known/jwks.json",
		"https://a.example/base": "https://a.example/base/.well-known/jwks.json",
	} {
		srv := newTestServer(t, keys.Settings{Issuer: issuer})
		body := read(t, srv.do("GET", "/.well-known/openid-configuration", ""))
		var got map[string]any
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{
			"issuer": issuer, "jwks_uri": uri,
			"response_types_supported":              []any{"id_token"},
			"subject_types_supported":               []any{"public"},
			"id_token_signing_alg_values_supported": []any{"RS256"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if other := read(t, srv.do("GET", "/.well-known/oauth-authorization-server", "")); other != body {
			t.Errorf("oauth-authorization-server differs: %s", other)
		}
	}
}

// Clients derive the URL of the discovery document from the issuer in four ways, and a
// proxy in front may remove the issuer's path.
func TestIssuerWithPath(t *testing.T) {
	const oidc, oauth, set = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/.well-known/jwks.json"
	for _, issuer := range []string{"https://a.example/tenant/a", "https://a.example/tenant/a/", "https://a.example/tenant%2Fa"} {
		srv := newTestServer(t, keys.Settings{Issuer: issuer})
		for document, paths := range map[string][]string{
			oidc:  {oidc + "/tenant/a", "/tenant/a" + oidc, "/tenant/a/" + oidc, oidc + "/tenant/a/"},
			oauth: {oauth + "/tenant/a", "/tenant/a" + oauth, "/tenant/a/" + oauth, oauth + "/tenant/a/"},
			set:   {"/tenant/a" + set, "/tenant/a/" + set, "/tenant/a/jwks"},
		} {
			want := read(t, srv.do("GET", document, ""))
			for _, path := range paths {
				r := srv.do("GET", path, "")
				if got := read(t, r); r.StatusCode != http.StatusOK || got != want || r.Header.Get("Access-Control-Allow-Origin") != "*" {
					t.Errorf("issuer %s: GET %s: status %d, header %v: %s", issuer, path, r.StatusCode, r.Header, got)
				}
				if r := srv.do("OPTIONS", path, ""); r.StatusCode != http.StatusNoContent {
					t.Errorf("issuer %s: OPTIONS %s: status %d", issuer, path, r.StatusCode)
				}
			}
		}
		for _, path := range []string{
			oauth + "/tenant/b", oauth + "/tenant", "/tenant/b" + oidc, "/tenant/a", "/tenant" + oidc, oidc + "tenant/a",
			"/tenant/a" + oauth + "/tenant/a", "/tenant/a/livez", "/tenant/a//auth", "/auth/tenant/a", "/tenant/auth",
		} {
			wantProblem(t, srv.do("GET", path, ""), http.StatusNotFound, "nothing at this path")
		}

		var found metadata
		if err := json.Unmarshal([]byte(read(t, srv.do("GET", oauth+"/tenant/a", ""))), &found); err != nil || found.Issuer != issuer {
			t.Errorf("issuer %s: %+v, %v", issuer, found, err)
		}
		uri, err := url.Parse(found.JWKSURI)
		if err != nil {
			t.Fatal(err)
		}
		if r := srv.do("GET", uri.EscapedPath(), ""); r.StatusCode != http.StatusOK {
			t.Errorf("issuer %s: its jwks_uri %s: status %d", issuer, uri, r.StatusCode)
		}
	}
}

func TestIssuerWithPathChanges(t *testing.T) {
	srv := newTestServer(t, keys.Settings{Issuer: "https://a.example/old"})
	if _, err := srv.ring.SetPolicy(t.Context(), keys.Settings{Issuer: "https://a.example/new"}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/old/jwks": http.StatusNotFound, "/new/jwks": http.StatusOK} {
		if r := srv.do("GET", path, ""); r.StatusCode != want {
			t.Errorf("GET %s: status %d, want %d", path, r.StatusCode, want)
		}
	}
}

func TestDiscoveryFollowsThePolicy(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	before := srv.do("GET", "/.well-known/openid-configuration", "").Header.Get("Etag")
	if _, err := srv.ring.SetPolicy(t.Context(), keys.Settings{Algorithm: jwk.PS256, Issuer: "https://new.example"}); err != nil {
		t.Fatal(err)
	}
	if err := srv.ring.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := srv.do("GET", "/.well-known/openid-configuration", "", "If-None-Match", before)
	var got metadata
	if err := json.Unmarshal([]byte(read(t, r)), &got); err != nil {
		t.Fatal(err)
	}
	if got.Issuer != "https://new.example" || !slices.Equal(got.Algorithms, []jwk.Algorithm{jwk.RS256, jwk.PS256}) {
		t.Errorf("after the change: %+v", got)
	}

	// A verifier that starts now must still accept tokens of the retired key.
	if err := srv.ring.Rotate(t.Context(), keys.StepRequest{Force: true}); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(read(t, srv.do("GET", "/.well-known/openid-configuration", ""))), &got); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Algorithms, []jwk.Algorithm{jwk.PS256, jwk.RS256}) {
		t.Errorf("after the rotation: %v", got.Algorithms)
	}
}

func TestStaleKeysetIsNotPublished(t *testing.T) {
	srv := newTestServer(t, keys.Settings{MaxStaleness: time.Minute})
	srv.clock.Advance(time.Minute)
	if r := srv.do("GET", "/jwks", ""); r.StatusCode != http.StatusOK {
		t.Errorf("within max_staleness: %d", r.StatusCode)
	}
	srv.clock.Advance(time.Second)
	etag := "*" // must not lead to 304
	for _, path := range documents() {
		r := srv.do("GET", path, "", "If-None-Match", etag)
		if r.Header.Get("Retry-After") == "" || r.Header.Get("Etag") != "" || r.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: headers %v", path, r.Header)
		}
		wantProblem(t, r, http.StatusServiceUnavailable, "not been confirmed")
	}
	if strings.Contains(srv.logged.String(), `"level":"WARN"`) || strings.Contains(srv.logged.String(), `"level":"ERROR"`) {
		t.Errorf("requests for a stale keyset are logged above info: %s", srv.logged)
	}
	if err := srv.ring.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := srv.do("GET", "/jwks", ""); r.StatusCode != http.StatusOK {
		t.Errorf("after a refresh: %d", r.StatusCode)
	}
}

func TestRotationIsPublished(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	before := srv.do("GET", "/jwks", "")
	if err := srv.ring.Rotate(t.Context(), keys.StepRequest{}); err != nil {
		t.Fatal(err)
	}
	after := srv.do("GET", "/jwks", "", "If-None-Match", before.Header.Get("Etag"))
	if after.StatusCode != http.StatusOK {
		t.Fatalf("status = %d after a rotation", after.StatusCode)
	}
	set, problems, err := jwk.ParseSet([]byte(read(t, after)))
	if err != nil || len(problems) > 0 || len(set.Keys) != 3 {
		t.Errorf("%d keys, %v, %v; want the active, the pending and the retired one", len(set.Keys), problems, err)
	}
}
