package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
	"github.com/jwksctl/jwksctl/pkg/seal"
	"github.com/jwksctl/jwksctl/pkg/store/memory"
)

// lines returns the log lines so far.
func (srv *testServer) lines(t *testing.T) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(srv.logged.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

func TestRequestIDs(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	for given, kept := range map[string]bool{
		"req-1": true, "a.B_c:d/e+f=": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a b": false, "a\"b": false, "ä": false, "a\nb": false,
	} {
		for _, target := range []string{"/auth", "/jwks", "/nothing"} {
			r := srv.do("POST", target, "", "X-Request-Id", given)
			got := r.Header.Get("X-Request-Id")
			if (got == given) != kept || got == "" {
				t.Errorf("%s: given %q, got %q", target, given, got)
			}
			lines := srv.lines(t)
			if last := lines[len(lines)-1]; last["id"] != got {
				t.Errorf("%s: logged %v, answered %q", target, last["id"], got)
			}
		}
	}
	for _, path := range documents() {
		if got := srv.do("GET", path, "", "X-Request-Id", "").Header.Get("X-Request-Id"); got != "" {
			t.Errorf("%s: generated id %q, which a cache would give to other clients", path, got)
		}
	}
	r := httptest.NewRequest("POST", "/auth", nil)
	r.Header["X-Request-Id"] = []string{"one", "two"}
	w := httptest.NewRecorder()
	srv.Handler().ServeHTTP(w, r)
	if got := w.Header()["X-Request-Id"]; len(got) != 1 || got[0] == "one" || got[0] == "two" {
		t.Errorf("two ids gave %q", got)
	}
}

func TestRequestLog(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	for _, tt := range []struct {
		method, target, level, route string
		status                       float64
	}{
		{"GET", "/jwks", "DEBUG", "/jwks", 200},
		{"GET", "/secret-path?q=secret", "DEBUG", "other", 404},
		{"POST", "/auth?expired=nonsense", "INFO", "/auth", 400},
		{"POST", "/auth", "INFO", "/auth", 200},
	} {
		srv.do(tt.method, tt.target, "")
		lines := srv.lines(t)
		last := lines[len(lines)-1]
		if last["level"] != tt.level || last["route"] != tt.route || last["status"] != tt.status || last["method"] != tt.method || last["client"] != "192.0.2.1" {
			t.Errorf("%s %s: %v", tt.method, tt.target, last)
		}
	}
	if log := srv.logged.String(); strings.Contains(log, "secret") || strings.Contains(log, "nonsense") {
		t.Errorf("the log contains a path or a query: %s", log)
	}
}

func TestPanics(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	srv.route("GET /panic", func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Length", "5")
		panic("out of order")
	})
	srv.route("GET /late", func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusOK)
		panic("too late")
	})
	srv.route("GET /abort", func(http.ResponseWriter, *http.Request) error {
		panic(http.ErrAbortHandler)
	})
	srv.route("GET /unknown", func(http.ResponseWriter, *http.Request) error {
		return fmt.Errorf("disk %d is full", 7)
	})

	r := srv.do("GET", "/panic", "", "X-Request-Id", "p1")
	if r.Header.Get("Content-Length") != "" {
		t.Error("Content-Length of the failed answer was kept")
	}
	wantProblem(t, r, http.StatusInternalServerError, "internal error")
	if log := srv.logged.String(); !strings.Contains(log, "out of order") || !strings.Contains(log, "observe_test.go") || !strings.Contains(log, `"id":"p1"`) {
		t.Errorf("the log lacks the panic, its stack or its id: %s", log)
	}
	for path, logged := range map[string]bool{"/late": true, "/abort": false} {
		func() {
			defer func() {
				if err, ok := recover().(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
					t.Errorf("%s: panics with %v, want http.ErrAbortHandler", path, err)
				}
			}()
			before := len(srv.lines(t))
			defer func() {
				if got := len(srv.lines(t))-before == 2; got != logged {
					t.Errorf("%s: logged the panic: %v, want %v", path, got, logged)
				}
			}()
			srv.do("GET", path, "")
		}()
	}
	r = srv.do("GET", "/unknown", "")
	id := r.Header.Get("X-Request-Id")
	wantProblem(t, r, http.StatusInternalServerError, "internal error")
	if log := srv.logged.String(); !strings.Contains(log, "disk 7 is full") || !strings.Contains(log, id) {
		t.Errorf("the log lacks the error or its id: %s", log)
	}
	if r := srv.do("GET", "/jwks", ""); r.StatusCode != http.StatusOK {
		t.Errorf("GET /jwks after the panics: status %d", r.StatusCode)
	}
}

func TestNothingSecretIsLogged(t *testing.T) {
	srv := newTestServer(t, keys.Settings{}, func(o *Options) { o.RateLimit = 50 })
	key, _, _, err := srv.ring.SigningKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	der, err := key.MarshalPKCS8()
	if err != nil {
		t.Fatal(err)
	}
	const password = "correct-horse-battery"
	var tokens []string
	for range 10 {
		for _, target := range []string{"/auth", "/auth?expired", "/auth?expired=" + password, "/" + password} {
			r := srv.do("POST", target, `{"username":"alice","password":"`+password+`"}`, "Content-Type", jsonType,
				"Authorization", "Bearer "+password, "Cookie", password, "X-Request-Id", "", "Referer", password)
			body := read(t, r)
			var g granted
			if json.Unmarshal([]byte(body), &g) == nil && g.Token != "" {
				tokens = append(tokens, g.Token)
			}
		}
		srv.do("POST", "/auth", `{"sub":"`+password, "Content-Type", jsonType)
		srv.do("POST", "/auth", `{"claims":{"exp":"`+password+`"}}`, "Content-Type", jsonType)
		srv.do("POST", "/auth", "", "X-Request-Id", tokens[len(tokens)-1])
	}
	if err := srv.ring.Rotate(t.Context(), keys.StepRequest{}); err != nil {
		t.Fatal(err)
	}
	srv.clock.Advance(48 * time.Hour) // stale
	srv.do("POST", "/auth", "", "Authorization", "Basic "+password)
	read(t, srv.do("GET", "/metrics", ""))

	log := srv.logged.String()
	if len(tokens) < 10 || !strings.Contains(log, `"status":429`) || !strings.Contains(log, `"status":503`) {
		t.Fatalf("%d tokens; want at least 10, and a 429 and a 503 in the log", len(tokens))
	}
	if strings.Contains(log, password) || strings.Contains(log, "alice") {
		t.Error("the log contains a value that a client sent")
	}
	for _, compact := range tokens {
		for part := range strings.SplitSeq(compact, ".") {
			if strings.Contains(log, part) {
				t.Errorf("the log contains a part of a token: %.20s", part)
			}
		}
	}
	for chunk := range slices.Chunk(der, 24) {
		for _, form := range []string{"%x", "%s", "%v"} {
			if bytes.Contains([]byte(log), fmt.Appendf(nil, form, chunk)) {
				t.Error("the log contains bytes of a private key")
			}
		}
	}
}

func TestReadiness(t *testing.T) {
	srv := newTestServer(t, keys.Settings{MaxStaleness: time.Minute})
	get := func() (int, map[string]any) {
		r := srv.do("GET", "/readyz", "")
		var got map[string]any
		if err := json.Unmarshal([]byte(read(t, r)), &got); err != nil {
			t.Fatal(err)
		}
		if r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("Cache-Control = %q", r.Header.Get("Cache-Control"))
		}
		return r.StatusCode, got
	}
	srv.clock.Advance(3 * time.Second)
	ks := srv.ring.Keyset()
	if code, got := get(); code != 200 || got["ready"] != true || got["kid"] != ks.Active().KeyID() || got["snapshot_age_seconds"] != 3.0 ||
		got["next_rotation"] != ks.NextRotation().UTC().Format(time.RFC3339) {
		t.Errorf("%d %v", code, got)
	}
	srv.clock.Advance(time.Minute)
	if code, got := get(); code != 503 || got["ready"] != false || !strings.Contains(fmt.Sprint(got["reason"]), "not been confirmed") {
		t.Errorf("stale: %d %v", code, got)
	}
	if err := srv.ring.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	srv.draining.Store(true)
	if code, got := get(); code != 503 || got["reason"] != errDraining.Error() {
		t.Errorf("draining: %d %v", code, got)
	}
	if r := srv.do("GET", "/livez", ""); r.StatusCode != 200 {
		t.Errorf("livez while draining: %d", r.StatusCode)
	}
}

func TestMetrics(t *testing.T) {
	srv := newTestServer(t, keys.Settings{MaxStaleness: time.Minute})
	etag := srv.do("GET", "/jwks", "").Header.Get("Etag")
	srv.do("GET", "/jwks", "", "If-None-Match", etag)
	srv.do("POST", "/auth", "")
	srv.do("POST", "/auth?expired", "")
	srv.do("HEAD", "/jwks", "")
	srv.do("BREW", "/pot", "")
	srv.clock.Advance(2 * time.Second)
	if err := srv.ring.Rotate(t.Context(), keys.StepRequest{}); err != nil {
		t.Fatal(err)
	}
	if err := srv.ring.Rotate(t.Context(), keys.StepRequest{}); err == nil {
		t.Fatal("a second rotation passed the gate")
	}
	srv.clock.Advance(2 * time.Second)
	next := srv.ring.Keyset().NextRotation().Sub(srv.clock.Now()).Seconds()
	wantMetrics(t, srv, map[string]string{
		`jwksctl_http_requests_total{method="GET",route="/jwks",status="200"}`:   "1",
		`jwksctl_http_requests_total{method="GET",route="/jwks",status="304"}`:   "1",
		`jwksctl_http_requests_total{method="HEAD",route="/jwks",status="200"}`:  "1",
		`jwksctl_http_requests_total{method="POST",route="/auth",status="200"}`:  "2",
		`jwksctl_http_requests_total{method="other",route="other",status="404"}`: "1",
		`jwksctl_http_request_duration_seconds_count{route="/auth"}`:             "2",
		`jwksctl_tokens_total{alg="RS256",kind="valid"}`:                         "1",
		`jwksctl_tokens_total{alg="RS256",kind="expired"}`:                       "1",
		`jwksctl_tokens_total{alg="ES512",kind="valid"}`:                         "0",
		`jwksctl_sign_wait_seconds_count`:                                        "0",
		`jwksctl_keys{state="active"}`:                                           "1",
		`jwksctl_keys{state="pending"}`:                                          "1",
		`jwksctl_keys{state="retired"}`:                                          "1",
		`jwksctl_keys{state="revoked"}`:                                          "0",
		`jwksctl_keys{state="expired"}`:                                          "0",
		`jwksctl_next_rotation_seconds`:                                          fmt.Sprint(next),
		`jwksctl_snapshot_age_seconds`:                                           "2",
		`jwksctl_ready`:                                                          "1",
		`jwksctl_unreadable_keys`:                                                "0",
		`jwksctl_rotation_overdue_seconds`:                                       "0",
		`jwksctl_rotations_total`:                                                "1",
		`jwksctl_revocations_total`:                                              "0",
		`jwksctl_late_landings_total`:                                            "0",
		`jwksctl_audit_failures_total`:                                           "0",
		`jwksctl_steps_total{step="activate"}`:                                   "1",
		`jwksctl_steps_total{step="revoke"}`:                                     "0",
		`jwksctl_steps_refused_total{guard="gate"}`:                              "1",
	})
	if text := read(t, srv.do("GET", "/metrics", "")); !strings.Contains(text, `version="v1.2.3"`) || !strings.Contains(text, "go_goroutines") || !strings.Contains(text, "process_") {
		t.Error("build info, Go or process metrics are missing")
	}
	srv.clock.Advance(time.Minute)
	wantMetrics(t, srv, map[string]string{`jwksctl_ready`: "0", `jwksctl_snapshot_age_seconds`: "62"})
}

func TestLateLandingsAreCounted(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	late := &lateStore{Store: memory.New(srv.clock.Now)}
	sealer, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	o := keys.Options{Store: late, Sealer: sealer, Clock: keys.Clock{Now: srv.clock.Now}}
	writer, err := keys.Create(t.Context(), o, keystest.Policy(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	o.Store = late.Store
	if srv.o.Ring, err = keys.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	late.land = func(c keys.Change) error {
		srv.clock.Advance(time.Minute)
		c.Deadline = time.Time{}
		return errors.Join(srv.o.Ring.Refresh(t.Context()), late.Store.Swap(t.Context(), c))
	}
	if err := errors.Join(writer.Rotate(t.Context(), keys.StepRequest{}), srv.o.Ring.Step(t.Context())); err != nil {
		t.Fatal(err)
	}
	wantMetrics(t, srv, map[string]string{
		`jwksctl_late_landings_total`:          "1",
		`jwksctl_steps_total{step="postpone"}`: "1",
	})
}

// lateStore has a Swap that a test replaces.
type lateStore struct {
	keys.Store
	land func(keys.Change) error
}

func (s *lateStore) Swap(ctx context.Context, c keys.Change) error {
	if s.land == nil {
		return s.Store.Swap(ctx, c)
	}
	return s.land(c)
}

// With NoMetrics, only MetricsHandler has the metrics, and it has nothing else.
func TestMetricsHandler(t *testing.T) {
	srv := newTestServer(t, keys.Settings{}, func(o *Options) { o.NoMetrics = true })
	wantProblem(t, srv.do("GET", "/metrics", ""), http.StatusNotFound, "metrics_port")
	get := func(method, path string) *http.Response {
		w := httptest.NewRecorder()
		srv.MetricsHandler().ServeHTTP(w, httptest.NewRequest(method, path, http.NoBody))
		return w.Result()
	}
	r := get("GET", "/metrics")
	if body := read(t, r); r.StatusCode != http.StatusOK || !strings.Contains(body, "jwksctl_ready 1") {
		t.Errorf("status %d: %s", r.StatusCode, body)
	}
	wantProblem(t, get("POST", "/metrics"), http.StatusMethodNotAllowed, "this path accepts")
	for _, path := range append(documents(), "/auth", "/livez", "/readyz", "/", "/metrics/x") {
		wantProblem(t, get("POST", path), http.StatusNotFound, "nothing at this path")
	}
	if log := srv.logged.String(); !strings.Contains(log, `"route":"/metrics"`) {
		t.Errorf("the log lacks the request: %s", log)
	}
}

func TestMetricsError(t *testing.T) {
	srv := newTestServer(t, keys.Settings{})
	failed := prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(nil), errors.New("no such counter"))
	srv.metrics.registry.MustRegister(prometheus.CollectorFunc(func(out chan<- prometheus.Metric) { out <- failed }))
	wantProblem(t, srv.do("GET", "/metrics", ""), http.StatusInternalServerError, "internal error")
	if log := srv.logged.String(); !strings.Contains(log, "no such counter") {
		t.Errorf("the log lacks the error: %s", log)
	}
}

// wantMetrics checks values of GET /metrics. want maps a series to its value.
func wantMetrics(t *testing.T, srv *testServer, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for line := range strings.Lines(read(t, srv.do("GET", "/metrics", ""))) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			got[line[:i]] = strings.TrimSpace(line[i+1:])
		}
	}
	for _, series := range slices.Sorted(maps.Keys(want)) {
		if got[series] != want[series] {
			t.Errorf("%s = %q, want %s", series, got[series], want[series])
		}
	}
}

func TestProblemTable(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
	}{
		{keys.ErrStale, 503},
		{keys.ErrUnreadable, 503},
		{keys.ErrUnavailable, 503},
		{errQueueFull, 503},
		{keys.ErrNoSpecimen, 403},
		{jwk.ErrSignature, 500},
	} {
		p, known := problemOf(fmt.Errorf("somewhere: %w, at /secret", tt.err))
		if p.status != tt.status || known != (tt.status != 500) || strings.Contains(p.detail, "secret") || (p.status == 503) != (p.retry > 0) {
			t.Errorf("%v: %+v, known %v", tt.err, p, known)
		}
	}
}
