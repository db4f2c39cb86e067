package server

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// askAuth sends a request with the credentials of a client to /auth.
func (srv *testServer) askAuth(id, query, contentType, body string, header ...string) *http.Response {
	return srv.do("POST", authRoute+query, body, append([]string{"Content-Type", contentType, "Authorization", basic(id, secret)}, header...)...)
}

func TestAuthOfClients(t *testing.T) {
	srv := newClientServer(t, func(o *Options) { o.Audience = []string{"https://anonymous.example"} })
	signed := srv.assertion(t, 14, srv.clock.Now(), token.Request{Issuer: "signer", Subject: "signer", ID: "1"})
	for _, tt := range []struct {
		name, contentType, body, authorization string
		sub                                    string
		lifetime                               int64
		scope                                  any
	}{
		{"HTTP Basic alone", "", "", basic("billing", secret), "billing", 3600, "read write"},
		{"a form", formType, form("client_id", "billing", "client_secret", secret, "scope", "read", "ttl", "60"), "", "billing", 60, "read"},
		{"JSON", jsonType, `{"client_id":"billing","client_secret":"` + secret + `","scope":"read","ttl":"2m"}`, "", "billing", 120, "read"},
		{"the request of an OAuth client", formType, form("grant_type", "client_credentials", "client_id", "billing", "client_secret", secret, "x", "y"), "", "billing", 3600, "read write"},
		{"JSON and HTTP Basic", jsonType, `{"aud":"https://api.example"}`, basic("two", secret), "two", 900, nil},
		{"nulls", jsonType, `{"sub":null,"claims":null,"scope":null,"grant_type":null,"resource":"https://api.example"}`, basic("two", secret), "two", 900, nil},
		{"an assertion", formType, form("client_assertion_type", assertionType, "client_assertion", signed), "", "signer", 3600, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header := []string{"Content-Type", tt.contentType}
			if tt.authorization != "" {
				header = append(header, "Authorization", tt.authorization)
			}
			g := decodeGrant(t, srv.do("POST", authRoute, tt.body, header...))
			if g.Token != g.AccessToken || g.TokenType != "Bearer" || g.ExpiresIn != tt.lifetime || g.KeyID != srv.ring.Keyset().Active().KeyID() {
				t.Errorf("answer %+v", g)
			}
			if err := srv.verify(t, g.Token, srv.clock.Now()); err != nil {
				t.Fatal(err)
			}
			claims := payload(t, g.Token)
			got := map[string]any{"sub": claims["sub"], "client_id": claims["client_id"], "aud": claims["aud"], "scope": claims["scope"], "typ": headerOf(t, g.Token)["typ"]}
			want := map[string]any{"sub": tt.sub, "client_id": tt.sub, "aud": "https://api.example", "scope": tt.scope, "typ": "at+jwt"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	bare := srv.askAuth("billing", "", "", "", "Accept", "application/jwt")
	if compact := read(t, bare); bare.Header.Get("Content-Type") != "application/jwt" || srv.verify(t, compact, srv.clock.Now()) != nil {
		t.Errorf("Accept: application/jwt gives %v, %s", bare.Header, compact)
	}
}

func TestAuthOfClientsRefuses(t *testing.T) {
	srv := newClientServer(t)
	auth := basic("billing", secret)
	for _, tt := range []struct {
		name, query, contentType, body, authorization string
		status                                        int
		detail                                        string
	}{
		{"nothing", "", "", "", "", 401, "the request has no credentials"},
		{"a login", "", jsonType, `{"username":"alice","password":"x"}`, "", 400, "username cannot be chosen"},
		{"a password", "", formType, "password=x", auth, 400, "password cannot be chosen"},
		{"sub", "", jsonType, `{"sub":"root"}`, auth, 400, "sub cannot be chosen: the token is for the client that asks"},
		{"sub in a form", "", formType, "sub=root", auth, 400, "sub cannot be chosen"},
		{"claims", "", jsonType, `{"claims":{"admin":true}}`, auth, 400, "claims cannot be chosen"},
		{"no claims", "", jsonType, `{"claims":{}}`, auth, 400, "claims cannot be chosen"},
		{"exp", "", jsonType, `{"exp":1}`, auth, 400, "exp is set by the server"},
		{"an unknown member", "", jsonType, `{"scopes":"read"}`, auth, 400, `unknown member "scopes": use aud, scope or ttl`},
		{"another grant", "", formType, "grant_type=password", auth, 400, "grant_type must be client_credentials"},
		{"a client_secret of the wrong kind", "", jsonType, `{"client_id":"billing","client_secret":["` + secret + `"]}`, "", 400, "client_secret must be a string"},
		{"a client_assertion of the wrong kind", "", jsonType, `{"client_assertion":{}}`, "", 400, "client_assertion must be a string"},
		{"a client_secret in the query", "?client_secret=" + secret, "", "", auth, 400, "client_secret is in the query"},
		{"a client_assertion in the query", "?client_assertion=a", "", "", auth, 400, "client_assertion is in the query"},
		{"two client_ids", "", formType, "client_id=billing&client_id=two&client_secret=" + secret, "", 400, "client_id is given more than once"},
		{"a client_id twice in JSON", "", jsonType, `{"client_id":"billing","client_id":"two","client_secret":"` + secret + `"}`, "", 400, "twice"},
		{"two ways", "", formType, form("client_id", "billing", "client_secret", secret), auth, 400, "authenticates in several ways"},
		{"a scope that is not listed", "", formType, "scope=root", auth, 400, "root"},
		{"an audience that is not listed", "", formType, "aud=https://other.example", auth, 400, ""},
		{"two audiences", "", jsonType, `{"aud":["https://api.example","https://b.example"]}`, basic("two", secret), 400, ""},
		{"no audience of two", "", "", "", basic("two", secret), 400, ""},
		{"a ttl beyond the policy", "", formType, "ttl=3601", auth, 400, "ttl"},
		{"a ttl beyond max_ttl", "", formType, "aud=https://api.example&ttl=901", basic("two", secret), 400, "15m"},
		{"an expired token", "?expired", "", "", auth, 403, "this client gets no expired tokens"},
		{"an expired token without credentials", "?expired", "", "", "", 401, "no credentials"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv.clock.Advance(time.Second) // so that the failures before slow down none
			header := []string{"Content-Type", tt.contentType}
			if tt.authorization != "" {
				header = append(header, "Authorization", tt.authorization)
			}
			wantProblem(t, srv.do("POST", authRoute+tt.query, tt.body, header...), tt.status, tt.detail)
		})
	}
}

func TestAuthOfClientsExpired(t *testing.T) {
	srv := newClientServer(t)
	g := decodeGrant(t, srv.askAuth("two", "?expired", formType, "resource=https://api.example"))
	claims := payload(t, g.Token)
	end := float64(srv.clock.Now().Add(-time.Hour).Unix())
	if claims["exp"] != end || claims["iat"] != end-900 || claims["sub"] != "two" || g.ExpiresIn != 0 || g.KeyID != srv.ring.Keyset().Specimen.KeyID() {
		t.Errorf("claims %v, answer %+v", claims, g)
	}
	no := false
	srv = newTestServer(t, keys.Settings{ExpiredTokens: &no}, withClients(t, clientList(t)...))
	wantProblem(t, srv.askAuth("two", "?expired", formType, "resource=https://api.example"), http.StatusForbidden, "expired_tokens")
}

// A max_ttl that is longer than the policy allows is no error of the client.
func TestMaxTTLBeyondThePolicy(t *testing.T) {
	srv := newTestServer(t, keys.Settings{TokenTTL: 5 * time.Minute}, withClients(t, clientList(t)...))
	if g := decodeGrant(t, srv.askAuth("two", "", formType, "resource=https://api.example")); g.ExpiresIn != 300 {
		t.Errorf("expires_in = %d, want 300", g.ExpiresIn)
	}
}

func TestBrowsersGetNoTokens(t *testing.T) {
	srv := newClientServer(t)
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://page.example"}} {
		wantProblem(t, srv.askAuth("billing", "", "", "", header...), http.StatusForbidden, "another origin")
		wantTokenError(t, srv.ask([]string{"grant_type", "client_credentials", "client_id", "billing", "client_secret", secret}, header...),
			http.StatusForbidden, "invalid_request", "another origin")
	}
}

// The clients of a base path find the routes for tokens there, unless a proxy removes it.
func TestTokensUnderTheIssuersPath(t *testing.T) {
	fields := form("grant_type", "client_credentials", "client_id", "billing", "client_secret", secret)
	for _, issuer := range []string{"https://a.example/tenant/a", "https://a.example/tenant/a/", "https://a.example/tenant%2Fa"} {
		srv := newTestServer(t, keys.Settings{Issuer: issuer}, withClients(t, clientList(t)...))
		for _, base := range []string{"", "/tenant/a"} {
			for _, end := range []string{"", "/"} {
				if answer := decodeToken(t, srv.do("POST", base+tokenEndpoint+end, fields, "Content-Type", formType)); payload(t, answer.AccessToken)["iss"] != issuer {
					t.Errorf("%s: %s has another issuer", issuer, base+tokenEndpoint+end)
				}
				decodeGrant(t, srv.do("POST", base+authRoute+end, fields, "Content-Type", formType))
			}
			wantTokenError(t, srv.do("GET", base+tokenEndpoint, ""), http.StatusMethodNotAllowed, "invalid_request", "POST")
			wantTokenError(t, srv.do("POST", base+tokenEndpoint, ""), http.StatusBadRequest, "invalid_request", "grant_type")
		}
		for _, path := range []string{"/tenant/b", "/tenant", "/tenant/a/", "/tenant/a/tenant/a", "/x"} {
			for _, route := range []string{tokenEndpoint, authRoute} {
				wantProblem(t, srv.do("POST", path+route, fields, "Content-Type", formType), http.StatusNotFound, "nothing at this path")
			}
		}
		for _, path := range []string{tokenEndpoint + "/tenant/a", authRoute + "/tenant/a"} {
			wantProblem(t, srv.do("POST", path, fields, "Content-Type", formType), http.StatusNotFound, "nothing at this path")
		}
	}
	// Without clients too.
	srv := newTestServer(t, keys.Settings{Issuer: "https://a.example/auth"})
	for _, path := range []string{"/auth", "/auth/auth", "/auth/auth/"} {
		decodeGrant(t, srv.do("POST", path, ""))
	}
}

func TestNothingSecretOfClientsIsLogged(t *testing.T) {
	srv := newClientServer(t)
	signed := srv.assertion(t, 14, srv.clock.Now().Add(-time.Hour), token.Request{Issuer: "signer", Subject: "signer", ID: "1"})
	var issued []string
	for _, path := range []string{authRoute, tokenEndpoint} {
		for _, fields := range [][]string{
			{"client_id", "billing", "client_secret", secret},
			{"client_id", "billing", "client_secret", secret + "x"},
			{"client_id", "billing", "client_secret", secret, "scope", secret},
			{"client_assertion_type", assertionType, "client_assertion", signed},
			{"client_assertion_type", secret, "client_assertion", signed},
		} {
			r := srv.do("POST", path, form(append([]string{"grant_type", "client_credentials"}, fields...)...), "Content-Type", formType)
			body := read(t, r)
			if r.StatusCode == http.StatusOK {
				issued = append(issued, body)
			} else if fields[0] == "client_id" && len(fields) == 4 && strings.Contains(body, secret) || strings.Contains(body, signed) {
				t.Errorf("an error repeats a credential: %s", body)
			}
			srv.do("POST", path, "grant_type=client_credentials", "Content-Type", formType, "Authorization", basic("billing", secret))
			srv.do("POST", path+"?client_secret="+secret, "")
		}
	}
	log, lines := srv.logged.String(), 0
	for _, line := range srv.lines(t) {
		if line["route"] == nil {
			continue
		}
		if lines++; line["level"] != "INFO" {
			t.Errorf("a request for a token is logged at %v: %v", line["level"], line)
		}
	}
	if len(issued) == 0 || lines != 30 {
		t.Fatalf("%d tokens, %d lines; log: %s", len(issued), lines, log)
	}
	for _, private := range []string{secret, signed, strings.Split(signed, ".")[2], strings.TrimPrefix(basic("billing", secret), "Basic "), "eyJ"} {
		if strings.Contains(log, private) {
			t.Errorf("the log contains %.20q…", private)
		}
	}
}

// Credentials that crossed a network as plain text may be known to others.
func TestCredentialsOverPlainHTTP(t *testing.T) {
	behindProxy := func(o *Options) { o.BehindProxy = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }
	for name, tt := range map[string]struct {
		change  func(*Options)
		peer    string
		header  []string
		refused bool
	}{
		"a network":                  {func(*Options) {}, "192.0.2.1:1", nil, true},
		"this machine":               {func(*Options) {}, "127.0.0.1:1", nil, false},
		"a proxy that had https":     {behindProxy, "10.0.0.1:1", []string{"X-Forwarded-Proto", "https", "X-Forwarded-For", "192.0.2.1"}, false},
		"a proxy that had http":      {behindProxy, "10.0.0.1:1", []string{"X-Forwarded-Proto", "http", "X-Forwarded-For", "192.0.2.1"}, true},
		"a peer that is not a proxy": {behindProxy, "192.0.2.1:1", []string{"X-Forwarded-Proto", "https"}, true},
	} {
		srv := newClientServer(t, tt.change)
		for _, path := range []string{tokenEndpoint, authRoute} {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader("grant_type=client_credentials"))
			r.RemoteAddr = tt.peer
			r.Header.Set("Content-Type", formType)
			r.Header.Set("Authorization", basic("billing", secret))
			for i := 0; i+1 < len(tt.header); i += 2 {
				r.Header.Set(tt.header[i], tt.header[i+1])
			}
			w := httptest.NewRecorder()
			srv.Handler().ServeHTTP(w, r)
			if want := map[bool]int{true: http.StatusForbidden, false: http.StatusOK}[tt.refused]; w.Code != want || tt.refused != strings.Contains(w.Body.String(), "use https") {
				t.Errorf("%s, %s: status %d, want %d: %s", name, path, w.Code, want, w.Body)
			}
		}
	}
	anonymous := newTestServer(t, keys.Settings{}) // has no credentials to protect
	wantStatus(t, anonymous.do("POST", "/auth", ""), http.StatusOK)
}

// The limits count the client that a proxy names.
func TestLimitsBehindAProxy(t *testing.T) {
	srv := newClientServer(t, func(o *Options) { o.BehindProxy = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	ask := func(forwarded, password string) *http.Response {
		return srv.ask([]string{"grant_type", "client_credentials", "client_id", "billing", "client_secret", password}, "X-Forwarded-For", forwarded)
	}
	for range failureBurst {
		wantStatus(t, ask("198.51.100.7", "wrong"), http.StatusUnauthorized)
	}
	wantStatus(t, ask("198.51.100.7", secret), http.StatusTooManyRequests)
	wantStatus(t, ask("203.0.113.9, 198.51.100.7", secret), http.StatusTooManyRequests) // what the client wrote does not count
	wantStatus(t, ask("198.51.100.8", secret), http.StatusOK)
	wantTokenError(t, ask("somewhere", secret), http.StatusBadRequest, "invalid_request", "proxy")
}
