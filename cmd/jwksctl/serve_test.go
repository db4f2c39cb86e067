package main

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// cancelOnText cancels a context when a text has been written.
type cancelOnText struct {
	mu      sync.Mutex // several goroutines write
	written bytes.Buffer
	text    string
	cancel  context.CancelFunc
}

func (w *cancelOnText) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.written.Write(b)
	if strings.Contains(w.written.String(), w.text) {
		w.cancel()
	}
	return n, err
}

// The banner is printed on a terminal, and not in a log.
func TestServePrintsBannerOnTerminal(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		p, stdout, _ := newProcess(t, "")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stderr := &cancelOnText{text: "listening", cancel: cancel}
		p.stderr = stderr
		p.terminal = func(any) bool { return terminal }
		if code := execute(ctx, p, []string{"serve", "--port", "0", "--issuer", "https://auth.example.com", "--no-color"}); code != exitDone {
			t.Fatalf("got %d\n%s", code, stderr.written.String())
		}
		banner := stderr.written.String()
		for _, want := range []string{
			"/.well-known/jwks.json\n", "curl -s -X POST http://127.0.0.1:", "issuer     https://auth.example.com\n", "(ES256)\n", "  rotation   20",
		} {
			if strings.Contains(banner, want) != terminal {
				t.Errorf("terminal %t: looked for %q in\n%s", terminal, want, banner)
			}
		}
		if stdout.Len() > 0 {
			t.Errorf("standard output has %q", stdout)
		}
	}
}

// One kid in 64 would begin with a dash, and be taken for a flag.
func TestNoKidLooksLikeAFlag(t *testing.T) {
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

// A server that only publishes has no token endpoint to show.
func TestBannerOfAServerThatOnlyPublishes(t *testing.T) {
	p, _, stderr := newProcess(t, "")
	if code := execute(t.Context(), p, []string{"token"}); code != exitDone {
		t.Fatalf("token gives %d: %s", code, stderr)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := &cancelOnText{text: "listening", cancel: cancel}
	p.stderr = log
	p.terminal = func(any) bool { return true }
	if code := execute(ctx, p, []string{"serve", "--port", "0", "--auth", "off", "--no-color"}); code != exitDone {
		t.Fatalf("serve gives %d: %s", code, log.written.String())
	}
	if banner := log.written.String(); strings.Contains(banner, "/auth") || !strings.Contains(banner, "  JWK Set    http://") {
		t.Errorf("the banner is\n%s", banner)
	}
}
