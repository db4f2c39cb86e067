//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/programtest"
	"github.com/jwksctl/jwksctl/pkg/store/postgrestest"
)

const (
	exampleIssuer = "https://tokens.example.com" // that of configs/nginx.conf
	exampleMaxAge = 3 * time.Second              // M; long enough that a second more than M is less than 2M
)

// configs/nginx.conf in a real nginx, in front of two replicas on one PostgreSQL: no
// request fails while the replicas are restarted one after the other, a token's key is in
// every JWK Set that nginx sends, and no set is older than jwks_max_age.
func TestNginxExample(t *testing.T) {
	if _, err := exec.LookPath("nginx"); err != nil {
		programtest.Missing(t, "nginx is not installed: configs/nginx.conf was not run: apt-get install nginx-light")
	}
	replicas := startReplicas(t, 2)
	site := startNginx(t, replicas)

	traffic := site.startTraffic(t)
	for _, r := range replicas {
		r.restart(t)
	}
	waitFor(t, "the cache of nginx to expire twice", func() bool { return traffic.expirations() >= 2 })
	traffic.end(t)

	token, err := site.ask("/auth")
	if err != nil {
		t.Fatal(err)
	}
	revoke := replicas[0].command("keys", "revoke", token.kids[0], "--force", "--confirm", token.kids[0])
	if out, err := revoke.CombinedOutput(); err != nil {
		t.Fatalf("keys revoke: %v\n%s", err, out)
	}
	waitFor(t, "the revoked key to leave nginx", func() bool {
		set, err := site.ask("/jwks")
		return err == nil && !slices.Contains(set.kids, token.kids[0])
	})
	for _, r := range replicas {
		r.checkClients(t)
	}
}

// replica is a server that can be restarted on the same port.
type replica struct {
	dir, store, port string
	serve            *exec.Cmd
}

func startReplicas(t *testing.T, n int) []*replica {
	dir := t.TempDir()
	store := postgrestest.Start(t).CreateDatabase(t)
	var all []*replica
	for range n {
		r := &replica{dir: dir, store: store, port: strconv.Itoa(programtest.Port(t))}
		r.start(t)
		all = append(all, r)
	}
	return all
}

// command runs jwksctl with the store of the replica.
func (r *replica) command(args ...string) *exec.Cmd {
	c := exec.CommandContext(context.Background(), "jwksctl", args...)
	c.Env = append(os.Environ(), "HOME="+r.dir, "XDG_STATE_HOME="+r.dir, "JWKSCTL_STORE="+r.store, "JWKSCTL_SEAL_KEY=file:"+r.dir+"/seal.key", "GORACE=atexit_sleep_ms=0")
	return c
}

func (r *replica) start(t *testing.T) {
	t.Helper()
	ready := filepath.Join(r.dir, "ready-"+r.port)
	r.serve = r.command("serve", "--port", r.port, "--issuer", exampleIssuer, "--algorithm", "ES256",
		"--jwks-max-age", exampleMaxAge.String(), "--rotation-interval", "36s", "--drain-delay", "1500ms", "--ready-file", ready, "--behind-proxy", "127.0.0.1", "--insecure-anonymous")
	log, err := os.OpenFile(filepath.Join(r.dir, "log-"+r.port), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	r.serve.Stderr = log
	if err := r.serve.Start(); err != nil {
		t.Fatal(err)
	}
	serve := r.serve
	t.Cleanup(func() {
		_ = serve.Process.Kill() // it has ended if it was restarted
		_ = serve.Wait()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("log of the replica on port %s:\n%s", r.port, text)
		}
	})
	waitFor(t, "the replica to be ready", func() bool {
		_, err := os.Stat(ready)
		return err == nil
	})
}

// checkClients checks that the log of the replica has the address of the client, and not
// that of nginx or one that the client wrote.
func (r *replica) checkClients(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "log-"+r.port))
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, `"route":"/auth"`) {
			lines++
			if !strings.Contains(line, `"client":"127.0.0.2"`) {
				t.Fatalf("the replica on port %s logged %s", r.port, line)
			}
		}
	}
	if lines == 0 {
		t.Errorf("the replica on port %s logged no request for a token", r.port)
	}
}

func (r *replica) restart(t *testing.T) {
	t.Helper()
	if err := r.serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := r.serve.Wait(); err != nil {
		t.Errorf("a replica ended with %v", err)
	}
	r.start(t)
}

// site is what clients see: nginx by the name of the issuer.
type site struct {
	client *http.Client
	nginx  *exec.Cmd
}

// startNginx runs the example with the ports and paths of this test.
func startNginx(t *testing.T, replicas []*replica) *site {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.pem"), filepath.Join(dir, "tls.key")
	writePair(t, 1, certFile, keyFile)
	roots := x509.NewCertPool()
	if cert, err := os.ReadFile(certFile); err != nil || !roots.AppendCertsFromPEM(cert) {
		t.Fatal("no certificate: ", err)
	}
	example, err := os.ReadFile("../../configs/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(programtest.Port(t))
	text := string(example)
	for _, change := range [][2]string{
		{"listen 443 ssl", "listen 127.0.0.1:" + port + " ssl"},
		{"127.0.0.1:8081", "127.0.0.1:" + replicas[0].port},
		{"127.0.0.1:8082", "127.0.0.1:" + replicas[1].port},
		{"allow 127.0.0.1;", "allow 127.0.0.2;"},
		{"/run/nginx.pid", dir + "/pid"},
		{"/var/log/nginx/error.log", "stderr"},
		{"/var/cache/nginx/jwksctl", dir + "/cache"},
		{"/etc/nginx/tls/tokens.example.com.pem", certFile},
		{"/etc/nginx/tls/tokens.example.com.key", keyFile},
		// /jwks has this header already; now any other location that caches shows it too.
		{"http {\n", "http {\n    add_header X-Cache-Status $upstream_cache_status always;\n" + temporaryPaths(dir)},
	} {
		if strings.Count(text, change[0]) != 1 {
			t.Fatalf("configs/nginx.conf has %q %d times, want once", change[0], strings.Count(text, change[0]))
		}
		text = strings.Replace(text, change[0], change[1], 1)
	}
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	directives := "daemon off;"
	if os.Getuid() == 0 {
		directives += " user root;" // others may not open the folder of the test
	}
	s := &site{nginx: exec.CommandContext(context.WithoutCancel(t.Context()), "nginx", "-e", "stderr", "-c", path, "-g", directives)}
	s.nginx.Stderr = t.Output()
	if err := s.nginx.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.nginx.Process.Signal(syscall.SIGTERM)
		_ = s.nginx.Wait()
	})
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}} // no address of a proxy
	s.client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", "127.0.0.1:"+port)
		},
	}}
	waitFor(t, "nginx to answer", func() bool {
		_, err := s.ask("/jwks")
		return err == nil
	})
	return s
}

// temporaryPaths lets nginx run as a user without rights on its default folders.
func temporaryPaths(dir string) string {
	var b strings.Builder
	for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, "    %s_temp_path %s/%s;\n", name, dir, name)
	}
	return b.String()
}

// response is what the test looks at: a token and its kid, or the kids of a JWK Set and
// its age.
type response struct {
	kids  []string
	token string
	age   time.Duration
	cache string // what the cache of nginx did: "HIT", "EXPIRED" and others, "" if there is none
}

// ask posts to /auth, and gets any other path. The status must be 200.
func (s *site) ask(path string) (response, error) {
	method := http.MethodGet
	if path == "/auth" {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(context.Background(), method, exampleIssuer+path, http.NoBody)
	if err != nil {
		return response{}, err
	}
	// What a client writes there does not reach the replica.
	request.Header.Set("X-Forwarded-For", "203.0.113.9")
	request.Header.Set("X-Forwarded-Proto", "http")
	request.Header.Set("Forwarded", "for=203.0.113.9;proto=http")
	got, err := s.client.Do(request)
	if err != nil {
		return response{}, err
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err != nil || got.StatusCode != http.StatusOK {
		return response{}, fmt.Errorf("%s %s: %s, %v: %s", method, path, got.Status, err, body)
	}
	sent, err := http.ParseTime(got.Header.Get("Date"))
	if err != nil {
		return response{}, err
	}
	var content struct {
		KeyID string `json:"kid"` // of a token
		Token string `json:"token"`
		Keys  []struct {
			KeyID string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(body, &content); err != nil {
		return response{}, err
	}
	r := response{age: time.Since(sent), token: content.Token, cache: got.Header.Get("X-Cache-Status")}
	if path == "/auth" {
		r.kids = append(r.kids, content.KeyID)
	}
	for _, k := range content.Keys {
		r.kids = append(r.kids, k.KeyID)
	}
	return r, nil
}

// traffic is a number of clients that ask all the time.
type traffic struct {
	site *site
	stop context.CancelFunc
	wait sync.WaitGroup

	mu     sync.Mutex
	cached []string // the kids of the newest JWK Set
	tokens map[string]bool
	sets   int
	states map[string]int // how many sets had this state of the cache
	oldest time.Duration  // the greatest age of a JWK Set
	failed []string
}

func (s *site) startTraffic(t *testing.T) *traffic {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context()) // it ends before nginx does, also if the test fails
	l := &traffic{site: s, stop: stop, tokens: map[string]bool{}, states: map[string]int{}}
	l.fetch()
	for range 2 {
		l.wait.Go(func() { repeat(ctx, l.fetch) })
		l.wait.Go(func() { repeat(ctx, l.mint) })
	}
	return l
}

func repeat(ctx context.Context, do func()) {
	for ctx.Err() == nil {
		do()
	}
}

func (l *traffic) fetch() {
	r, err := l.site.ask("/jwks")
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed = append(l.failed, err.Error())
		return
	}
	l.sets++
	l.states[r.cache]++
	l.cached, l.oldest = r.kids, max(l.oldest, r.age)
}

// expirations is how often nginx fetched the JWK Set anew because its copy was too old.
func (l *traffic) expirations() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.states["EXPIRED"]
}

// mint gets a new token, whose key must be in the JWK Set that was fetched before.
func (l *traffic) mint() {
	l.mu.Lock()
	cached := l.cached
	l.mu.Unlock()
	r, err := l.site.ask("/auth")
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.failed = append(l.failed, err.Error())
	case r.cache != "":
		l.failed = append(l.failed, "/auth is cached: X-Cache-Status is "+r.cache)
	case r.token == "" || l.tokens[r.token]:
		l.failed = append(l.failed, fmt.Sprintf("/auth sent the token %q twice, or none", r.token))
	case !slices.Contains(cached, r.kids[0]):
		l.failed = append(l.failed, "key "+r.kids[0]+" of a token is not in the JWK Set fetched before")
	}
	l.tokens[r.token] = true
}

func (l *traffic) end(t *testing.T) {
	t.Helper()
	l.stop()
	l.wait.Wait()
	t.Logf("%d tokens, %d JWK Sets, the oldest %v, by state of the cache: %v", len(l.tokens), l.sets, l.oldest, l.states)
	if len(l.failed) > 0 {
		t.Errorf("%d requests failed; the first: %s", len(l.failed), l.failed[0])
	}
	if len(l.tokens) == 0 || l.states["HIT"] == 0 {
		t.Error("nothing was asked, or nothing came from the cache")
	}
	// Date is in whole seconds, so that an age seems up to one second greater. nginx counts
	// in whole seconds too. This is less than the 2M that the lifecycle allows for.
	if most := exampleMaxAge + 2*time.Second; l.oldest > most {
		t.Errorf("a JWK Set was %v old, want at most %v", l.oldest, most)
	}
}

// waitFor checks a condition until it holds.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(storyTimeout)
	for tick := time.Tick(10 * time.Millisecond); !holds(); {
		select {
		case <-tick:
		case <-deadline:
			t.Fatalf("waited too long for %s", what)
		}
	}
}
