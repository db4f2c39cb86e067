package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/seal"
	"github.com/jwksctl/jwksctl/pkg/store/sqlite"
)

// keysetOfTheFuture is a process and a keyset that was created by a clock that was
// ahead, so that this machine's clock is behind it.
func keysetOfTheFuture(t *testing.T, ahead time.Duration) (p *process, stdout, stderr *bytes.Buffer, ks keys.Keyset) {
	t.Helper()
	p, stdout, stderr = newProcess(t, "")
	path := strings.TrimPrefix(p.environ[0], "JWKSCTL_STORE=sqlite:")
	future := func() time.Time { return time.Now().Add(ahead) }
	s, err := sqlite.Open(t.Context(), path, future)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := seal.Create(t.Context(), seal.File(filepath.Join(filepath.Dir(path), "seal.key")), seal.Environment{})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := keys.NewPolicy(keys.Settings{Algorithm: jwk.ES256, Issuer: "https://auth.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.Create(t.Context(), keys.Options{Store: s, Sealer: sealer, Clock: keys.Clock{Now: future}, Generate: newKey}, policy)
	if err == nil {
		err = ring.Rotate(t.Context(), keys.StepRequest{})
	}
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	return p, stdout, stderr, ring.Keyset()
}

// A server whose clock is wrong starts if it changes no policy, and says what waits.
func TestServeWithAClockThatIsBehind(t *testing.T) {
	p, _, stderr, ks := keysetOfTheFuture(t, 48*time.Hour)
	p.environ = append(p.environ, "JWKSCTL_ISSUER="+ks.Policy.Issuer)
	ctx, cancel := context.WithCancel(t.Context())
	p.stderr = &notifyingWriter{stderr, `"msg":"listening"`, cancel}
	if code := execute(ctx, p, []string{"serve", "--port", "0"}); code != exitDone {
		t.Errorf("serve gives %d: %s", code, stderr)
	}
	want := `"msg":"this machine's clock cannot be trusted; tokens are signed, and every timed step waits"`
	if log := stderr.String(); !strings.Contains(log, want) || !strings.Contains(log, `"next_step":"specimen"`) {
		t.Errorf("the log does not say what waits: %s", log)
	}

	stderr.Reset()
	p.stderr = stderr
	if code := execute(t.Context(), p, []string{"serve", "--port", "0", "--token-ttl", "5m"}); code != 5 {
		t.Errorf("a change of the policy gives %d: %s", code, stderr)
	}
}

// A backup from a clock that was ahead, which was accepted since: accept-restore and
// accept-clock each refuse the store because of the other, so one of them does both.
func TestAcceptARestoreOfTheFuture(t *testing.T) {
	p, _, stderr, _ := keysetOfTheFuture(t, 48*time.Hour)
	path := strings.TrimPrefix(p.environ[0], "JWKSCTL_STORE=sqlite:")
	backup, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	run := func(want int, text string, args ...string) {
		t.Helper()
		stderr.Reset()
		if code := execute(t.Context(), p, args); code != want || !strings.Contains(stderr.String(), text) {
			t.Fatalf("%q gives %d, %s", args, code, stderr)
		}
	}
	today := time.Now().UTC().Format(time.DateOnly)
	run(exitDone, "", "keys", "accept-clock", "--confirm", today)
	if err := os.WriteFile(path, backup, 0o600); err != nil {
		t.Fatal(err)
	}
	run(5, "keys accept-restore", "keys", "accept-clock", "--confirm", today)
	run(5, "'jwksctl keys accept-restore --confirm YYYY-MM-DD'", "keys", "accept-restore")
	run(exitUsage, "is not the date", "keys", "accept-restore", "--confirm", "2000-01-01")
	run(exitDone, "epoch 1", "keys", "accept-restore", "--confirm", today)
	run(exitDone, "", "keys", "rotate", "--force")
}

// notifyingWriter calls seen when a text is written.
type notifyingWriter struct {
	io.Writer

	text string
	seen func()
}

func (w *notifyingWriter) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(w.text)) {
		w.seen()
	}
	return w.Writer.Write(b)
}

func TestRevokeWithAClockThatIsBehind(t *testing.T) {
	p, stdout, stderr, ks := keysetOfTheFuture(t, 48*time.Hour)
	active, newest := ks.Active().KeyID(), ks.ChangedAt
	if code := execute(t.Context(), p, []string{"keys", "rotate", "--force"}); code != 5 {
		t.Errorf("keys rotate gives %d: %s", code, stderr)
	}
	for _, args := range [][]string{
		{"keys", "revoke", active, "--force", "--dry-run", "-o", "json"},
		{"keys", "revoke", active, "--force", "--confirm", active, "-o", "json"},
	} {
		stdout.Reset()
		if code := execute(t.Context(), p, args); code != exitDone {
			t.Fatalf("%q gives %d: %s", args, code, stderr)
		}
		var got struct {
			RevokedAt time.Time `json:"revoked_at"`
			Clock     string    `json:"clock"`
		}
		if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(got.Clock, "behind the last change of the keyset") {
			t.Errorf("%q does not say that the clock is wrong: %s", args, stdout)
		}
		if !got.RevokedAt.Equal(newest) && args[4] == "--confirm" {
			t.Errorf("%q: revoked at %v, want %v", args, got.RevokedAt, newest)
		}
	}
	stderr.Reset()
	for _, k := range ks.Keys {
		if kid := k.KeyID(); !k.RetiredAt.IsZero() {
			if code := execute(t.Context(), p, []string{"keys", "revoke", kid, "--confirm", kid}); code != exitDone {
				t.Errorf("the retired key: %d", code)
			}
		}
	}
	for _, want := range []string{"warning: this machine's clock is", "count 1h0m5s, 1h5m5s and 1h10m5s from now", "whose clock is right"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("stderr lacks %q: %s", want, stderr)
		}
	}
}

// accept-clock lets every step be taken again, and nothing else does.
func TestAcceptClock(t *testing.T) {
	p, stdout, stderr, ks := keysetOfTheFuture(t, 10*365*24*time.Hour)
	today := p.now().UTC().Format(time.DateOnly)
	run := func(want int, args ...string) {
		t.Helper()
		stdout.Reset()
		stderr.Reset()
		if code := execute(t.Context(), p, args); code != want {
			t.Fatalf("%q gives %d, want %d: %s", args, code, want, stderr)
		}
	}
	run(5, "keys", "rotate", "--force")
	if !strings.Contains(stderr.String(), "keys accept-clock") {
		t.Errorf("the refusal does not name the way out: %s", stderr)
	}
	run(exitUsage, "keys", "accept-clock")
	if !strings.Contains(stderr.String(), "--confirm YYYY-MM-DD") {
		t.Errorf("stderr: %s", stderr)
	}
	run(exitUsage, "keys", "accept-clock", "--confirm", "1970-01-01")
	run(exitDone, "keys", "accept-clock", "--dry-run")
	run(5, "keys", "rotate", "--force") // nothing was changed
	run(exitDone, "keys", "accept-clock", "--confirm", today)
	if !strings.Contains(stderr.String(), "warning: tokens that were signed") || stdout.String() != ks.Active().KeyID()+"\n" {
		t.Errorf("stdout: %s, stderr: %s", stdout, stderr)
	}
	run(exitDone, "keys", "list") // the witness, which has the stamps of the future, agrees
	run(exitDone, "keys", "plan", "-o", "json")
	var events []keys.Event
	if err := json.Unmarshal(stdout.Bytes(), &events); err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.At.After(p.now().Add(4 * ks.Policy.RotationInterval)) {
			t.Errorf("%s is planned for %v", e.Step, e.At)
		}
	}
	run(exitDone, "keys", "rotate", "--force")
	run(exitDone, "keys", "accept-clock", "--confirm", today, "-o", "json")
	if !strings.Contains(stdout.String(), `"changed": false`) {
		t.Errorf("there was nothing to accept: %s", stdout)
	}
}
