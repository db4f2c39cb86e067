package remote_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/remote"
)

func TestFetch(t *testing.T) {
	key := newKey(t)
	body := setOf(t, key)
	server := httptest.NewServer(says(body,
		"Content-Type", "text/plain", "Cache-Control", "public", "Cache-Control", "max-age=60",
		"ETag", `"v1"`, "Last-Modified", "Mon, 01 Jun 2026 10:00:00 GMT", "Age", "20"))
	defer server.Close()
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

	got, err := remote.Fetch(t.Context(), server.URL, remote.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Set.Keys) != 1 || !got.Set.Keys[0].Equal(key) {
		t.Errorf("keys are %v", got.Set.Keys)
	}
	got.Set.Keys = nil
	want := remote.Document{
		URL:          server.URL,
		Raw:          []byte(body),
		ContentType:  "text/plain",
		CacheControl: "public, max-age=60",
		ETag:         `"v1"`,
		LastModified: "Mon, 01 Jun 2026 10:00:00 GMT",
		Age:          20 * time.Second,
		FetchedAt:    now,
		FreshUntil:   now.Add(40 * time.Second),
		StaleUntil:   now.Add(40*time.Second + time.Hour),
	}
	unexported := cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "date" }, cmp.Ignore())
	if diff := cmp.Diff(want, got, unexported); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
}

// A member that cannot be used does not affect the others (RFC 7517, section 5),
// and a key that should never have been published is not used.
func TestFetchUnusableMembers(t *testing.T) {
	good := newKey(t)
	members := []string{
		`{"kty":"AKP","alg":"ML-DSA-44","kid":"pq","pub":"AAAA"}`,
		`{"kty":"EC","crv":"P-256","kid":"no-y","x":"AAAA"}`,
		`{"kty":"EC","crv":"P-999","kid":"curve","x":"AAAA","y":"AAAA"}`,
		`{"kty":"oct","kid":"shared","k":"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}`,
		`{"kty":"OKP","crv":"Ed25519","kid":"private","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}`,
		`"not an object"`,
	}
	raw, err := good.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	body := `{"keys":[` + strings.Join(append(members, string(raw)), ",") + `]}`
	server := httptest.NewServer(says(body))
	defer server.Close()

	doc, err := remote.Fetch(t.Context(), server.URL, remote.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(doc.Set.Keys) != 1 || !doc.Set.Keys[0].Equal(good) {
		t.Errorf("usable keys are %v", doc.Set.Keys)
	}
	if len(doc.Problems) != len(members) {
		t.Errorf("%d problems, want %d: %v", len(doc.Problems), len(members), doc.Problems)
	}
	for _, p := range doc.Problems {
		if strings.Contains(p.Err.Error(), "nWGxne") {
			t.Errorf("problem %v shows the private part", p)
		}
	}
}

func TestFetchRefusesAnswers(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"503", fails(http.StatusServiceUnavailable), "503 Service Unavailable"},
		{"401", fails(http.StatusUnauthorized), "401 Unauthorized"},
		{"204", fails(http.StatusNoContent), "204 No Content"},
		{"304 to nobody's question", fails(http.StatusNotModified), "304 Not Modified"},
		{"nothing", says(""), "empty"},
		{"html", says("\n<!DOCTYPE html><title>Sign in</title>", "Content-Type", "application/json"), "web page"},
		{"array", says(`[{"kty":"OKP"}]`), "not a JSON object"},
		{"string", says(`"keys"`), "not a JSON object"},
		{"truncated", says(`{"keys":[`), "not a JWK Set"},
		{"trailing data", says(`{"keys":[]}{}`), "not a JWK Set"},
		{"no keys member", says(`{"jwks_uri":"https://example.com"}`), "not a JWK Set"},
		{"too large", says(`{"keys":[],"x":"` + strings.Repeat("x", 4096) + `"}`), "larger than 4096 bytes"},
		{"too large once unpacked", bomb, "larger than 4096 bytes"},
		{"too large a header", says(`{"keys":[]}`, "X", strings.Repeat("x", 128<<10)), "header"},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"keys":[]}`)
		}, "unexpected EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(tt.answer)
			defer server.Close()
			_, err := remote.Fetch(t.Context(), server.URL+"/jwks?key=hunter2", remote.Options{MaxSize: 4096})
			checkUnavailable(t, err, tt.want)
		})
	}
}

func bomb(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	_, _ = io.WriteString(z, `{"keys":[],"x":"`+strings.Repeat("x", 1<<20)+`"}`)
	_ = z.Close()
}

func checkUnavailable(t *testing.T, err error, want string) {
	t.Helper()
	if !errors.Is(err, remote.ErrUnavailable) || !strings.Contains(err.Error(), want) {
		t.Errorf("error is %v, want ErrUnavailable with %q", err, want)
	}
	if err != nil && strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %q tells a secret", err)
	}
}

func TestFetchAtTheSizeLimit(t *testing.T) {
	body := setOf(t, newKey(t))
	server := httptest.NewServer(says(body))
	defer server.Close()
	if _, err := remote.Fetch(t.Context(), server.URL, remote.Options{MaxSize: int64(len(body))}); err != nil {
		t.Error(err)
	}
}

// endless is a body without an end, and counts what is read of it.
type endless struct{ read int64 }

func (e *endless) Read(b []byte) (int, error) {
	e.read += int64(len(b))
	return copy(b, bytes.Repeat([]byte{'{'}, len(b))), nil
}

func (e *endless) Close() error { return nil }

func (e *endless) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: e, ContentLength: -1}, nil
}

func TestFetchReadsNoFurtherThanTheLimit(t *testing.T) {
	body := &endless{}
	_, err := remote.Fetch(t.Context(), address, remote.Options{Transport: body, MaxSize: 4096})
	checkUnavailable(t, err, "larger than 4096 bytes")
	if body.read > 4097 {
		t.Errorf("%d bytes were read", body.read)
	}
}

func TestNegativeOptionsAreDefaults(t *testing.T) {
	server := httptest.NewServer(says(setOf(t, newKey(t))))
	defer server.Close()
	doc, err := remote.Fetch(t.Context(), server.URL, remote.Options{Timeout: -1, MaxSize: -1, Cooldown: -1, DefaultMaxAge: -1, MaxMaxAge: -1})
	if err != nil || doc.FreshUntil.Sub(doc.FetchedAt) != 5*time.Minute {
		t.Errorf("fresh for %v, error %v", doc.FreshUntil.Sub(doc.FetchedAt), err)
	}
}

func TestFetchLeavesNoConnection(t *testing.T) {
	closed := make(chan struct{})
	server := httptest.NewUnstartedServer(says(setOf(t, newKey(t))))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			close(closed)
		}
	}
	server.Start()
	defer server.Close()
	if _, err := remote.Fetch(t.Context(), server.URL, remote.Options{}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("the connection is still open")
	}
}

func TestFetchNobodyThere(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	_, err := remote.Fetch(t.Context(), server.URL+"/?key=hunter2", remote.Options{})
	checkUnavailable(t, err, "connection refused")
}

func TestFetchRedirects(t *testing.T) {
	var strayed atomic.Bool
	body := setOf(t, newKey(t))
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		strayed.Store(true)
		says(body)(w, r)
	}))
	defer other.Close()

	mux := http.NewServeMux()
	mux.HandleFunc("/jwks", says(body))
	for i := range 5 {
		mux.Handle(fmt.Sprintf("/hops/%d", i+1), http.RedirectHandler(fmt.Sprintf("/hops/%d", i), http.StatusFound))
	}
	mux.HandleFunc("/hops/0", says(body))
	mux.Handle("/stray", http.RedirectHandler(other.URL+"/?key=hunter2", http.StatusFound))
	mux.Handle("/stray-308", http.RedirectHandler(other.URL, http.StatusPermanentRedirect))
	server := httptest.NewServer(mux)
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	mux.Handle("/absolute", http.RedirectHandler(server.URL+"/jwks", http.StatusMovedPermanently))
	mux.Handle("/userinfo", http.RedirectHandler("http://user:hunter2@"+host+"/jwks", http.StatusFound))
	mux.Handle("/scheme", http.RedirectHandler("https://"+host+"/jwks", http.StatusFound))
	mux.Handle("/name", http.RedirectHandler(strings.Replace(server.URL, "127.0.0.1", "localhost", 1)+"/jwks", http.StatusFound))
	mux.Handle("/nowhere", fails(http.StatusFound))

	tests := []struct{ path, want string }{
		{"/hops/3", ""},
		{"/hops/4", "more than 3 redirects"},
		{"/absolute", ""},
		{"/stray", "another origin"},
		{"/stray-308", "another origin"},
		{"/scheme", "another origin"},
		{"/name", "another origin"},
		{"/userinfo", "user name or password"},
		{"/nowhere", "302 Found"},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			_, err := remote.Fetch(t.Context(), server.URL+tt.path, remote.Options{})
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			checkUnavailable(t, err, tt.want)
		})
	}
	if strayed.Load() {
		t.Error("the other server was asked")
	}
}

func TestFetchTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(says(setOf(t, newKey(t))))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo) // a refused certificate is expected here
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	if _, err := remote.Fetch(t.Context(), server.URL, remote.Options{RootCAs: roots}); err != nil {
		t.Errorf("with its authority: %v", err)
	}
	_, err := remote.Fetch(t.Context(), server.URL, remote.Options{})
	checkUnavailable(t, err, "certificate")
}

// The time limit includes each part of the answer.
func TestFetchTimeout(t *testing.T) {
	drips := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, " ")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Second)
		}
	}
	for name, answer := range map[string]http.HandlerFunc{"no header": hangs, "slow body": drips} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				_, err := remote.Fetch(t.Context(), address, remote.Options{Transport: inMemory(t, answer)})
				checkUnavailable(t, err, "no complete response within 5s")
				if d := time.Since(begin); d != 5*time.Second {
					t.Errorf("it took %s", d)
				}
			})
		})
	}
}

func TestFetchCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := remote.Fetch(ctx, address, remote.Options{Transport: inMemory(t, http.HandlerFunc(hangs))})
		checkUnavailable(t, err, "deadline")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v does not say whose deadline it was", err)
		}
	})
}
