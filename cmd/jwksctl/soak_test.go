//go:build soak

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/remote"
	"github.com/jwksctl/jwksctl/pkg/token"
)

var soakFor = flag.Duration("soak.for", 10*time.Minute, "how long TestSoak runs")

// The policy under test, as --rotation-interval 10s derives it.
const (
	soakMaxAge = time.Second // M
	soakLeeway = time.Second // L
	soakIssuer = "https://soak.example"
)

// TestSoak runs three real servers on one SQLite file with keys that rotate every
// ten seconds. It mints tokens all the time, kills servers with SIGKILL, and revokes
// a key halfway through. It keeps every fetched JWK Set for 2M, which is as long as
// a client that ignores the Age header may keep it behind a shared cache. Each of
// these sets must verify every token that has not expired; otherwise it is a miss.
func TestSoak(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), *soakFor)
	defer cancel()
	s := &soak{t: t, home: t.TempDir(), bin: buildBinary(t), revoked: map[string]bool{}, count: map[string]int{}}
	for i := range 3 {
		s.servers = append(s.servers, &soakServer{ready: filepath.Join(s.home, fmt.Sprintf("ready-%d", i))})
		s.launch(s.servers[i])
	}
	var wg sync.WaitGroup
	for i, server := range s.servers {
		for range 2 {
			wg.Go(func() { s.every(ctx, 40*time.Millisecond, func() { s.mint(server) }) })
		}
		wg.Go(func() { s.every(ctx, 100*time.Millisecond, func() { s.fetch(server) }) })
		wg.Go(func() {
			s.every(ctx, time.Duration(17+6*i)*time.Second, func() { s.kill(server) })
		})
	}
	wg.Go(func() { s.every(ctx, 100*time.Millisecond, s.check) })
	wg.Go(func() {
		select {
		case <-ctx.Done():
		case <-time.After(*soakFor / 2):
			s.revoke()
		}
	})
	wg.Wait()
	for _, server := range s.servers {
		_ = server.cmd.Process.Kill()
		_ = server.cmd.Wait()
	}
	s.report()
}

// buildBinary builds jwksctl and returns its path.
func buildBinary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "jwksctl")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

type soak struct {
	t         *testing.T
	home, bin string
	servers   []*soakServer

	mu       sync.Mutex // guards the fields below and those of the servers
	tokens   []soakToken
	sets     []soakSet
	revoked  map[string]bool // by kid
	count    map[string]int
	misses   []string
	removals []time.Duration // from the revocation until a server's JWK Set lacked the key
}

type soakServer struct {
	ready string // file that names the URL once the server is ready
	cmd   *exec.Cmd
	url   string // empty while the server is down
}

type soakToken struct {
	compact, kid string
	end          time.Time    // exp + L
	checked      map[int]bool // sets that verified its signature, by id
}

// soakSet is a JWK Set that a cache may still use.
type soakSet struct {
	id   int
	keys []jwk.PublicKey
	kids map[string]bool
	end  time.Time // when a cache must have dropped it
}

func (s *soak) every(ctx context.Context, d time.Duration, do func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

func (s *soak) env() []string {
	return append(os.Environ(), "HOME="+s.home, "XDG_STATE_HOME="+s.home)
}

// launch starts a server and waits until it is ready.
func (s *soak) launch(server *soakServer) {
	_ = os.Remove(server.ready)
	cmd := exec.CommandContext(s.t.Context(), s.bin, "serve", "--port", "0", "--ready-file", server.ready, "--issuer", soakIssuer,
		"--rotation-interval", "10s", "--log-level", "error")
	cmd.Env = s.env()
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		s.t.Error(err)
		return
	}
	for range 1000 {
		if url, err := os.ReadFile(server.ready); err == nil {
			s.mu.Lock()
			server.cmd, server.url = cmd, strings.TrimSpace(string(url))
			s.mu.Unlock()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Error("a server did not become ready")
}

// kill kills a server with SIGKILL and starts it again.
func (s *soak) kill(server *soakServer) {
	s.mu.Lock()
	cmd := server.cmd
	server.url = ""
	s.count["kills"]++
	s.mu.Unlock()
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	time.Sleep(rand.N(500 * time.Millisecond))
	s.launch(server)
}

func (s *soak) ask(server *soakServer, method, path string) ([]byte, error) {
	s.mu.Lock()
	url := server.url
	s.mu.Unlock()
	if url == "" {
		return nil, errors.New("the server is down")
	}
	request, err := http.NewRequestWithContext(s.t.Context(), method, url+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		s.mu.Lock()
		s.count[fmt.Sprintf("answers %d", response.StatusCode)]++
		s.mu.Unlock()
		return nil, errors.New(response.Status)
	}
	return io.ReadAll(response.Body)
}

func (s *soak) mint(server *soakServer) {
	body, err := s.ask(server, http.MethodPost, "/auth")
	if err != nil {
		return
	}
	var answer struct{ Token, Kid string }
	if err := json.Unmarshal(body, &answer); err != nil {
		s.t.Error(err)
		return
	}
	var claims struct{ Exp int64 }
	if err := json.Unmarshal(token.Inspect(answer.Token).Claims, &claims); err != nil {
		s.t.Error(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count["tokens"]++
	s.count["kid "+answer.Kid]++
	s.tokens = append(s.tokens, soakToken{answer.Token, answer.Kid, time.Unix(claims.Exp, 0).Add(soakLeeway), map[int]bool{}})
}

func (s *soak) fetch(server *soakServer) {
	body, err := s.ask(server, http.MethodGet, "/.well-known/jwks.json")
	if err != nil {
		return
	}
	received := time.Now()
	set, _, err := jwk.ParseSet(body)
	if err != nil {
		s.t.Error(err)
		return
	}
	cached := soakSet{keys: set.Keys, kids: map[string]bool{}, end: received.Add(2 * soakMaxAge)}
	for _, k := range set.Keys {
		cached.kids[k.KeyID()] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count["sets"]++
	cached.id = s.count["sets"]
	s.sets = append(s.sets, cached)
	s.count["largest set"] = max(s.count["largest set"], len(set.Keys))
}

// check compares every token that has not expired with every set that a cache may
// use: its kid with each set each time, and its signature with three sets over time,
// because verifying is slow.
func (s *soak) check() {
	now := time.Now()
	s.mu.Lock()
	s.sets = slices.DeleteFunc(s.sets, func(set soakSet) bool { return now.After(set.end) })
	s.tokens = slices.DeleteFunc(s.tokens, func(t soakToken) bool { return now.After(t.end) })
	sets, tokens, revoked := slices.Clone(s.sets), slices.Clone(s.tokens), maps.Clone(s.revoked)
	s.mu.Unlock()
	if len(sets) == 0 {
		return
	}
	oldest, lookups, verifications := sets[0], 0, 0
	for _, t := range tokens {
		if revoked[t.kid] {
			continue
		}
		lookups += len(sets)
		for _, set := range sets {
			if !set.kids[t.kid] {
				s.miss("set %d lacks kid %s of a token that is valid until %s", set.id, t.kid, t.end)
			}
		}
		if len(t.checked) == 3 || t.checked[oldest.id] {
			continue
		}
		t.checked[oldest.id] = true
		verifications++
		v := token.Verifier{Keys: remote.Static{Set: jwk.Set{Keys: oldest.keys}}, Issuer: []string{soakIssuer}, Leeway: soakLeeway}
		if _, err := v.Verify(context.Background(), t.compact); err != nil && time.Now().Before(t.end) {
			s.miss("a valid token was rejected: %v", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count["lookups"] += lookups
	s.count["verifications"] += verifications
}

func (s *soak) miss(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.misses = append(s.misses, fmt.Sprintf(format, args...))
}

// revoke revokes the active key with the command line, and measures how long after
// the start of that command each server's JWK Set lacks it.
func (s *soak) revoke() {
	for range 100 { // the command is refused while no successor is ready
		out, err := s.run("keys", "list", "--state", "active")
		if err != nil {
			s.t.Error(err)
			return
		}
		kid, _, _ := strings.Cut(out, "\t")
		started := time.Now()
		s.mu.Lock()
		s.revoked[kid] = true // its tokens need not verify from here on
		s.mu.Unlock()
		if _, err = s.run("keys", "revoke", kid, "--confirm", kid, "--reason", "soak"); err == nil {
			s.measureRemovals(kid, started)
			return
		}
		s.mu.Lock()
		delete(s.revoked, kid)
		s.mu.Unlock()
		time.Sleep(100 * time.Millisecond)
	}
	s.t.Error("the active key could not be revoked")
}

func (s *soak) measureRemovals(kid string, since time.Time) {
	for _, server := range s.servers {
		for range 1000 {
			body, err := s.ask(server, http.MethodGet, "/jwks")
			if err == nil && !bytes.Contains(body, []byte(kid)) {
				s.mu.Lock()
				s.removals = append(s.removals, time.Since(since).Round(time.Millisecond))
				s.mu.Unlock()
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func (s *soak) run(args ...string) (string, error) {
	cmd := exec.CommandContext(s.t.Context(), s.bin, args...)
	cmd.Env = s.env()
	out, err := cmd.Output()
	return string(out), err
}

func (s *soak) report() {
	rotations := -1
	for what := range s.count {
		if strings.HasPrefix(what, "kid ") {
			rotations++
			delete(s.count, what)
		}
	}
	s.t.Logf("%v: %d rotations, %d misses", *soakFor, rotations, len(s.misses))
	for _, what := range slices.Sorted(maps.Keys(s.count)) {
		s.t.Logf("%-14s %d", what, s.count[what])
	}
	s.t.Logf("the three servers' JWK Sets lacked the revoked key after %v", s.removals)
	for _, miss := range s.misses[:min(len(s.misses), 20)] {
		s.t.Error(miss)
	}
	if s.count["tokens"] == 0 || s.count["verifications"] == 0 || rotations < 1 || len(s.removals) < len(s.servers) {
		s.t.Error("the run proves nothing: no tokens, verifications, rotations or revocation")
	}
}
