//go:build soak

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/seal"
)

// TestKillsOfSealRotate kills 'jwksctl seal rotate' at random moments, until it was killed
// between each two of its steps, while servers answer requests. After each kill every private
// key can be opened, and no request ever fails.
func TestKillsOfSealRotate(t *testing.T) {
	k := &sealKills{kills: kills{
		t: t, bin: buildBinary(t), home: t.TempDir(), ready: t.TempDir(), count: map[string]int{}, took: map[string]time.Duration{}, revoked: map[string]bool{},
	}}
	if out := k.run(0, "token"); k.code(out) != exitDone {
		t.Fatalf("the first token: %s", out.stderr)
	}
	stop := k.serveWhile()
	longest := k.rotate()
	for range 10 * *killCount {
		k.run(1+rand.N(longest), "seal", "rotate")
		k.count[k.state()]++
		if rand.N(3) == 0 {
			k.rotate()
		}
		k.count["kills"]++
		if t.Failed() || (k.sawEach() == 4 && k.count["kills"] >= *killCount/4) {
			break
		}
	}
	k.rotate()
	stop()
	if got := k.state(); !strings.HasPrefix(got, "one key") {
		t.Errorf("at the end: %s", got)
	}
	for _, what := range slices.Sorted(maps.Keys(k.count)) {
		t.Logf("%-60s %d", what, k.count[what])
	}
	if n := k.sawEach(); n != 4 {
		t.Errorf("the run proves little: of four states that a kill can leave, it met %d", n)
	}
	t.Logf("%d requests", k.requests.Load())
	if k.requests.Load() == 0 {
		t.Error("no server answered a request")
	}
}

type sealKills struct {
	kills
	requests atomic.Int64
}

// rotate is a rotation that is not killed. It returns how long it took.
func (k *sealKills) rotate() time.Duration {
	started := time.Now()
	if out := k.run(0, "seal", "rotate"); k.code(out) != exitDone {
		k.t.Errorf("seal rotate gives %d: %s", k.code(out), out.stderr)
	}
	return time.Since(started)
}

// The states that a kill can leave.
const (
	nothingDone = "one key in the file, which seals the private keys"
	keyAdded    = "two keys in the file, the first one seals"
	sealedAgain = "two keys in the file, the second one seals"
	keyMoved    = "two keys in the file, the second one seals, the first one is moved too"
)

func (k *sealKills) sawEach() (n int) {
	for _, state := range []string{nothingDone, keyAdded, sealedAgain, keyMoved} {
		if k.count[state] > 0 {
			n++
		}
	}
	return n
}

// state checks that every private key can be opened, and says what the kill has left.
func (k *sealKills) state() string {
	out := k.run(0, "store", "check", "-o", "json")
	var result struct {
		Checks []struct{ Check, Status, Detail string }
	}
	if err := json.Unmarshal([]byte(out.stdout), &result); err != nil || k.code(out) != exitDone {
		k.t.Errorf("store check gives %d, %v: %s%s", k.code(out), err, out.stdout, out.stderr)
	}
	sealing := ""
	for _, c := range result.Checks {
		if c.Check == "sealing_key" {
			sealing = regexp.MustCompile(`seal-[0-9a-f]{16}`).FindString(c.Detail)
		}
	}
	path := filepath.Join(k.home, "jwksctl", "seal.key")
	names := k.names(path)
	switch at := slices.Index(names, sealing); {
	case len(names) == 1 && at == 0:
		return nothingDone
	case len(names) == 2 && at == 0:
		return keyAdded
	case len(names) == 2 && at == 1:
		if _, err := os.Stat(path + "." + names[0]); err == nil {
			return keyMoved
		}
		return sealedAgain
	}
	k.t.Errorf("the key file has %q, and %s seals the private keys", names, sealing)
	return "lost"
}

// names are those of the keys in a file.
func (k *sealKills) names(path string) []string {
	sealer, err := seal.Open(k.t.Context(), seal.File(path), seal.Environment{})
	if err != nil {
		k.t.Error(err)
		return nil
	}
	return sealer.Names()
}

// serveWhile runs two servers and asks them for tokens until stop is called. No request may
// fail, and no server may log an error.
func (k *sealKills) serveWhile() (stop func()) {
	done := make(chan struct{})
	var group sync.WaitGroup
	var servers []*exec.Cmd
	var logs [2]bytes.Buffer
	for i := range logs {
		cmd := exec.CommandContext(k.t.Context(), k.bin, k.serve(i)...)
		cmd.Env = append(os.Environ(), "HOME="+k.home, "XDG_STATE_HOME="+k.home)
		cmd.Stderr = &logs[i]
		if err := cmd.Start(); err != nil {
			k.t.Fatal(err)
		}
		servers = append(servers, cmd)
		group.Go(func() { k.ask(k.baseURL(i), done) })
	}
	return func() {
		close(done)
		group.Wait()
		for i, cmd := range servers {
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				k.t.Error(err)
			}
			if err := cmd.Wait(); err != nil || strings.Contains(logs[i].String(), "ERROR") || strings.Contains(logs[i].String(), "failed") {
				k.t.Errorf("serve: %v\n%s", err, &logs[i])
			}
		}
	}
}

// baseURL waits until a server is ready.
func (k *sealKills) baseURL(i int) string {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		if url, err := os.ReadFile(filepath.Join(k.ready, fmt.Sprint(i))); err == nil && len(url) > 0 {
			return strings.TrimSpace(string(url))
		}
		<-tick.C
	}
	k.t.Error("the server is not ready")
	return ""
}

// ask asks a server for tokens until done is closed.
func (k *sealKills) ask(url string, done <-chan struct{}) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !k.t.Failed() {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		response, err := http.Post(url+"/auth", "application/json", strings.NewReader(`{"sub":"a"}`)) //nolint:noctx // the test ends it
		if err != nil {
			k.t.Error(err)
			return
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			k.t.Errorf("a request gives %s", response.Status)
		}
		k.requests.Add(1)
	}
}
