package server

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
	"github.com/jwksctl/jwksctl/pkg/seal"
	"github.com/jwksctl/jwksctl/pkg/store/memory"
)

// testServer is a Server with a real ring, a fake clock and a recorded log.
type testServer struct {
	*Server
	ring   *keys.Ring
	clock  *keystest.Clock
	logged *lockedBuffer
}

// lockedBuffer is a buffer that may be read and written concurrently.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newRing creates a keyset in memory and takes the steps that are due.
func newRing(t testing.TB, now func() time.Time, s keys.Settings) *keys.Ring {
	t.Helper()
	if s.Issuer == "" {
		s.Issuer = "https://issuer.example"
	}
	if s.Algorithm == "" {
		s.Algorithm = jwk.RS256 // the default; keystest has prepared keys for it
	}
	policy, err := keys.NewPolicy(s)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.Create(t.Context(), keys.Options{
		Store: memory.New(now), Sealer: sealer, Clock: keys.Clock{Now: now}, Generate: keystest.Generator(),
	}, policy)
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	return ring
}

func newTestServer(t testing.TB, s keys.Settings, change ...func(*Options)) *testServer {
	t.Helper()
	srv := &testServer{clock: keystest.NewClock(), logged: &lockedBuffer{}}
	srv.ring = newRing(t, srv.clock.Now, s)
	o := Options{
		Ring: srv.ring, Now: srv.clock.Now, Version: "v1.2.3",
		Log: slog.New(slog.NewJSONHandler(srv.logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&o)
	}
	srv.Server = New(o)
	return srv
}

// do sends one request. header is a list of name, value, name, value.
func (srv *testServer) do(method, target, body string, header ...string) *http.Response {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	if srv.o.Clients != nil {
		r.TLS = &tls.ConnectionState{} // or the credentials would be refused
	}
	w := httptest.NewRecorder()
	srv.Handler().ServeHTTP(w, r)
	return w.Result()
}

func read(t testing.TB, r *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// wantProblem checks that a response is a problem document with this status and a
// detail that contains the given text.
func wantProblem(t *testing.T, r *http.Response, status int, detail string) {
	t.Helper()
	body := read(t, r)
	var p struct {
		Type      string
		Title     string
		Status    int
		Detail    string
		RequestID string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("status %d, not a problem document: %v: %s", r.StatusCode, err, body)
	}
	switch {
	case r.StatusCode != status || p.Status != status:
		t.Errorf("status = %d, document says %d, want %d: %s", r.StatusCode, p.Status, status, body)
	case r.Header.Get("Content-Type") != "application/problem+json":
		t.Errorf("Content-Type = %q", r.Header.Get("Content-Type"))
	case r.Header.Get("Cache-Control") != "no-store":
		t.Errorf("Cache-Control = %q, want no-store", r.Header.Get("Cache-Control"))
	case p.Type != "about:blank" || p.Title != http.StatusText(status):
		t.Errorf("type, title = %q, %q", p.Type, p.Title)
	case p.RequestID == "" || p.RequestID != r.Header.Get("X-Request-Id"):
		t.Errorf("request_id = %q, header has %q", p.RequestID, r.Header.Get("X-Request-Id"))
	case !strings.Contains(p.Detail, detail):
		t.Errorf("detail = %q, want it to contain %q", p.Detail, detail)
	}
}

// documents returns the paths of the public documents.
func documents() []string {
	return []string{"/jwks", "/.well-known/jwks.json", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"}
}

func TestRoutesAndMethods(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	readable := map[string]int{"GET": 200, "HEAD": 200}
	withPreflight := map[string]int{"GET": 200, "HEAD": 200, "OPTIONS": 204}
	routes := map[string]map[string]int{
		"/auth": {"POST": 200}, "/livez": readable, "/readyz": readable, "/metrics": readable,
	}
	for _, path := range documents() {
		routes[path] = withPreflight
	}
	for path, methods := range routes {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"} {
			t.Run(method+" "+path, func(t *testing.T) {
				r := srv.do(method, path, "")
				if got := r.Header.Get("X-Content-Type-Options"); got != "nosniff" {
					t.Errorf("X-Content-Type-Options = %q", got)
				}
				if got, want := r.Header.Get("Access-Control-Allow-Origin"), methods["OPTIONS"] != 0; (got == "*") != want {
					t.Errorf("Access-Control-Allow-Origin = %q", got)
				}
				if want, ok := methods[method]; ok {
					if r.StatusCode != want {
						t.Errorf("status = %d, want %d", r.StatusCode, want)
					}
					return
				}
				wantProblem(t, r, http.StatusMethodNotAllowed, "this path accepts")
				if got, want := r.Header.Get("Allow"), strings.Join(slices.Sorted(maps.Keys(methods)), ", "); got != want {
					t.Errorf("Allow = %q, want %q", got, want)
				}
			})
		}
	}
	for _, path := range []string{"/", "/nothing", "/nothing/", "/auth/x", "/debug/pprof/"} {
		wantProblem(t, srv.do("GET", path, ""), http.StatusNotFound, "nothing at this path")
	}
}

// http.ServeMux redirects such paths by itself, and a client may follow a POST with a GET.
func TestNoPathRedirects(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	for _, path := range []string{"//auth", "//livez", "///jwks", "/./jwks", "//auth/", "/jwks//", "/x/../auth", "/.well-known//jwks.json", "/auth//", "/auth%2F", "/auth%2F/"} {
		for _, method := range []string{"GET", "POST", "OPTIONS", "CONNECT"} {
			r := srv.do(method, path, "")
			if location := r.Header.Get("Location"); location != "" {
				t.Errorf("%s %s redirects to %s", method, path, location)
			}
			wantProblem(t, r, http.StatusNotFound, "nothing at this path")
		}
	}
	wantMetrics(t, srv, map[string]string{`jwksctl_http_request_duration_seconds_count{route="other"}`: "44"})
}

func TestRequestTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t)
		for line, want := range map[string]int{
			"GET /jwks":                       http.StatusOK,
			"GET http://other.example/jwks":   http.StatusOK,
			"GET http://other.example//jwks":  http.StatusOK,
			"GET http://other.example":        http.StatusNotFound,
			"DELETE //jwks":                   http.StatusMethodNotAllowed,
			"POST /%61uth":                    http.StatusOK, // the same path as /auth (RFC 3986, section 6.2.2.2)
			"POST /auth%2F":                   http.StatusNotFound,
			"POST /%2Fauth":                   http.StatusNotFound,
			"POST http://other.example//auth": http.StatusNotFound,
			"GET /.well-known%2Fjwks.json":    http.StatusNotFound,
			"OPTIONS *":                       http.StatusNotFound,
			"CONNECT other.example:443":       http.StatusNotFound,
			"CONNECT /auth":                   http.StatusMethodNotAllowed,
		} {
			conn, err := s.listener.dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, line+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			r, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if r.StatusCode != want {
				t.Errorf("%s: status %d, want %d", line, r.StatusCode, want)
			}
			if want != http.StatusOK {
				wantProblem(t, r, want, "path")
			}
			_ = conn.Close()
		}
		s.stop()
		<-s.ended
	})
}

func TestFinalSlash(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	for path, method := range map[string]string{
		"/auth": "POST", "/livez": "GET", "/readyz": "GET", "/metrics": "GET", "/jwks": "GET", "/.well-known/jwks.json": "GET",
		"/.well-known/openid-configuration": "GET", "/.well-known/oauth-authorization-server": "GET", "//jwks": "GET",
	} {
		r, want := srv.do(method, path+"/", ""), srv.do(method, path, "")
		if r.StatusCode != http.StatusOK {
			t.Errorf("%s %s/: status %d", method, path, r.StatusCode)
		}
		for _, name := range []string{"Content-Type", "Etag", "Access-Control-Allow-Origin"} {
			if got, want := r.Header.Get(name), want.Header.Get(name); got != want {
				t.Errorf("%s %s/: %s = %q, want %q", method, path, name, got, want)
			}
		}
	}
	if g := decodeGrant(t, srv.do("POST", "/auth/?expired=true", "")); g.ExpiresIn != 0 {
		t.Errorf("/auth/ ignores its query: %+v", g)
	}
	wantProblem(t, srv.do("GET", "/auth/", ""), http.StatusMethodNotAllowed, "POST")
	wantMetrics(t, srv, map[string]string{`jwksctl_http_requests_total{method="POST",route="/auth",status="200"}`: "3"})
}

func TestDocumentsAnswerTwoSlashes(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	for _, path := range documents() {
		want := read(t, srv.do("GET", path, ""))
		if r := srv.do("GET", "/"+path, ""); r.StatusCode != http.StatusOK || read(t, r) != want {
			t.Errorf("GET /%s = %d", path, r.StatusCode)
		}
		if r := srv.do("OPTIONS", "/"+path, ""); r.StatusCode != http.StatusNoContent {
			t.Errorf("OPTIONS /%s = %d", path, r.StatusCode)
		}
	}
}

func TestPprofHandler(t *testing.T) {
	for path, want := range map[string]int{"/debug/pprof/": 200, "/debug/pprof/cmdline": 200, "/debug/pprof/goroutine": 200, "/jwks": 404} {
		w := httptest.NewRecorder()
		PprofHandler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want {
			t.Errorf("GET %s = %d, want %d", path, w.Code, want)
		}
	}
}
