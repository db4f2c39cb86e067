package main

import (
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A redirect to a page that answers 200 does not make a server ready.
func TestHealthcheckFollowsNoRedirect(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			http.Redirect(w, r, "/login", http.StatusFound)
		}
	}))
	defer s.Close()
	p, stdout, stderr := newProcess(t, "")
	if code := execute(t.Context(), p, []string{"healthcheck", s.URL}); code != exitFailed || stdout.Len() > 0 || !strings.Contains(stderr.String(), "is not ready: 302 Found") {
		t.Errorf("got %d, %q: %s", code, stdout, stderr)
	}
}

// A certificate is trusted if it is the one of tls_cert, or if its authority is in the
// file of --ca-file.
func TestHealthcheckOverTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	defer s.Close()
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "cert.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(file, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	own := []string{"--port", port, "--tls-cert", file, "--tls-key", "unused"}
	for name, tt := range map[string]struct {
		args []string
		want int
	}{
		"own":             {own, exitDone},
		"own by a name":   {append(own, "--host", "localhost"), exitDone},
		"authority":       {[]string{s.URL, "--ca-file", file}, exitDone},
		"system's":        {[]string{s.URL}, exitFailed},
		"own for another": {append(own, s.URL), exitFailed},
		"broken":          {[]string{s.URL, "--ca-file", "healthcheck_test.go"}, exitFailed},
		"missing":         {[]string{"--port", port, "--tls-cert", file + ".none", "--tls-key", "unused"}, exitFailed},
	} {
		p, _, stderr := newProcess(t, "")
		if code := execute(t.Context(), p, append([]string{"healthcheck"}, tt.args...)); code != tt.want {
			t.Errorf("%s: got %d, want %d: %s", name, code, tt.want, stderr)
		}
	}
}
