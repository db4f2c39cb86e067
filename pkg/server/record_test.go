package server

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/audit"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// withAudit makes the server write its audit log to w.
func withAudit(w io.Writer) func(*Options) {
	return func(o *Options) { o.Audit = audit.New(w) }
}

// events returns the lines of an audit log.
func events(t *testing.T, log *lockedBuffer) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(log.String()) {
		var event map[string]any
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatal(err)
		}
		out = append(out, event)
	}
	return out
}

func TestAuditOfTokens(t *testing.T) {
	var log lockedBuffer
	srv := newClientServer(t, withAudit(&log))
	for _, tt := range []struct {
		name string
		ask  func() *http.Response
		want map[string]any // besides time, request_id and kid
	}{
		{"the token endpoint", func() *http.Response {
			return srv.ask([]string{"grant_type", "client_credentials", "client_id", "billing", "client_secret", secret, "scope", "read"})
		}, map[string]any{"route": "/oauth2/token", "client": "billing", "method": "client_secret_post", "sub": "billing", "scope": "read"}},
		{"HTTP Basic", func() *http.Response {
			return srv.ask([]string{"grant_type", "client_credentials"}, "Authorization", basic(oddID, oddSecret))
		}, map[string]any{"route": "/oauth2/token", "client": oddID, "method": "client_secret_basic", "sub": oddID}},
		{"an assertion", func() *http.Response {
			return srv.ask([]string{
				"grant_type", "client_credentials", "client_assertion_type", assertionType,
				"client_assertion", srv.assertion(t, 14, srv.clock.Now(), token.Request{Issuer: "signer", Subject: "signer", ID: "1"}),
			})
		}, map[string]any{"route": "/oauth2/token", "client": "signer", "method": "private_key_jwt", "sub": "signer"}},
		{"a platform's token", func() *http.Response {
			return srv.ask([]string{
				"grant_type", "client_credentials", "client_assertion_type", assertionType,
				"client_assertion", srv.assertion(t, 15, srv.clock.Now(), token.Request{Issuer: platform, Subject: "system:pod:7"}),
			})
		}, map[string]any{"route": "/oauth2/token", "client": "pod", "method": "platform_token", "sub": "pod"}},
		{"/auth, expired", func() *http.Response {
			return srv.askAuth("two", "?expired", formType, "resource=https://api.example")
		}, map[string]any{"route": "/auth", "client": "two", "method": "client_secret_basic", "sub": "two", "expired": true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.ask()
			compact := decodeToken(t, r).AccessToken
			all := events(t, &log)
			got, claims := all[len(all)-1], payload(t, compact)
			want := map[string]any{
				"event": "token_issued", "address": "192.0.2.1", "aud": []any{"https://api.example"},
				"request_id": r.Header.Get("X-Request-Id"), "jti": claims["jti"], "exp": claims["exp"], "kid": headerOf(t, compact)["kid"],
			}
			maps.Copy(want, tt.want)
			if at, err := time.Parse(time.RFC3339, got["time"].(string)); err != nil || !at.Equal(srv.clock.Now()) {
				t.Errorf("time %v, %v", got["time"], err)
			}
			delete(got, "time")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(log.String(), strings.Split(compact, ".")[2]) || strings.Contains(log.String(), secret) {
				t.Error("the audit log has a token or a secret")
			}
		})
	}
}

func TestAuditOfAnonymousTokens(t *testing.T) {
	var log lockedBuffer
	srv := newTestServer(t, keys.Settings{}, withAudit(&log))
	g := decodeGrant(t, srv.do("POST", "/auth", `{"sub":"alice","aud":["a","b"],"scope":"r"}`, "Content-Type", jsonType, "X-Request-Id", "mine"))
	srv.do("POST", "/auth", "{", "Content-Type", jsonType)
	srv.do("POST", "/auth?expired=maybe", "")
	srv.do("GET", "/auth", "")
	srv.do("POST", "/nothing", "")
	all := events(t, &log)
	if len(all) != 3 {
		t.Fatalf("%d lines, want 3: %s", len(all), &log)
	}
	if e := all[0]; e["event"] != "token_issued" || e["sub"] != "alice" || e["scope"] != "r" || e["request_id"] != "mine" || e["jti"] != payload(t, g.Token)["jti"] || e["client"] != nil {
		t.Errorf("the token: %v", e)
	}
	for _, e := range all[1:] {
		if e["event"] != "token_refused" || e["error"] != "invalid_request" || e["reason"] == nil || e["jti"] != nil {
			t.Errorf("a refusal: %v", e)
		}
	}
}

func TestAuditOfRefusals(t *testing.T) {
	var log lockedBuffer
	srv := newClientServer(t, withAudit(&log))
	wrong := strings.Repeat("w", 48)
	for _, tt := range []struct {
		name, body    string
		client, error any
		reason        string
	}{
		{"a bad body", "grant_type=x&scope=a&scope=b", nil, "invalid_request", "scope is given more than once"},
		{"no credentials", "grant_type=client_credentials", nil, "invalid_client", "no credentials"},
		{"an unknown client", form("grant_type", "client_credentials", "client_id", "nobody", "client_secret", wrong), "nobody", "invalid_client", ""},
		{"a wrong secret", form("grant_type", "client_credentials", "client_id", "billing", "client_secret", wrong), "billing", "invalid_client", ""},
		{"an expired assertion", form("grant_type", "client_credentials", "client_assertion_type", assertionType, "client_assertion",
			srv.assertion(t, 14, srv.clock.Now().Add(-time.Hour), token.Request{Issuer: "signer", Subject: "signer", ID: "1"})), "signer", "invalid_client", ""},
		{"a scope", form("grant_type", "client_credentials", "client_id", "billing", "client_secret", secret, "scope", "root"), "billing", "invalid_scope", "root"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := srv.do("POST", tokenEndpoint, tt.body, "Content-Type", formType)
			all := events(t, &log)
			e := all[len(all)-1]
			reason, _ := e["reason"].(string)
			if e["event"] != "token_refused" || e["client"] != tt.client || e["error"] != tt.error || reason == "" || !strings.Contains(reason, tt.reason) ||
				e["request_id"] != r.Header.Get("X-Request-Id") || e["route"] != tokenEndpoint || e["address"] != "192.0.2.1" || e["jti"] != nil {
				t.Errorf("%v", e)
			}
		})
	}
	// The reasons of invalid_client differ, and none of them is in an answer.
	reasons := map[any]bool{}
	for _, e := range events(t, &log) {
		reasons[e["reason"]] = true
	}
	if len(reasons) != 6 {
		t.Errorf("reasons %v", reasons)
	}
	if strings.Contains(log.String(), wrong) || strings.Contains(log.String(), "eyJ") {
		t.Errorf("the audit log has a credential: %s", &log)
	}
}

// A flood must not fill the disk, and a failure of the server says nothing about a client.
// The answer does not say why a client is not authenticated, so that one of the logs must.
func TestReasonIsInOneLog(t *testing.T) {
	var audited lockedBuffer
	for _, tt := range []struct {
		name   string
		change func(*Options)
		lines  int
	}{
		{"without an audit log", func(*Options) {}, 1},
		{"with an audit log", withAudit(&audited), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := newClientServer(t, tt.change)
			wrong := strings.Repeat("w", 48)
			r := srv.ask([]string{"grant_type", "client_credentials", "client_id", "billing", "client_secret", wrong})
			srv.ask([]string{"grant_type", "client_credentials", "client_id", "billing", "client_secret", secret, "scope", "root"})
			var got []map[string]any
			for _, line := range events(t, srv.logged) {
				if line["msg"] == "client refused" {
					got = append(got, line)
				}
			}
			if len(got) != tt.lines {
				t.Fatalf("the log of the server has %d lines, want %d: %v", len(got), tt.lines, got)
			}
			for _, line := range got {
				if line["id"] != r.Header.Get("X-Request-Id") || line["client_id"] != "billing" || line["method"] != "client_secret_post" || line["reason"] != "the secret is wrong" {
					t.Errorf("%v", line)
				}
			}
			if strings.Contains(srv.logged.String(), wrong) {
				t.Error("the log has the secret")
			}
		})
	}
	if !strings.Contains(audited.String(), "the secret is wrong") {
		t.Errorf("the audit log has no reason: %s", &audited)
	}
}

func TestAuditHasNoLineForLoad(t *testing.T) {
	var log lockedBuffer
	srv := newClientServer(t, withAudit(&log), func(o *Options) { o.RateLimit = 1 })
	for range 50 {
		srv.do("POST", tokenEndpoint, "")
	}
	if n := len(events(t, &log)); n != 1 {
		t.Errorf("%d lines for one request and 49 that were too many", n)
	}
	srv.clock.Advance(48 * time.Hour) // the keyset is stale
	r := srv.ask([]string{"grant_type", "client_credentials", "client_id", "billing", "client_secret", secret})
	wantTokenError(t, r, http.StatusServiceUnavailable, "temporarily_unavailable", "not been confirmed")
	if n := len(events(t, &log)); n != 1 || r.Header.Get("Retry-After") == "" {
		t.Errorf("%d lines; headers %v", n, r.Header)
	}
}

type brokenWriter struct{ writes int }

func (b *brokenWriter) Write([]byte) (int, error) {
	b.writes++
	return 0, errors.New("no space left on device")
}

func TestNoTokenWithoutItsAuditLine(t *testing.T) {
	for _, optional := range []bool{false, true} {
		var broken brokenWriter
		var log *audit.Log
		srv := newClientServer(t, func(o *Options) {
			log = audit.New(&broken)
			log.Optional, o.Audit = optional, log
		})
		good := []string{"grant_type", "client_credentials", "client_id", "billing", "client_secret", secret}
		for _, r := range []*http.Response{srv.ask(good), srv.ask(good[:4]), srv.askAuth("billing", "", "", "")} {
			body := read(t, r)
			if strings.Contains(body, "eyJ") != (optional && r.StatusCode == http.StatusOK) || strings.Contains(body, "device") {
				t.Errorf("optional %v: %s", optional, body)
			}
			if !optional && (r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "") {
				t.Errorf("status %d, headers %v: %s", r.StatusCode, r.Header, body)
			}
		}
		if broken.writes == 0 {
			t.Error("nothing was written")
		}
		want := map[bool]string{true: "2", false: "0"}[optional]
		wantMetrics(t, srv, map[string]string{`jwksctl_tokens_total{alg="RS256",kind="valid"}`: want})
	}
	srv := newTestServer(t, keys.Settings{}, withAudit(&brokenWriter{})) // anonymous
	wantProblem(t, srv.do("POST", "/auth", ""), http.StatusServiceUnavailable, "the audit log cannot be written")
}

func TestTokenMetrics(t *testing.T) {
	srv := newClientServer(t)
	srv.ask([]string{"grant_type", "client_credentials", "client_id", "billing", "client_secret", secret})
	srv.askAuth("billing", "", "", "")
	srv.askAuth("two", "?expired", formType, "resource=https://api.example")
	srv.ask([]string{"grant_type", "client_credentials", "client_id", "nobody", "client_secret", secret})
	srv.ask([]string{"grant_type", "client_credentials", "client_id", "billing", "client_secret", secret, "scope", "root"})
	wantMetrics(t, srv, map[string]string{
		`jwksctl_client_tokens_total{client="billing"}`:                                 "2",
		`jwksctl_client_tokens_total{client="two"}`:                                     "1",
		`jwksctl_token_refusals_total{error="invalid_client"}`:                          "1",
		`jwksctl_token_refusals_total{error="invalid_scope"}`:                           "1",
		`jwksctl_tokens_total{alg="RS256",kind="valid"}`:                                "2",
		`jwksctl_tokens_total{alg="RS256",kind="expired"}`:                              "1",
		`jwksctl_http_requests_total{method="POST",route="/oauth2/token",status="401"}`: "1",
		`jwksctl_http_request_duration_seconds_count{route="/oauth2/token"}`:            "3",
	})
	if text := read(t, srv.do("GET", "/metrics", "")); strings.Contains(text, "nobody") {
		t.Error("a client that is not in the list has a series")
	}
	anonymous := newTestServer(t, keys.Settings{})
	anonymous.do("POST", "/auth?expired=maybe", "")
	wantMetrics(t, anonymous, map[string]string{`jwksctl_token_refusals_total{error="invalid_request"}`: "1"})
	if text := read(t, anonymous.do("GET", "/metrics", "")); strings.Contains(text, "client_tokens") {
		t.Error("a server without clients counts their tokens")
	}
}

// The server stays ready while its log cannot be written, because it publishes the keys. An
// operator sees what is wrong.
func TestReadinessNamesTheProblemOfTheAuditLog(t *testing.T) {
	w := &failingOnce{}
	srv := newTestServer(t, keys.Settings{}, withAudit(w))
	get := func(want any, failures string) {
		t.Helper()
		r := srv.do("GET", "/readyz", "")
		var got map[string]any
		if err := json.Unmarshal([]byte(read(t, r)), &got); err != nil {
			t.Fatal(err)
		}
		if r.StatusCode != http.StatusOK || got["ready"] != true || got["audit"] != want {
			t.Errorf("%d %v, want the audit log %v", r.StatusCode, got, want)
		}
		wantMetrics(t, srv, map[string]string{"jwksctl_audit_failures_total": failures, "jwksctl_ready": "1"})
	}
	get(nil, "0")
	srv.do("POST", "/auth", "")
	get("the audit log cannot be written", "1")
	srv.do("POST", "/auth", "")
	get(nil, "1")
}

type failingOnce struct{ failed bool }

func (f *failingOnce) Write(b []byte) (int, error) {
	if !f.failed {
		f.failed = true
		return 0, errors.New("/secret/path: no space left on device")
	}
	return len(b), nil
}
