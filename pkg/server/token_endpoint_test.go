package server

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
	"github.com/jwksctl/jwksctl/pkg/token"
)

const (
	secret   = "0123456789abcdef0123456789abcdef0123456789abcdef"
	platform = "https://platform.example"

	// An id and a secret that change if they are not form-encoded.
	oddID, oddSecret = "a+b:c%/d", secret + "+ %/:="
)

// clientList is a list with a client for each way to authenticate. The keys are the last
// of keystest, which the ring of a test does not reach.
func clientList(t testing.TB) []any {
	t.Helper()
	hashOf := func(secret string) string {
		sum := sha256.Sum256([]byte(secret))
		return hex.EncodeToString(sum[:])
	}
	hash := hashOf(secret)
	api := []any{"https://api.example"}
	set := func(i int) map[string]any {
		data, err := json.Marshal(jwk.Set{Keys: []jwk.PublicKey{testKey(t, i).Public()}})
		if err != nil {
			t.Fatal(err)
		}
		var set map[string]any
		if err := json.Unmarshal(data, &set); err != nil {
			t.Fatal(err)
		}
		return set
	}
	return []any{
		map[string]any{"id": "billing", "audiences": api, "scopes": []any{"read", "write"}, "secret_sha256": []any{hash}, "claims": map[string]any{"team": "payments"}},
		map[string]any{"id": "two", "audiences": []any{"https://api.example", "https://b.example"}, "secret_sha256": []any{hash}, "max_ttl": "15m", "expired_tokens": true},
		map[string]any{"id": oddID, "audiences": api, "secret_sha256": []any{hashOf(oddSecret)}},
		map[string]any{"id": "slow", "audiences": api, "secret_sha256": []any{hash}, "rate_limit": 0.5},
		map[string]any{"id": "signer", "audiences": api, "jwks": set(14)},
		map[string]any{"id": "pod", "audiences": api, "trust": []any{map[string]any{
			"issuer": platform, "subject": "system:pod:*", "audience": "https://issuer.example", "jwks": set(15),
		}}},
	}
}

func testKey(t testing.TB, i int) jwk.PrivateKey {
	t.Helper()
	key, err := keystest.RSA(jwk.RS256, i)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// withClients sets Options.Clients. Its registry has the clock and the issuer of the server.
func withClients(t testing.TB, entries ...any) func(*Options) {
	t.Helper()
	return func(o *Options) {
		clients, err := client.Parse(entries)
		if err != nil {
			t.Fatal(err)
		}
		ring := o.Ring
		o.Clients = client.New(client.Options{
			Issuer:        func() string { return ring.Policy().Issuer },
			TokenEndpoint: func() string { return strings.TrimSuffix(ring.Policy().Issuer, "/") + tokenEndpoint },
			Now:           o.Now,
		})
		if err := o.Clients.Set(clients); err != nil {
			t.Fatal(err)
		}
	}
}

func newClientServer(t testing.TB, change ...func(*Options)) *testServer {
	t.Helper()
	return newTestServer(t, keys.Settings{}, append([]func(*Options){withClients(t, clientList(t)...)}, change...)...)
}

// fixedSigner signs with one key at one time.
type fixedSigner struct {
	key jwk.PrivateKey
	now time.Time
}

func (s fixedSigner) SigningKey(context.Context) (key jwk.PrivateKey, now, latest time.Time, err error) {
	return s.key, s.now, s.now.Add(time.Hour), nil
}

// assertion signs a client assertion with the key i of keystest.
func (srv *testServer) assertion(t testing.TB, i int, at time.Time, r token.Request) string {
	t.Helper()
	if r.Audience == nil {
		r.Audience = []string{"https://issuer.example"}
	}
	if r.TTL == 0 {
		r.TTL = 30 * time.Second
	}
	minted, err := token.Mint(t.Context(), fixedSigner{testKey(t, i), at}, r)
	if err != nil {
		t.Fatal(err)
	}
	return minted.Compact
}

// ask sends a form to the token endpoint. fields is a list of name, value, name, value.
func (srv *testServer) ask(fields []string, header ...string) *http.Response {
	return srv.do("POST", tokenEndpoint, form(fields...), append([]string{"Content-Type", formType}, header...)...)
}

func form(fields ...string) string {
	var pairs []string
	for i := 0; i+1 < len(fields); i += 2 {
		pairs = append(pairs, url.QueryEscape(fields[i])+"="+url.QueryEscape(fields[i+1]))
	}
	return strings.Join(pairs, "&")
}

func basic(id, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(password)))
}

// tokenAnswer is the answer of the token endpoint, as a client decodes it.
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"`
	Scope       string `json:"scope"`
}

func decodeToken(t testing.TB, r *http.Response) tokenAnswer {
	t.Helper()
	body := read(t, r)
	var answer tokenAnswer
	if err := json.Unmarshal([]byte(body), &answer); r.StatusCode != http.StatusOK || err != nil {
		t.Fatalf("status %d, %v: %s", r.StatusCode, err, body)
	}
	return answer
}

// wantTokenError checks that a response is an error of RFC 6749, with a description that
// contains the given text.
func wantTokenError(t testing.TB, r *http.Response, status int, code, description string) {
	t.Helper()
	body := read(t, r)
	var got map[string]string
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("status %d, not an error of RFC 6749: %v: %s", r.StatusCode, err, body)
	}
	switch {
	case r.StatusCode != status || got["error"] != code:
		t.Errorf("status %d, error %q, want %d, %q: %s", r.StatusCode, got["error"], status, code, body)
	case r.Header.Get("Content-Type") != jsonType || r.Header.Get("Cache-Control") != "no-store" || r.Header.Get("Pragma") != "no-cache":
		t.Errorf("headers %v", r.Header)
	case !strings.Contains(got["error_description"], description) || got["error_description"] == "":
		t.Errorf("description %q, want it to contain %q", got["error_description"], description)
	case errorDescription(got["error_description"]) != got["error_description"]:
		t.Errorf("description %q has a character that RFC 6749 does not allow", got["error_description"])
	case len(got) != 2:
		t.Errorf("members %v", got)
	}
}

func TestTokenEndpointGrants(t *testing.T) {
	srv := newClientServer(t)
	now := srv.clock.Now()
	grant := []string{"grant_type", "client_credentials"}
	for _, tt := range []struct {
		name   string
		fields []string
		header []string
		sub    string
		scope  any
		claims map[string]any // besides iss, aud, iat, jti, exp, sub, client_id and scope
	}{
		{"HTTP Basic", nil, []string{"Authorization", basic("billing", secret)}, "billing", "read write", map[string]any{"team": "payments"}},
		{"the same id in the body", []string{"client_id", "billing"}, []string{"Authorization", basic("billing", secret)}, "billing", "read write", map[string]any{"team": "payments"}},
		{"basic in lower case", nil, []string{"Authorization", "b" + basic("billing", secret)[1:]}, "billing", "read write", map[string]any{"team": "payments"}},
		{"HTTP Basic of what needs encoding", nil, []string{"Authorization", basic(oddID, oddSecret)}, oddID, nil, nil},
		{"secret in the body", []string{"client_id", oddID, "client_secret", oddSecret}, nil, oddID, nil, nil},
		{"some scopes", []string{"client_id", "billing", "client_secret", secret, "scope", "write"}, nil, "billing", "write", map[string]any{"team": "payments"}},
		{"resource", []string{"client_id", "two", "client_secret", secret, "resource", "https://api.example"}, nil, "two", nil, nil},
		{"audience", []string{"client_id", "two", "client_secret", secret, "audience", "https://api.example"}, nil, "two", nil, nil},
		{"the same resource and audience", []string{"client_id", "two", "client_secret", secret, "audience", "https://api.example", "resource", "https://api.example"}, nil, "two", nil, nil},
		{"empty parameters", []string{"client_id", "billing", "client_secret", secret, "scope", "", "resource", "", "audience", "", "client_assertion", "", "client_assertion_type", ""}, nil, "billing", "read write", map[string]any{"team": "payments"}},
		{"unknown parameters", []string{"client_id", "billing", "client_secret", secret, "sub", "root", "claims", "{}", "ttl", "1", "x", "1", "x", "2"}, nil, "billing", "read write", map[string]any{"team": "payments"}},
		{"an assertion", []string{
			"client_assertion_type", assertionType,
			"client_assertion", srv.assertion(t, 14, now, token.Request{Issuer: "signer", Subject: "signer", ID: "1"}),
		}, nil, "signer", nil, nil},
		{"an assertion for the token endpoint, with client_id", []string{
			"client_id", "signer", "client_assertion_type", assertionType,
			"client_assertion", srv.assertion(t, 14, now, token.Request{Issuer: "signer", Subject: "signer", ID: "2", Audience: []string{"https://issuer.example/oauth2/token"}}),
		}, nil, "signer", nil, nil},
		{"a platform's token", []string{
			"client_assertion_type", assertionType,
			"client_assertion", srv.assertion(t, 15, now, token.Request{Issuer: platform, Subject: "system:pod:7"}),
		}, nil, "pod", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := srv.ask(append(slices.Clone(grant), tt.fields...), tt.header...)
			if r.Header.Get("Cache-Control") != "no-store" || r.Header.Get("Pragma") != "no-cache" || r.Header.Get("Content-Type") != jsonType {
				t.Errorf("headers %v", r.Header)
			}
			answer := decodeToken(t, r)
			if err := srv.verify(t, answer.AccessToken, srv.clock.Now()); err != nil {
				t.Fatal(err)
			}
			if typ := headerOf(t, answer.AccessToken)["typ"]; typ != "at+jwt" {
				t.Errorf("typ = %v", typ)
			}
			claims := payload(t, answer.AccessToken)
			lifetime := int64(claims["exp"].(float64) - claims["iat"].(float64))
			if want := map[string]int64{"two": 900}[tt.sub]; want > 0 && lifetime != want || want == 0 && lifetime != 3600 {
				t.Errorf("lifetime %d", lifetime)
			}
			if scope, _ := claims["scope"].(string); answer.TokenType != "Bearer" || answer.ExpiresIn != lifetime || answer.Scope != scope {
				t.Errorf("answer %+v, lifetime %d, scope %q", answer, lifetime, scope)
			}
			if claims["jti"] != r.Header.Get("X-Request-Id") {
				t.Errorf("jti %v, request id %q", claims["jti"], r.Header.Get("X-Request-Id"))
			}
			want := map[string]any{"iss": "https://issuer.example", "aud": "https://api.example", "sub": tt.sub, "client_id": tt.sub}
			if tt.scope != nil {
				want["scope"] = tt.scope
			}
			maps.Copy(want, tt.claims)
			for _, name := range []string{"iat", "exp", "jti"} {
				delete(claims, name)
			}
			if diff := cmp.Diff(want, claims); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTokenEndpointErrors(t *testing.T) {
	srv := newClientServer(t)
	good := form("grant_type", "client_credentials", "client_id", "billing", "client_secret", secret)
	two := form("grant_type", "client_credentials", "client_id", "two", "client_secret", secret)
	auth := []string{"Authorization", basic("billing", secret)}
	for _, tt := range []struct {
		name, query, contentType, body string
		header                         []string
		status                         int
		code, description              string
	}{
		{"no body", "", "", "", nil, 400, "invalid_request", "grant_type is missing: send grant_type=client_credentials"},
		{"no grant", "", formType, "client_id=billing&client_secret=" + secret, nil, 400, "invalid_request", "grant_type is missing"},
		{"an empty grant", "", formType, "grant_type=&client_id=billing&client_secret=" + secret, nil, 400, "invalid_request", "grant_type is missing"},
		{"another grant", "", formType, "grant_type=authorization_code", nil, 400, "unsupported_grant_type", "grant_type must be client_credentials"},
		{"a grant in upper case", "", formType, "grant_type=CLIENT_CREDENTIALS", nil, 400, "unsupported_grant_type", "client_credentials"},
		{"the password grant", "", formType, "grant_type=password&username=a&password=b", nil, 400, "unsupported_grant_type", "client_credentials"},
		{"JSON", "", jsonType, `{"grant_type":"client_credentials"}`, auth, 415, "invalid_request", "Content-Type: application/x-www-form-urlencoded"},
		{"no type", "", "", good, nil, 415, "invalid_request", "the body must be a form"},
		{"another charset", "", formType + "; charset=iso-8859-1", good, nil, 415, "invalid_request", "in UTF-8"},
		{"multipart", "", "multipart/form-data; boundary=b", "--b--", auth, 415, "invalid_request", "the body must be a form"},
		{"JSON as a form", "", formType, `{"grant_type":"client_credentials"}`, auth, 400, "invalid_request", "the body is JSON"},
		{"a broken form", "", formType, good + "&a=%zz", nil, 400, "invalid_request", "valid form"},
		{"a semicolon", "", formType, good + ";scope=read", nil, 400, "invalid_request", "valid form"},
		{"compressed", "", formType, good, []string{"Content-Encoding", "gzip"}, 415, "invalid_request", "compressed"},
		{"too large", "", formType, good + "&a=" + strings.Repeat("a", maxBody), nil, 413, "invalid_request", "larger than 32768"},
		{"credentials in the query", "?client_id=billing&client_secret=" + secret, formType, "grant_type=client_credentials", nil, 400, "invalid_request", "the query must be empty"},
		{"the grant in the query", "?grant_type=client_credentials", formType, good, nil, 400, "invalid_request", "the query must be empty"},
		{"an unknown parameter in the query", "?x=1", formType, good, nil, 400, "invalid_request", "the query must be empty"},
		{"grant_type twice", "", formType, good + "&grant_type=client_credentials", nil, 400, "invalid_request", "grant_type is given more than once"},
		{"client_id twice", "", formType, good + "&client_id=two", nil, 400, "invalid_request", "client_id is given more than once"},
		{"client_id twice, once empty", "", formType, good + "&client_id=", nil, 400, "invalid_request", "client_id is given more than once"},
		{"client_id twice, once encoded", "", formType, good + "&%63lient_id=two", nil, 400, "invalid_request", "client_id is given more than once"},
		{"client_secret twice", "", formType, good + "&client_secret=" + secret, nil, 400, "invalid_request", "client_secret is given more than once"},
		{"scope twice", "", formType, good + "&scope=read&scope=write", nil, 400, "invalid_request", "scope is given more than once"},
		{"client_assertion twice", "", formType, "grant_type=client_credentials&client_assertion=a&client_assertion=b", nil, 400, "invalid_request", "client_assertion is given more than once"},
		{"client_assertion_type twice", "", formType, "grant_type=client_credentials&client_assertion_type=a&client_assertion_type=a", nil, 400, "invalid_request", "client_assertion_type is given more than once"},
		{"Basic and a secret", "", formType, good, auth, 400, "invalid_request", "authenticates in several ways"},
		{"Basic and an assertion", "", formType, "grant_type=client_credentials&client_assertion=a&client_assertion_type=" + assertionType, auth, 400, "invalid_request", "authenticates in several ways"},
		{"a secret and an assertion", "", formType, good + "&client_assertion=a&client_assertion_type=" + assertionType, nil, 400, "invalid_request", "authenticates in several ways"},
		{"Bearer and a secret", "", formType, good, []string{"Authorization", "Bearer x"}, 400, "invalid_request", "authenticates in several ways"},
		{"two Authorization headers", "", formType, "grant_type=client_credentials", append(slices.Clone(auth), auth...), 400, "invalid_request", "several Authorization headers"},
		{"an assertion without a type", "", formType, "grant_type=client_credentials&client_assertion=a", nil, 400, "invalid_request", "client_assertion needs client_assertion_type=" + assertionType},
		{"an assertion of another type", "", formType, "grant_type=client_credentials&client_assertion=a&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:saml2-bearer", nil, 400, "invalid_request", "client_assertion needs"},
		{"a type without an assertion", "", formType, "grant_type=client_credentials&client_assertion_type=" + assertionType, nil, 400, "invalid_request", "client_assertion is missing"},
		{"a secret without an id", "", formType, "grant_type=client_credentials&client_secret=" + secret, nil, 400, "invalid_request", "client_id is missing"},
		{"Basic and another id", "", formType, "grant_type=client_credentials&client_id=two", auth, 400, "invalid_request", "client_id in the body differs"},
		{"Basic with a broken escape", "", formType, "grant_type=client_credentials", []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("a%zz:b"))}, 400, "invalid_request", "form-encoded"},
		{"no credentials", "", formType, "grant_type=client_credentials", nil, 401, "invalid_client", "the request has no credentials: send HTTP Basic"},
		{"an id alone", "", formType, "grant_type=client_credentials&client_id=billing", nil, 401, "invalid_client", "the request has no credentials"},
		{"Bearer", "", formType, "grant_type=client_credentials", []string{"Authorization", "Bearer x"}, 401, "invalid_client", "is not HTTP Basic"},
		{"Basic that is not base64", "", formType, "grant_type=client_credentials", []string{"Authorization", "Basic !"}, 401, "invalid_client", "is not HTTP Basic"},
		{"Basic without a colon", "", formType, "grant_type=client_credentials", []string{"Authorization", "Basic YQ=="}, 401, "invalid_client", "is not HTTP Basic"},
		{"a scope that is not listed", "", formType, good + "&scope=read+root", nil, 400, "invalid_scope", "root"},
		{"a scope in other letters", "", formType, good + "&scope=READ", nil, 400, "invalid_scope", "READ"},
		{"a resource that is not listed", "", formType, good + "&resource=https://other.example", nil, 400, "invalid_target", ""},
		{"several resources", "", formType, two + "&resource=https://api.example&resource=https://b.example", nil, 400, "invalid_target", ""},
		{"a resource and another audience", "", formType, two + "&resource=https://api.example&audience=https://b.example", nil, 400, "invalid_target", ""},
		{"no resource of two", "", formType, two, nil, 400, "invalid_target", "resource"},
		{"a scope that RFC 6749 does not allow in a description", "", formType, good + "&scope=%22%5C%C3%A4%00", nil, 400, "invalid_scope", "without quotation marks and backslashes"},
		{"broken UTF-8 in the scope", "", formType, good + "&scope=%ff", nil, 400, "invalid_scope", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv.clock.Advance(time.Second) // so that the failures before slow down none
			r := srv.do("POST", tokenEndpoint+tt.query, tt.body, append([]string{"Content-Type", tt.contentType}, tt.header...)...)
			if got, want := r.Header.Get("WWW-Authenticate") != "", tt.status == 401 && len(tt.header) > 0; got != want {
				t.Errorf("WWW-Authenticate = %q", r.Header.Get("WWW-Authenticate"))
			}
			wantTokenError(t, r, tt.status, tt.code, tt.description)
		})
	}
}

func TestTokenEndpointAcceptsCharset(t *testing.T) {
	srv := newClientServer(t)
	good := form("grant_type", "client_credentials", "client_id", "billing", "client_secret", secret)
	for _, contentType := range []string{formType + "; charset=utf-8", formType + ";charset=UTF-8", strings.ToUpper(formType)} {
		if answer := decodeToken(t, srv.do("POST", tokenEndpoint, good, "Content-Type", contentType)); answer.AccessToken == "" {
			t.Errorf("%s: %+v", contentType, answer)
		}
	}
}

func TestTokenEndpointMethods(t *testing.T) {
	srv := newClientServer(t)
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS"} {
		r := srv.do(method, tokenEndpoint, "")
		if r.Header.Get("Allow") != "POST" || r.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: headers %v", method, r.Header)
		}
		wantTokenError(t, r, http.StatusMethodNotAllowed, "invalid_request", "POST")
	}
	for _, path := range []string{"//oauth2/token", "/oauth2", "/oauth2/token/x", "/oauth2//token", "/oauth2%2Ftoken"} {
		wantProblem(t, srv.do("POST", path, ""), http.StatusNotFound, "nothing at this path")
	}
}

func TestNoTokenEndpointWithoutClients(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"anonymous": func(*Options) {},
		"off":       func(o *Options) { withClients(t, clientList(t)...)(o); o.NoTokens = true },
	} {
		srv := newTestServer(t, keys.Settings{}, change)
		for _, method := range []string{"GET", "POST"} {
			wantProblem(t, srv.do(method, tokenEndpoint, ""), http.StatusNotFound, "nothing at this path")
		}
		if document := read(t, srv.do("GET", "/.well-known/oauth-authorization-server", "")); strings.Contains(document, "token_endpoint") || strings.Contains(document, "grant") {
			t.Errorf("%s: %s", name, document)
		}
	}
}

// An attacker must not find out from an answer which clients there are, or what is wrong
// with a credential.
func TestRefusedCredentialsReadTheSame(t *testing.T) {
	srv := newClientServer(t)
	now := srv.clock.Now()
	ofSigner := token.Request{Issuer: "signer", Subject: "signer", ID: "1"}
	other := ofSigner
	other.Audience = []string{"https://other.example"}
	unknown := token.Request{Issuer: "nobody", Subject: "nobody", ID: "1"}
	foreign := token.Request{Issuer: "https://other.example", Subject: "x"}
	used := srv.assertion(t, 14, now, ofSigner)
	decodeToken(t, srv.ask([]string{"grant_type", "client_credentials", "client_assertion_type", assertionType, "client_assertion", used}))
	long := strings.Repeat("b", 48)
	secrets := [][2]string{{"billing", long}, {"nobody", long}, {"", long}, {"signer", long}, {"billing", "short"}, {"billing", secret + "x"}, {"billing", strings.ToUpper(secret)}}
	assertions := []string{
		"a.b.c", used,
		srv.assertion(t, 14, now.Add(-time.Hour), ofSigner),
		srv.assertion(t, 14, now.Add(time.Hour), ofSigner),
		srv.assertion(t, 13, now, ofSigner),
		srv.assertion(t, 14, now, other),
		srv.assertion(t, 14, now, unknown),
		srv.assertion(t, 14, now, foreign),
		srv.assertion(t, 15, now, token.Request{Issuer: platform, Subject: "system:node:7"}),
	}
	for _, path := range []string{tokenEndpoint, authRoute} {
		seen := map[string]bool{}
		check := func(challenged bool, r *http.Response) {
			t.Helper()
			body, id := read(t, r), r.Header.Get("X-Request-Id")
			if r.StatusCode != http.StatusUnauthorized || !strings.Contains(body, id) || (r.Header.Get("WWW-Authenticate") != "") != challenged {
				t.Errorf("%s: status %d, headers %v: %s", path, r.StatusCode, r.Header, body)
			}
			seen[strings.ReplaceAll(body, id, "ID")] = true
			srv.clock.Advance(time.Second) // so that the failures before slow down none
		}
		for _, s := range secrets {
			check(true, srv.do("POST", path, "grant_type=client_credentials", "Content-Type", formType, "Authorization", basic(s[0], s[1])))
			if s[0] != "" {
				check(false, srv.do("POST", path, form("grant_type", "client_credentials", "client_id", s[0], "client_secret", s[1]), "Content-Type", formType))
			}
		}
		for _, a := range assertions {
			check(false, srv.do("POST", path, form("grant_type", "client_credentials", "client_assertion_type", assertionType, "client_assertion", a), "Content-Type", formType))
		}
		check(false, srv.do("POST", path, form("grant_type", "client_credentials", "client_id", "billing", "client_assertion_type", assertionType,
			"client_assertion", srv.assertion(t, 14, srv.clock.Now(), token.Request{Issuer: "signer", Subject: "signer", ID: path})), "Content-Type", formType))
		if len(seen) != 1 {
			t.Errorf("%s: the answers differ: %v", path, seen)
		}
	}
}

// A fault of the server has the shape that clients of the token endpoint read, too.
func TestTokenEndpointFaults(t *testing.T) {
	srv := newClientServer(t)
	w := httptest.NewRecorder()
	fault := errors.New("disk 7 is full")
	r := httptest.NewRequest(http.MethodPost, tokenEndpoint, nil)
	srv.fail(&response{ResponseWriter: w, route: tokenEndpoint}, r, fault)
	wantTokenError(t, w.Result(), http.StatusInternalServerError, "server_error", "internal error")
	srv.queue = nil // so that the handler panics
	wantTokenError(t, srv.ask([]string{"grant_type", "client_credentials", "client_id", "billing", "client_secret", secret}),
		http.StatusInternalServerError, "server_error", "internal error")
	if log := srv.logged.String(); !strings.Contains(log, "disk 7 is full") || !strings.Contains(log, "handler panicked") {
		t.Errorf("log: %s", log)
	}
}
