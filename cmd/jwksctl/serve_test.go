package main

import (
	"bytes"
	"context"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// endOn ends a command once it has written a text.
type endOn struct {
	mu      sync.Mutex // the log and the greeting come from several goroutines
	written bytes.Buffer
	text    string
	end     context.CancelFunc
}

func (w *endOn) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.written.Write(b)
	if strings.Contains(w.written.String(), w.text) {
		w.end()
	}
	return n, err
}

// A person at a terminal is told where things are; a machine gets its log alone.
func TestServeGreetsAPerson(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		p, stdout, _ := newProcess(t, "")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stderr := &endOn{text: "listening", end: cancel}
		p.stderr = stderr
		p.terminal = func(any) bool { return terminal }
		if code := execute(ctx, p, []string{"serve", "--port", "0", "--issuer", "https://auth.example.com", "--no-color"}); code != exitDone {
			t.Fatalf("got %d\n%s", code, stderr.written.String())
		}
		greeting := stderr.written.String()
		for _, want := range []string{
			"/.well-known/jwks.json\n", "curl -s -X POST http://127.0.0.1:", "issuer     https://auth.example.com\n", "(ES256)\n", "  rotation   20",
		} {
			if strings.Contains(greeting, want) != terminal {
				t.Errorf("terminal %t: looked for %q in\n%s", terminal, want, greeting)
			}
		}
		if stdout.Len() > 0 {
			t.Errorf("standard output has %q", stdout)
		}
	}
}

// One kid in 64 would begin with a dash, and be taken for a flag.
func TestKidsCanStandOnACommandLine(t *testing.T) {
	for range 1000 {
		k, err := newKey(jwk.EdDSA, 0)
		if err != nil {
			t.Fatal(err)
		}
		if kid := k.KeyID(); strings.HasPrefix(kid, "-") {
			t.Fatalf("kid %s", kid)
		}
	}
}

func TestThreadsAreReservedWhileTokensCrowd(t *testing.T) {
	usual := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(usual)
	runtime.SetDefaultGOMAXPROCS()
	system := runtime.GOMAXPROCS(0)
	for _, tt := range []struct {
		fixed         bool // by the environment
		before, after int
	}{
		{false, system, system},
		{false, system + 1, system}, // it allows less by now
		{true, system + 1, system + 1},
	} {
		t.Setenv("GOMAXPROCS", "")
		if tt.fixed {
			t.Setenv("GOMAXPROCS", strconv.Itoa(tt.before))
		}
		runtime.GOMAXPROCS(tt.before)
		crowded := reserveThreads()
		if crowded(true); runtime.GOMAXPROCS(0) != 2*tt.before {
			t.Errorf("%+v: %d threads in a crowd", tt, runtime.GOMAXPROCS(0))
		}
		if crowded(false); runtime.GOMAXPROCS(0) != tt.after {
			t.Errorf("%+v: %d threads after it", tt, runtime.GOMAXPROCS(0))
		}
	}
}
