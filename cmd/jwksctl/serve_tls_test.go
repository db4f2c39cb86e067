//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/programtest"
)

// renewals are pairs of certificate and private key, of which the link "current" points to
// one, as a mounted secret of Kubernetes has them: both files change at once.
type renewals struct {
	dir   string
	roots *x509.CertPool // has all of them
}

// newRenewals makes n pairs with the serial numbers 1 to n.
func newRenewals(t *testing.T, n int64) *renewals {
	t.Helper()
	r := &renewals{dir: t.TempDir(), roots: x509.NewCertPool()}
	for serial := int64(1); serial <= n; serial++ {
		folder := r.folder(serial)
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		writePair(t, serial, filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key"))
		certificate, err := os.ReadFile(filepath.Join(folder, "tls.crt"))
		if err != nil || !r.roots.AppendCertsFromPEM(certificate) {
			t.Fatal("no certificate: ", err)
		}
	}
	r.use(t, 1)
	return r
}

func (r *renewals) folder(serial int64) string { return filepath.Join(r.dir, fmt.Sprint(serial)) }

func (r *renewals) flags() []string {
	return []string{"--tls-cert", filepath.Join(r.dir, "current", "tls.crt"), "--tls-key", filepath.Join(r.dir, "current", "tls.key")}
}

// use changes the pair.
func (r *renewals) use(t *testing.T, serial int64) {
	t.Helper()
	next := filepath.Join(r.dir, "next")
	if err := os.Symlink(r.folder(serial), next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(r.dir, "current")); err != nil {
		t.Fatal(err)
	}
}

// clientLoad is a number of clients that ask all the time.
type clientLoad struct {
	wait   sync.WaitGroup
	newest atomic.Int64 // the serial number of the certificate at the newest handshake

	mu     sync.Mutex
	failed []string
	asked  int
}

// client returns a client that counts its connections.
func (l *clientLoad) client(roots *x509.CertPool, http2 bool) (_ *http.Client, dials *atomic.Int64) {
	dials = new(atomic.Int64)
	return &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: http2,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, VerifyConnection: func(c tls.ConnectionState) error {
			l.newest.Store(c.PeerCertificates[0].SerialNumber.Int64())
			return nil
		}},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		},
	}}, dials
}

// ask sends requests for tokens and documents until ctx ends.
func (l *clientLoad) ask(ctx context.Context, url string, client *http.Client, major int, fresh bool) {
	for ctx.Err() == nil {
		for _, request := range [][2]string{{"GET", "/jwks"}, {"POST", "/auth"}} {
			err := l.once(request[0], url+request[1], client, major)
			l.mu.Lock()
			l.asked++
			if err != nil {
				l.failed = append(l.failed, err.Error())
			}
			l.mu.Unlock()
		}
		if fresh {
			client.CloseIdleConnections()
		}
	}
}

// once is not canceled at the end of the load, so that each request is answered.
func (l *clientLoad) once(method, url string, client *http.Client, major int) error {
	r, err := http.NewRequestWithContext(context.Background(), method, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || response.ProtoMajor != major {
		return fmt.Errorf("%s %s: %s %s", method, url, response.Proto, response.Status)
	}
	return nil
}

// A certificate is renewed many times under load: no request fails, each client keeps its
// one connection, and new connections get the new certificate. A broken pair changes
// nothing, and the log says so.
func TestRenewalUnderLoad(t *testing.T) {
	const pairs = 20
	pair := newRenewals(t, pairs)
	url, log := serving(t, append([]string{"--port", "0"}, pair.flags()...)...)

	l := &clientLoad{}
	ctx, stop := context.WithCancel(t.Context())
	kept := map[string]*atomic.Int64{}
	for name, http2 := range map[string]bool{"keep-alive": false, "HTTP/2": true} {
		major := 1
		if http2 {
			major = 2
		}
		client, dials := l.client(pair.roots, http2)
		kept[name] = dials
		l.wait.Go(func() { l.ask(ctx, url, client, major, false) })
		fresh, _ := l.client(pair.roots, http2)
		l.wait.Go(func() { l.ask(ctx, url, fresh, major, true) })
	}
	for serial := int64(2); serial <= pairs; serial++ {
		pair.use(t, serial)
		waitFor(t, fmt.Sprintf("certificate %d", serial), func() bool { return l.newest.Load() == serial })
	}
	if err := os.WriteFile(filepath.Join(pair.folder(1), "tls.key"), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	pair.use(t, 1)
	waitFor(t, "the log line about the broken pair", func() bool {
		return strings.Contains(log.soFar(), `"msg":"certificate reload failed; the last one stays","error":"`+pair.dir+`/current/tls.crt, `+pair.dir+`/current/tls.key: tls: failed to find any PEM data in key input"`)
	})
	l.mu.Lock()
	before := l.asked
	l.mu.Unlock()
	waitFor(t, "requests after that", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.asked > before+100
	})
	stop()
	l.wait.Wait()
	if len(l.failed) > 0 {
		t.Errorf("%d of %d requests failed; the first: %s", len(l.failed), l.asked, l.failed[0])
	}
	for name, dials := range kept {
		if n := dials.Load(); n != 1 {
			t.Errorf("%s: the client had to connect %d times", name, n)
		}
	}
	if got := l.newest.Load(); got != pairs {
		t.Errorf("after the broken pair, new connections get certificate %d, want %d", got, pairs)
	}
	if n := strings.Count(log.soFar(), `"msg":"certificate reloaded"`); n != pairs-1 {
		t.Errorf("the log has %d renewals, want %d", n, pairs-1)
	}
	t.Logf("%d requests", l.asked)
}

// The server speaks TLS 1.2 and 1.3, and HTTP/2 over both.
func TestTLSVersions(t *testing.T) {
	pair := newRenewals(t, 1)
	url, _ := serving(t, append([]string{"--port", "0"}, pair.flags()...)...)
	address := strings.TrimPrefix(url, "https://")
	for version, ok := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		d := tls.Dialer{Config: &tls.Config{RootCAs: pair.roots, MinVersion: version, MaxVersion: version, NextProtos: []string{"h2", "http/1.1"}}}
		conn, err := d.DialContext(t.Context(), "tcp", address)
		if !ok {
			if err == nil || !strings.Contains(err.Error(), "protocol version not supported") {
				t.Errorf("%s: got %v", tls.VersionName(version), err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", tls.VersionName(version), err)
		}
		if protocol := conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; protocol != "h2" {
			t.Errorf("%s: protocol %q", tls.VersionName(version), protocol)
		}
		_ = conn.Close()
	}
}

// curl and openssl see the same.
func TestTLSByOtherTools(t *testing.T) {
	for _, tool := range []string{"curl", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			programtest.Missing(t, tool+" is not installed: TLS was not tried with it: apt-get install "+tool)
		}
	}
	pair := newRenewals(t, 1)
	url, _ := serving(t, append([]string{"--port", "0"}, pair.flags()...)...)
	address, ca := strings.TrimPrefix(url, "https://"), filepath.Join(pair.folder(1), "tls.crt")
	curl := []string{"curl", "-sS", "--cacert", ca, "-o", os.DevNull, "-w", "%{http_version} %{response_code}", url + "/jwks"}
	openssl := []string{"openssl", "s_client", "-connect", address, "-CAfile", ca, "-verify_return_error", "-alpn", "h2"}
	for _, tt := range []struct {
		command []string
		ok      bool
		want    string
	}{
		{append(curl, "--http2"), true, "2 200"},
		{append(curl, "--http1.1"), true, "1.1 200"},
		{append(curl, "--http2", "--tls-max", "1.2"), true, "2 200"},
		{append(curl, "--tlsv1.3"), true, "2 200"},
		{append(openssl, "-tls1_2"), true, "ALPN protocol: h2"},
		{append(openssl, "-tls1_3"), true, "ALPN protocol: h2"},
		{append(openssl, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"), false, "alert protocol version"},
		{append(openssl, "-tls1", "-cipher", "DEFAULT@SECLEVEL=0"), false, "alert protocol version"},
	} {
		c := exec.CommandContext(t.Context(), tt.command[0], tt.command[1:]...)
		c.Stdin = new(bytes.Buffer)
		out, err := c.CombinedOutput()
		if (err == nil) != tt.ok || !strings.Contains(string(out), tt.want) {
			t.Errorf("%q: %v, want %q:\n%s", tt.command, err, tt.want, out)
		}
	}
}
