//go:build soak

package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

var killCount = flag.Int("kills", 1000, "how many processes TestKills kills")

// TestKills kills servers and commands at random moments while they change one store.
// Afterwards, and after each process that was left alive, no private key may be lost,
// no process may take the store for a restored backup, and no file may be left behind.
func TestKills(t *testing.T) {
	k := &kills{
		t: t, bin: buildBinary(t), home: t.TempDir(), keys: t.TempDir(), ready: t.TempDir(),
		left: *killCount, took: map[string]time.Duration{}, count: map[string]int{}, revoked: map[string]bool{},
	}
	if out := k.run(0, "token"); k.code(out) != exitDone {
		t.Fatalf("the first token: %s", out.stderr)
	}
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() { k.kill(func() []string { return k.serve(i) }) })
	}
	for range 3 {
		wg.Go(func() { k.kill(k.command) })
	}
	wg.Wait()
	k.checkKeys()
	k.checkFiles()
	for _, what := range slices.Sorted(maps.Keys(k.count)) {
		t.Logf("%-28s %d", what, k.count[what])
	}
	for _, what := range []string{"serve", "keys rotate", "keys revoke", "keys import", "token"} {
		if k.count[what+" killed"] == 0 || (what != "serve" && k.count[what+" exit 0"] == 0) {
			t.Errorf("the run proves little: %s was never killed, or never succeeded", what)
		}
	}
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

type kills struct {
	t                     *testing.T
	bin                   string
	home, keys, ready     string // folders of the state, of keys to import, and of ready files
	mu                    sync.Mutex
	left                  int                      // kills
	took                  map[string]time.Duration // how long a command takes if it is not killed
	count                 map[string]int
	revoked               map[string]bool // kids that a process tried to revoke
	commands, importFiles int
}

// kill runs commands until enough processes were killed.
func (k *kills) kill(next func() []string) {
	for !k.t.Failed() {
		args := next()
		name := strings.Join(args[:min(len(args), 1+strings.Count(args[0], "keys"))], " ")
		k.mu.Lock()
		if k.left <= 0 {
			k.mu.Unlock()
			return
		}
		k.commands++
		spared := args[0] != "serve" && k.commands%4 == 0
		longest := max(k.took[name], 50*time.Millisecond)
		k.mu.Unlock()
		if spared {
			started := time.Now()
			out := k.run(0, args...)
			k.mu.Lock()
			k.took[name] = time.Since(started)
			k.mu.Unlock()
			k.note(name, args, out)
			continue
		}
		if args[0] == "serve" {
			longest = time.Second
		}
		k.note(name, args, k.run(1+rand.N(longest), args...))
	}
}

// serve is a server. Its ready file is left behind if it is killed.
func (k *kills) serve(i int) []string {
	return []string{"serve", "--port", "0", "--issuer", "https://kills.example", "--log-level", "warn", "--ready-file", filepath.Join(k.ready, fmt.Sprint(i))}
}

// command is a command that changes the store.
func (k *kills) command() []string {
	switch rand.N(5) {
	case 0:
		return []string{"keys", "rotate", "--force"}
	case 1:
		return []string{"keys", "import", k.newKey()}
	case 2:
		list := strings.Fields(k.run(0, "keys", "list", "--state", []string{"active", "pending", "retired"}[rand.N(3)]).stdout)
		if len(list) > 0 {
			k.mu.Lock()
			k.revoked[list[0]] = true
			k.mu.Unlock()
			return []string{"keys", "revoke", list[0], "--confirm", list[0], "--reason", "kill", "--force"}
		}
	}
	return []string{"token", "--aud", "kills", "-o", "json"}
}

// newKey writes a private key to a file.
func (k *kills) newKey() string {
	key, err := newKey(jwk.ES256, 0)
	if err != nil {
		k.t.Error(err)
	}
	der, err := key.MarshalPKCS8()
	if err != nil {
		k.t.Error(err)
	}
	k.mu.Lock()
	k.importFiles++
	path := filepath.Join(k.keys, fmt.Sprint(k.importFiles))
	k.mu.Unlock()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		k.t.Error(err)
	}
	return path
}

// outcome is how a process ended.
type outcome struct {
	stdout, stderr string
	state          *os.ProcessState
}

// run runs jwksctl and kills it after a time, unless that is 0.
func (k *kills) run(after time.Duration, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(k.t.Context(), k.bin, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(), "HOME="+k.home, "XDG_STATE_HOME="+k.home, "JWKSCTL_ALGORITHM=ES256",
		"JWKSCTL_ROTATION_INTERVAL=10s", "JWKSCTL_TOKEN_TTL=2s", "JWKSCTL_MAX_STALENESS=1s", "JWKSCTL_LEEWAY=1s")
	if err := cmd.Start(); err != nil {
		k.t.Error(err)
		return outcome{}
	}
	if after > 0 {
		timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) // it may have ended
		defer timer.Stop()
	}
	_ = cmd.Wait() // the state says how it ended
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState}
}

func (k *kills) code(o outcome) int { return o.state.ExitCode() }

// note counts how a process ended, and checks what it said.
func (k *kills) note(name string, args []string, out outcome) {
	what := fmt.Sprintf("%s exit %d", name, k.code(out))
	status, _ := out.state.Sys().(syscall.WaitStatus)
	k.mu.Lock()
	if status.Signaled() {
		what = name + " killed"
		k.left--
	}
	k.count[what]++
	k.mu.Unlock()
	switch code := k.code(out); {
	case alarm.MatchString(out.stderr):
		k.t.Errorf("%q raised an alarm: %s", args, out.stderr)
	case status.Signaled():
	case code != exitDone && code != 4 && code != 5:
		k.t.Errorf("%q gives %d: %s", args, code, out.stderr)
	case code == exitDone && name == "token":
		k.verify(out.stdout)
	}
}

// alarm matches what no process may say.
var alarm = regexp.MustCompile(`(?i)restore|witness|unreadable|cannot be opened|damaged|malformed|panic|internal fault`)

// verify checks a token right after it was minted. The store must know its key, unless
// that was revoked: a full history forgets revoked keys.
func (k *kills) verify(minted string) {
	var token struct {
		Token, Kid string
		Exp        int64
	}
	if err := json.Unmarshal([]byte(minted), &token); err != nil {
		k.t.Error(err)
	}
	out := k.run(0, "verify", "--aud", "kills", token.Token)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.count[fmt.Sprintf("verify exit %d", k.code(out))]++
	expired := time.Now().Unix() >= token.Exp // the machine was slow
	if k.code(out) != exitDone && !k.revoked[token.Kid] && !expired {
		k.t.Errorf("verify gives %d: %s", k.code(out), out.stderr)
	}
}

// checkKeys checks that each private key that may be needed can be opened, and that the
// store was never taken for a restored backup.
func (k *kills) checkKeys() {
	list := k.run(0, "keys", "list", "--check", "--all")
	if k.code(list) != exitDone || list.stderr != "" || alarm.MatchString(list.stdout) {
		k.t.Errorf("keys list --check gives %d: %s%s", k.code(list), list.stdout, list.stderr)
	}
	accept := k.run(0, "keys", "accept-restore", "-o", "json")
	if k.code(accept) != exitDone || !strings.Contains(accept.stdout, `"epoch": 0,`) || !strings.Contains(accept.stdout, `"ready": true`) {
		k.t.Errorf("keys accept-restore gives %d: %s%s", k.code(accept), accept.stdout, accept.stderr)
	}
	k.t.Logf("%s", accept.stdout)
}

// checkFiles checks that the next processes remove what the killed ones left.
func (k *kills) checkFiles() {
	// Temporary files are removed when they are older than a minute.
	hourAgo := time.Now().Add(-time.Hour)
	for _, dir := range []string{filepath.Join(k.home, "jwksctl"), k.ready} {
		for _, name := range k.files(dir) {
			if strings.HasSuffix(name, ".tmp") {
				k.count["temporary files left"]++
				if err := os.Chtimes(filepath.Join(dir, name), hourAgo, hourAgo); err != nil {
					k.t.Error(err)
				}
			}
		}
	}
	if out := k.run(0, "keys", "rotate", "--force"); k.code(out) != exitDone {
		k.t.Errorf("keys rotate gives %d: %s", k.code(out), out.stderr)
	}
	for i := range 2 {
		k.serveUntilReady(i)
	}
	want := regexp.MustCompile(`^\[keyset\.db seal\.key witness-[\w-]{43}\.json\]$`)
	if names := k.files(filepath.Join(k.home, "jwksctl")); !want.MatchString(fmt.Sprint(names)) {
		k.t.Errorf("the state folder contains %q", names)
	}
	if names := k.files(k.ready); len(names) > 0 {
		k.t.Errorf("the folder of the ready files contains %q", names)
	}
}

// serveUntilReady starts a server and has it drain when it is ready.
func (k *kills) serveUntilReady(i int) {
	cmd := exec.CommandContext(k.t.Context(), k.bin, k.serve(i)...)
	cmd.Env = append(os.Environ(), "HOME="+k.home, "XDG_STATE_HOME="+k.home)
	path := filepath.Join(k.ready, fmt.Sprint(i))
	_ = os.Remove(path) // of a killed server
	if err := cmd.Start(); err != nil {
		k.t.Error(err)
		return
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		if _, err := os.Stat(path); err == nil {
			break
		}
		<-tick.C
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		k.t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		k.t.Errorf("serve: %v", err)
	}
}

func (k *kills) files(dir string) (names []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		k.t.Error(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}
