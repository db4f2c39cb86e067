package server

import (
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// Each test in this file sends and checks what some existing client or test suite does.

func TestClientsFetchBothSetPaths(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	one, other := srv.do("GET", "/jwks", ""), srv.do("GET", "/.well-known/jwks.json", "")
	if read(t, one) != read(t, other) || one.Header.Get("Etag") != other.Header.Get("Etag") {
		t.Error("the two paths differ")
	}
}

func TestClientsSendUsername(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	for name, r := range map[string]*http.Response{
		"":      srv.do("POST", "/auth", ""),
		"form":  srv.do("POST", "/auth", "username=form&password=x", "Content-Type", formType),
		"json":  srv.do("POST", "/auth", `{"username":"json","password":"x"}`, "Content-Type", jsonType),
		"basic": srv.do("POST", "/auth", "", "Authorization", "Basic YmFzaWM6eA=="),
	} {
		sub, _ := payload(t, decodeGrant(t, r).Token)["sub"].(string)
		if sub != name {
			t.Errorf("sub = %q, want %q", sub, name)
		}
	}
}

func TestClientsSendBearerToken(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	for method, path := range map[string]string{"POST": "/auth", "GET": "/.well-known/jwks.json"} {
		if r := srv.do(method, path, "", "Authorization", "Bearer 6f0e3b"); r.StatusCode != http.StatusOK {
			t.Errorf("%s %s = %d", method, path, r.StatusCode)
		}
	}
}

func TestClientsReadTokenFields(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	var fields map[string]any
	if err := json.Unmarshal([]byte(read(t, srv.do("POST", "/auth", ""))), &fields); err != nil {
		t.Fatal(err)
	}
	if fields["token"] == nil || fields["token"] != fields["access_token"] || fields["token_type"] != "Bearer" {
		t.Errorf("fields %v", fields)
	}
}

func TestClientsRequestExpiredTokens(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	set := read(t, srv.do("GET", "/.well-known/jwks.json", ""))
	for _, query := range []string{"?expired=true", "?expired=1", "?expired"} {
		g := decodeGrant(t, srv.do("POST", "/auth"+query, ""))
		exp, ok := payload(t, g.Token)["exp"].(float64)
		if !ok || int64(exp) >= srv.clock.Now().Unix() {
			t.Errorf("%s: exp = %v", query, exp)
		}
		if strings.Contains(set, headerOf(t, g.Token)["kid"].(string)) {
			t.Errorf("%s: its kid is in the JWK Set", query)
		}
	}
}

func headerOf(t *testing.T, compact string) map[string]any {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(strings.Split(compact, ".")[0])
	if err != nil {
		t.Fatal(err)
	}
	var header map[string]any
	if err := json.Unmarshal(data, &header); err != nil {
		t.Fatal(err)
	}
	return header
}

func TestClientsCheckOtherMethods(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	for path, methods := range map[string][]string{
		"/auth":                  {"GET", "PUT", "DELETE", "PATCH", "HEAD"},
		"/.well-known/jwks.json": {"POST", "PUT", "DELETE", "PATCH"},
		"/jwks":                  {"POST", "PUT", "DELETE", "PATCH"},
	} {
		for _, method := range methods {
			if r := srv.do(method, path, ""); r.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%s %s = %d", method, path, r.StatusCode)
			}
		}
	}
}

func TestClientsReadJWKMembers(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal([]byte(read(t, srv.do("GET", "/jwks", ""))), &set); err != nil {
		t.Fatal(err)
	}
	kid, ok := headerOf(t, decodeGrant(t, srv.do("POST", "/auth", "")).Token)["kid"].(string)
	found := false
	for _, k := range set.Keys {
		found = found || (ok && k["kid"] == kid)
		if k["kty"] != "RSA" || k["kid"] == "" || k["use"] != "sig" || k["alg"] != "RS256" {
			t.Errorf("key %v", k)
		}
		for _, part := range []string{"n", "e"} {
			raw, err := base64.RawURLEncoding.Strict().DecodeString(k[part])
			if err != nil || new(big.Int).SetBytes(raw).Sign() <= 0 {
				t.Errorf("%s = %q: %v", part, k[part], err)
			}
		}
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi"} {
			if _, there := k[private]; there {
				t.Errorf("the JWK Set contains the private member %s", private)
			}
		}
	}
	if !found {
		t.Errorf("kid %q is not in the set", kid)
	}
}

func TestClientsDiscoverSetFromIssuer(t *testing.T) {
	srv := newTestServer(t, keys.Settings{Issuer: "https://issuer.example/"})
	iss := payload(t, decodeGrant(t, srv.do("POST", "/auth", "")).Token)["iss"]
	var found metadata // with two slashes, because the issuer ends with one
	if err := json.Unmarshal([]byte(read(t, srv.do("GET", "//.well-known/openid-configuration", ""))), &found); err != nil {
		t.Fatal(err)
	}
	if status := srv.do("POST", "//auth", "").StatusCode; status != http.StatusNotFound {
		t.Errorf("POST //auth: status %d, want 404, because a proxy may guard /auth only", status)
	}
	if found.Issuer != iss {
		t.Errorf("discovery says issuer %q, the token iss %q", found.Issuer, iss)
	}
	path := strings.TrimPrefix(found.JWKSURI, "https://issuer.example")
	if r := srv.do("GET", path, ""); r.StatusCode != http.StatusOK {
		t.Errorf("jwks_uri %s = %d", found.JWKSURI, r.StatusCode)
	}
}

func TestClientsVerifyWithCachedSetAfterRotation(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	kept := read(t, srv.do("GET", "/jwks", ""))
	srv.clock.Advance(time.Minute)
	if err := srv.ring.Rotate(t.Context(), keys.StepRequest{}); err != nil {
		t.Fatal(err)
	}
	compact := decodeGrant(t, srv.do("POST", "/auth", "")).Token
	if kid := headerOf(t, compact)["kid"].(string); !strings.Contains(kept, kid) {
		t.Errorf("a set fetched before the rotation lacks kid %s", kid)
	}
	if err := srv.verify(t, compact, srv.clock.Now()); err != nil {
		t.Error(err)
	}
}

func TestLargestSetFitsClientLimits(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	one := len(read(t, srv.do("GET", "/jwks", ""))) / 2
	const nimbus, most = 50 << 10, 16
	if one*most > nimbus {
		t.Errorf("%d keys of %d bytes exceed %d bytes, which is the most that some clients read", most, one, nimbus)
	}
}
