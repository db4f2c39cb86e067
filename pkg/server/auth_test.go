package server

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/token"
)

const jsonType = "application/json"

// verify verifies a token with the keys that the server publishes.
func (srv *testServer) verify(t *testing.T, compact string, at time.Time) error {
	t.Helper()
	v := token.Verifier{
		Keys: srv.ring, Issuer: []string{srv.ring.Keyset().Policy.Issuer}, InsecureSkipAudience: true, Types: []string{"JWT", "at+jwt"},
		Now: func() time.Time { return at },
	}
	_, err := v.Verify(t.Context(), compact)
	return err
}

// granted is the answer of /auth, as a client decodes it.
type granted struct {
	Token       string
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"`
	KeyID       string `json:"kid"`
}

func decodeGrant(t *testing.T, r *http.Response) granted {
	t.Helper()
	body := read(t, r)
	var g granted
	if err := json.Unmarshal([]byte(body), &g); r.StatusCode != http.StatusOK || err != nil {
		t.Fatalf("status %d, %v: %s", r.StatusCode, err, body)
	}
	return g
}

// The jti is a generated id, never the id of a client, which may send the same id twice.
func TestTokenIDIsRequestID(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	seen := map[string]bool{}
	for _, given := range []string{"", "req-1", "req-1", "", ""} {
		r := srv.do("POST", "/auth", "", "X-Request-Id", given)
		var claims struct {
			ID string `json:"jti"`
		}
		if err := json.Unmarshal(token.Inspect(decodeGrant(t, r).Token).Claims, &claims); err != nil {
			t.Fatal(err)
		}
		if header := r.Header.Get("X-Request-Id"); given == "" && claims.ID != header {
			t.Errorf("jti %q, request id %q", claims.ID, header)
		}
		if claims.ID == given || claims.ID == "" || seen[claims.ID] {
			t.Errorf("given %q: jti %q, after %v", given, claims.ID, seen)
		}
		seen[claims.ID] = true
	}
}

func TestAuthBodies(t *testing.T) {
	srv := newTestServer(t, keys.Settings{}, func(o *Options) { o.Audience = []string{"api"} })
	hour := float64(3600)
	for _, tt := range []struct {
		name, contentType, body string
		want                    map[string]any // besides iss, iat, jti and exp; "lifetime" is exp - iat
	}{
		{"empty", "", "", map[string]any{}},
		{"empty of any type", "text/plain", "", map[string]any{}},
		{"form", formType, "username=alice&password=x&remember=on", map[string]any{"sub": "alice"}},
		{"whole form", formType + "; charset=utf-8", "sub=bob&aud=a&aud=b&scope=r+w&ttl=60&username=no", map[string]any{"sub": "bob", "aud": []any{"a", "b"}, "scope": "r w", "lifetime": 60.0}},
		{"login", jsonType, `{"username":"alice","password":"x","csrf":"y"}`, map[string]any{"sub": "alice"}},
		{"login with an empty username", jsonType, `{"username":"","password":""}`, map[string]any{}},
		{"JSON", jsonType, `{"sub":"bob","username":"no","aud":["a","b"],"scope":"r w","ttl":"2m","claims":{"n":1,"deep":{"a":[true,null]}}}`, map[string]any{
			"sub": "bob", "aud": []any{"a", "b"}, "scope": "r w", "lifetime": 120.0, "n": 1.0, "deep": map[string]any{"a": []any{true, nil}},
		}},
		{"OAuth client, form", formType, "grant_type=client_credentials&client_id=app&client_secret=x&audience=a&scope=r&assertion=z", map[string]any{
			"sub": "app", "aud": "a", "scope": "r",
		}},
		{"OAuth client, JSON", jsonType, `{"grant_type":"client_credentials","client_id":"app","client_secret":"x","audience":"a","organization":"z"}`, map[string]any{
			"sub": "app", "aud": "a",
		}},
		{"OAuth password grant", formType, "grant_type=password&client_id=app&username=alice&password=x", map[string]any{"sub": "alice"}},
		{"resources", formType, "client_id=app&resource=https://a.example&resource=https://b.example", map[string]any{
			"sub": "app", "aud": []any{"https://a.example", "https://b.example"},
		}},
		{"aud, audience and resource", jsonType, `{"aud":["a","b"],"audience":"c","resource":["d"]}`, map[string]any{"aud": []any{"a", "b", "c", "d"}}},
		{"an audience that is also a resource", jsonType, `{"aud":["a","b"],"audience":"c","resource":["c","a"]}`, map[string]any{"aud": []any{"a", "b", "c"}}},
		{"the same audience and resource", formType, "audience=a&resource=a", map[string]any{"aud": "a"}},
		{"empty audiences", formType, "aud=&audience=&resource=", map[string]any{}},
		{"one audience and empty ones", formType, "aud=a&aud=&audience=", map[string]any{"aud": "a"}},
		{"client_id after sub", jsonType, `{"client_id":"app","sub":"bob"}`, map[string]any{"sub": "bob"}},
		{"nulls", jsonType, `{"sub":null,"aud":null,"ttl":null,"claims":null,"grant_type":null,"audience":null,"expired":null}`, map[string]any{}},
		{"one audience", jsonType, `{"aud":"other"}`, map[string]any{"aud": "other"}},
		{"no audience", jsonType, `{"aud":[]}`, map[string]any{}},
		{"ttl of a fraction", jsonType, `{"ttl":1.9}`, map[string]any{"lifetime": 1.0}},
		{"the longest ttl", jsonType, `{"ttl":"1h"}`, map[string]any{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := srv.do("POST", "/auth", tt.body, "Content-Type", tt.contentType)
			if r.Header.Get("Cache-Control") != "no-store" || r.Header.Get("Content-Type") != jsonType {
				t.Errorf("headers %v", r.Header)
			}
			g := decodeGrant(t, r)
			if g.AccessToken != g.Token || g.TokenType != "Bearer" || g.KeyID != srv.ring.Keyset().Active().KeyID() {
				t.Errorf("answer %+v", g)
			}
			if err := srv.verify(t, g.Token, srv.clock.Now()); err != nil {
				t.Fatal(err)
			}
			claims := payload(t, g.Token)
			want := maps.Clone(tt.want)
			lifetime, ok := want["lifetime"].(float64)
			if !ok {
				lifetime = hour
			}
			delete(want, "lifetime")
			if got := claims["exp"].(float64) - claims["iat"].(float64); got != lifetime || g.ExpiresIn != int64(lifetime) {
				t.Errorf("exp - iat = %v, expires_in = %d, want %v", got, g.ExpiresIn, lifetime)
			}
			if _, ok := want["aud"]; !ok {
				want["aud"] = "api"
			}
			want["iss"] = "https://issuer.example"
			for _, always := range []string{"iat", "exp", "jti"} {
				delete(claims, always)
			}
			if diff := cmp.Diff(want, claims); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// payload decodes the claims of a token without verifying it.
func payload(t *testing.T, compact string) map[string]any {
	t.Helper()
	parts, err := token.Split(compact, 0)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(parts.Payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestAuthRefuses(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	for _, tt := range []struct {
		name, target, contentType, body string
		status                          int
		detail                          string
	}{
		{"another type", "/auth", "text/plain", "x", 415, "must be empty"},
		{"no type", "/auth", "", "x", 415, "must be empty"},
		{"multipart", "/auth", "multipart/form-data; boundary=b", "--b--", 415, "must be empty"},
		{"too large", "/auth", jsonType, strings.Repeat(" ", maxBody+1), 413, "larger than 32768"},
		{"not JSON", "/auth", jsonType, "{", 400, "JSON"},
		{"JSON as a form", "/auth", formType, `{"sub":"a"}`, 400, "the body is JSON, but its Content-Type says that it is a form"},
		{"JSON with a percent sign as a form", "/auth", formType, "\n{\"a\":\"100%;\"}", 400, "the body is JSON"},
		{"encoded JSON as a form", "/auth", formType, "%7B%22sub%22%3A%22a%22%7D", 400, "the body is JSON"},
		{"another grant", "/auth", formType, "grant_type=authorization_code&code=x", 400, `grant_type is "authorization_code": use client_credentials`},
		{"another grant in JSON", "/auth", jsonType, `{"grant_type":"refresh_token"}`, 400, `grant_type is "refresh_token"`},
		{"grant_type of the wrong kind", "/auth", jsonType, `{"grant_type":true}`, 400, "grant_type must be a string"},
		{"audience of the wrong kind", "/auth", jsonType, `{"audience":1}`, 400, "audience must be a string or an array"},
		{"resource of the wrong kind", "/auth", jsonType, `{"resource":{}}`, 400, "resource must be a string or an array"},
		{"client_id of the wrong kind", "/auth", jsonType, `{"client_id":1}`, 400, "client_id must be a string"},
		{"form with two grants", "/auth", formType, "grant_type=password&grant_type=password", 400, "grant_type is given more than once"},
		{"expired in a form", "/auth", formType, "username=a&expired=true", 400, "expired belongs in the query"},
		{"expired in JSON", "/auth", jsonType, `{"username":"a","expired":true}`, 400, "expired belongs in the query"},
		{"exp in a form", "/auth", formType, "sub=a&exp=1", 400, "exp is set by the server"},
		{"iss in JSON", "/auth", jsonType, `{"client_id":"a","iss":"b"}`, 400, "iss is set by the server"},
		{"sub in the query", "/auth?sub=a", "", "", 400, "sub is in the query: send it in the body"},
		{"audience in the query", "/auth?expired=true&audience=a", "", "", 400, "audience is in the query"},
		{"no object", "/auth", jsonType, `["sub"]`, 400, "object"},
		{"two objects", "/auth", jsonType, `{}{}`, 400, "without duplicate names"},
		{"a name twice", "/auth", jsonType, `{"sub":"a","sub":"b"}`, 400, "twice"},
		{"an unknown member", "/auth", jsonType, `{"subject":"a"}`, 400, `unknown member "subject"`},
		{"sub of the wrong kind", "/auth", jsonType, `{"sub":1}`, 400, "sub must be a string"},
		{"username of the wrong kind", "/auth", jsonType, `{"username":["a"]}`, 400, "username must be a string"},
		{"scope of the wrong kind", "/auth", jsonType, `{"scope":["a"]}`, 400, "scope must be a string"},
		{"aud of the wrong kind", "/auth", jsonType, `{"aud":["a",1]}`, 400, "aud must be a string or an array"},
		{"an empty audience", "/auth", jsonType, `{"aud":[""]}`, 400, "audience is empty"},
		{"claims of the wrong kind", "/auth", jsonType, `{"claims":"a"}`, 400, "claims must be an object"},
		{"a number beyond the range of a double", "/auth", jsonType, `{"claims":{"a":[1e999]}}`, 400, "beyond the range of a double"},
		{"a reserved claim", "/auth", jsonType, `{"claims":{"exp":1}}`, 400, "use ttl"},
		{"a claim that looks like another", "/auth", jsonType, `{"claims":{"Exp":1}}`, 400, "Exp"},
		{"ttl beyond the limit", "/auth", jsonType, `{"ttl":3601}`, 400, "1h0m0s at most"},
		{"ttl far beyond", "/auth", jsonType, `{"ttl":999999999}`, 400, "1h0m0s at most"},
		{"ttl beyond the range of int64", "/auth", jsonType, `{"ttl":99999999999999999999}`, 400, "ttl must be"},
		{"expired, ttl beyond the limit", "/auth?expired", jsonType, `{"ttl":3601}`, 400, "1h0m0s at most"},
		{"ttl of zero", "/auth", jsonType, `{"ttl":0}`, 400, "ttl must be"},
		{"ttl below a second", "/auth", jsonType, `{"ttl":"900ms"}`, 400, "ttl must be"},
		{"ttl below zero", "/auth", jsonType, `{"ttl":-60}`, 400, "ttl must be"},
		{"ttl that is no number", "/auth", formType, "ttl=NaN", 400, "ttl must be"},
		{"ttl of the wrong kind", "/auth", jsonType, `{"ttl":{}}`, 400, "ttl must be"},
		{"form with two subjects", "/auth", formType, "sub=a&sub=b", 400, "sub is given more than once"},
		{"form with claims", "/auth", formType, "claims=%7B%7D", 400, "JSON only"},
		{"a broken form", "/auth", formType, "a=%zz", 400, "valid form"},
		{"broken UTF-8", "/auth", formType, "sub=%ff", 400, "UTF-8"},
		{"expired of another word", "/auth?expired=yes", "", "", 400, "expired must be true"},
		{"expired twice", "/auth?expired=true&expired=true", "", "", 400, "expired must be true"},
		{"a broken query", "/auth?a=%zz", "", "", 400, "query"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantProblem(t, srv.do("POST", tt.target, tt.body, "Content-Type", tt.contentType), tt.status, tt.detail)
		})
	}
	wantProblem(t, srv.do("POST", "/auth", "{}", "Content-Type", jsonType, "Content-Encoding", "gzip"), 415, "compressed")
}

// Headers about the body are ignored if the body is empty.
func TestAuthWithoutBody(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	for _, body := range []io.Reader{nil, http.NoBody, io.MultiReader()} {
		r := httptest.NewRequest(http.MethodPost, "/auth", body)
		r.Header.Set("Content-Type", "text/plain")
		r.Header.Set("Content-Encoding", "gzip")
		w := httptest.NewRecorder()
		if srv.Handler().ServeHTTP(w, r); w.Code != http.StatusOK {
			t.Errorf("body %v: %d %s", body, w.Code, w.Body)
		}
	}
}

func TestAuthExpired(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	for _, query := range []string{"?expired", "?expired=", "?expired=true", "?expired=True", "?expired=TRUE", "?expired=1", "?x=y&expired=true"} {
		g := decodeGrant(t, srv.do("POST", "/auth"+query, `{"sub":"a","ttl":60}`, "Content-Type", jsonType))
		claims := payload(t, g.Token)
		end := float64(srv.clock.Now().Add(-time.Hour).Unix())
		if claims["exp"] != end || claims["iat"] != end-60 || claims["sub"] != "a" || g.ExpiresIn != 0 {
			t.Errorf("%s: claims %v, expires_in %d", query, claims, g.ExpiresIn)
		}
		if g.KeyID != srv.ring.Keyset().Specimen.KeyID() {
			t.Errorf("%s: signed by %s", query, g.KeyID)
		}
		if set := read(t, srv.do("GET", "/jwks", "")); strings.Contains(set, g.KeyID) {
			t.Errorf("%s: its kid is in the JWK Set", query)
		}
		if err := srv.verify(t, g.Token, time.Unix(int64(end)-30, 0)); err == nil {
			t.Errorf("%s: it verifies at a time when it was not expired", query)
		}
	}
	for _, query := range []string{"?expired=false", "?expired=False", "?expired=0", "?x=y", ""} {
		if g := decodeGrant(t, srv.do("POST", "/auth"+query, "")); g.ExpiresIn != 3600 {
			t.Errorf("%q: expires_in %d", query, g.ExpiresIn)
		}
	}
	no := false
	srv = newTestServer(t, keys.Settings{ExpiredTokens: &no})
	wantProblem(t, srv.do("POST", "/auth?expired", ""), http.StatusForbidden, "expired_tokens")
}

func TestAuthAccept(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	for accept, bare := range map[string]bool{
		"application/jwt":                         true,
		"Application/JWT, */*;q=0.1":              true,
		"application/json;q=0.5, application/jwt": true,
		"application/jwt, application/json":       false,
		"application/jwt;q=0.5, application/json": false,
		"application/jwt;q=0":                     false,
		"application/jwt;q=much":                  false,
		"*/*":                                     false,
		"application/*":                           false,
		"text/html, ;;, application/jwt":          true,
		"":                                        false,
	} {
		r := srv.do("POST", "/auth", "", "Accept", accept)
		body := read(t, r)
		got := r.Header.Get("Content-Type") == "application/jwt"
		if got != bare || got == json.Valid([]byte(body)) || r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("Accept %q: %v, body %.20s", accept, r.Header, body)
		}
		if err := srv.verify(t, body, srv.clock.Now()); bare && err != nil {
			t.Errorf("Accept %q: %v", accept, err)
		}
	}
}

func TestAuthAuthorization(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	for _, tt := range []struct {
		authorization, body string
		want                any
	}{
		{"Basic YWxpY2U6c2VjcmV0", "", "alice"},
		{"Basic YWxpY2U6c2VjcmV0", `{"username":"bob"}`, "bob"},
		{"Basic YWxpY2U6c2VjcmV0", `{"username":""}`, "alice"},
		{"Basic garbage", "", nil},
		{"Basic OnNlY3JldA==", "", nil},
		{"Bearer garbage", "", nil},
		{"Digest username=x", "", nil},
		{"garbage", "", nil},
	} {
		g := decodeGrant(t, srv.do("POST", "/auth", tt.body, "Authorization", tt.authorization, "Content-Type", jsonType))
		if got := payload(t, g.Token)["sub"]; got != tt.want {
			t.Errorf("%s %s: sub = %v, want %v", tt.authorization, tt.body, got, tt.want)
		}
	}
}

func TestAuthStale(t *testing.T) {
	srv := newTestServer(t, keys.Settings{MaxStaleness: time.Minute})
	srv.clock.Advance(time.Minute + time.Second)
	for _, target := range []string{"/auth", "/auth?expired"} {
		r := srv.do("POST", target, "")
		if r.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", target)
		}
		wantProblem(t, r, http.StatusServiceUnavailable, "not been confirmed")
	}
}

func FuzzAuthBody(f *testing.F) {
	for _, body := range []string{"", `{"username":"a","password":"b"}`, `{"ttl":1e9,"claims":{"a":[{}]}}`, `{"sub":"\ud800"}`, "{", "sub=a&aud=b&aud=c&ttl=5m", "%zz", "ttl=-Inf"} {
		f.Add(jsonType, []byte(body))
		f.Add(formType, []byte(body))
	}
	f.Add("a/b;c", []byte("x"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		parsed, err := parseBody(http.Header{"Content-Type": {contentType}}, body, false)
		if _, strict := parseBody(http.Header{"Content-Type": {contentType}}, body, true); err != nil && strict == nil {
			t.Errorf("a client may send what is refused without clients: %v", err)
		}
		request := parsed.request
		if err != nil {
			if p, known := problemOf(err); !known || p.status/100 != 4 {
				t.Errorf("%v is answered %d", err, p.status)
			}
			return
		}
		if request.TTL != 0 && (request.TTL < time.Second || request.TTL%time.Second != 0) {
			t.Errorf("ttl %v", request.TTL)
		}
		if request.Header != nil || request.Issuer != "" || request.Type != "" {
			t.Errorf("the body set a field that has no member: %+v", request)
		}
	})
}

func FuzzAuthQuery(f *testing.F) {
	for _, query := range []string{"", "expired", "expired=true", "expired=0&expired=1", "a=%zz", "expired=;", "&&="} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		expired, err := wantsExpired(query)
		if expired && (err != nil || !strings.Contains(query, "xpired") && !strings.Contains(query, "%")) {
			t.Errorf("%q asks for an expired token (%v)", query, err)
		}
	})
}

func FuzzHeaders(f *testing.F) {
	f.Add(`"a", W/"b"`, "application/jwt;q=0.5, */*", "req-1")
	f.Add(`*`, ";;,", strings.Repeat("x", 65))
	f.Fuzz(func(t *testing.T, ifNoneMatch, accept, id string) {
		etagMatches([]string{ifNoneMatch}, `"tag"`)
		prefersJWT([]string{accept})
		if isRequestID(id) && (len(id) > 64 || strings.ContainsAny(id, " \r\n\t\"{}")) {
			t.Errorf("%q is accepted as an id", id)
		}
	})
}
