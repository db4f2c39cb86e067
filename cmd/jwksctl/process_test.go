package main

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/seal"
	"github.com/jwksctl/jwksctl/pkg/store"
)

// newProcess is a process without a terminal that shares nothing with the real one.
func newProcess(t *testing.T, stdin string) (p *process, stdout, stderr *bytes.Buffer) {
	t.Helper()
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	return &process{
		stdin: strings.NewReader(stdin), stdout: stdout, stderr: stderr, user: "tester",
		environ:  []string{"JWKSCTL_STORE=sqlite:" + t.TempDir() + "/keyset.db", "JWKSCTL_ALGORITHM=ES256"},
		now:      time.Now,
		terminal: func(any) bool { return false },
		width:    func(any) int { return 0 },
	}, stdout, stderr
}

// brokenWriter fails after a number of bytes.
type brokenWriter struct{ bytes int }

func (w *brokenWriter) Write(b []byte) (int, error) {
	n := min(w.bytes, len(b))
	if w.bytes -= n; n < len(b) {
		return n, errors.New("no space left")
	}
	return n, nil
}

// Each way to print a result reports that the result cannot be written.
func TestResultThatCannotBeWritten(t *testing.T) {
	p, _, _ := newProcess(t, "")
	if code := execute(t.Context(), p, []string{"token"}); code != exitDone {
		t.Fatalf("token gives %d", code)
	}
	environ := p.environ
	for _, args := range [][]string{
		{"token"},
		{"token", "-o", "json"},
		{"keys", "list"},
		{"keys", "list", "-o", "json"},
		{"keys", "plan"},
		{"jwks"},
		{"version"},
		{"config", "view"},
		{"config", "init"},
		{"completion", "bash"},
		{"help"},
		{"help", "exit-codes"},
		{"keys", "list", "--help"},
		{"--version"},
		{"__complete", "keys", ""},
	} {
		for _, limit := range []int{0, 7} {
			p, _, stderr := newProcess(t, "")
			p.environ, p.stdout = environ, &brokenWriter{limit}
			if code := execute(t.Context(), p, args); code != exitFailed {
				t.Errorf("%q after %d bytes gives %d, want %d", args, limit, code, exitFailed)
			}
			if !strings.Contains(stderr.String(), "no space left") {
				t.Errorf("%q does not say why: %s", args, stderr)
			}
		}
	}
}

// Every command gives the same code for a store whose document is damaged.
func TestExitCodeOfDamagedDocument(t *testing.T) {
	for name, document := range map[string]string{"no JSON": "damaged", "cut": `{"schema":1,`, "a newer one": `{"schema":9}`} {
		p, _, stderr := newProcess(t, "")
		s, err := store.Open(t.Context(), strings.TrimPrefix(p.environ[0], "JWKSCTL_STORE="))
		if err != nil {
			t.Fatal(err)
		}
		folder := filepath.Dir(strings.TrimPrefix(p.environ[0], "JWKSCTL_STORE=sqlite:"))
		_, noKey := seal.Create(t.Context(), seal.File(filepath.Join(folder, "seal.key")), seal.Environment{})
		if err := errors.Join(noKey, s.Swap(t.Context(), keys.Change{Document: []byte(document)}), s.Close()); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{"serve", "--port", "0"},
			{"token"},
			{"jwks"},
			{"verify", goodToken},
			{"keys", "list"},
			{"keys", "list", "--check"},
			{"keys", "show", "x"},
			{"keys", "plan"},
			{"keys", "export", "x"},
			{"keys", "rotate"},
			{"keys", "revoke", "x", "--confirm", "x"},
			{"keys", "accept-restore"},
		} {
			stderr.Reset()
			if code := execute(t.Context(), p, args); code != exitUnavailable {
				t.Errorf("%s: %q gives %d, want %d: %s", name, args, code, exitUnavailable, stderr)
			}
			if !strings.Contains(stderr.String(), "unusable keyset document") {
				t.Errorf("%s: %q does not say why: %s", name, args, stderr)
			}
		}
	}
}

// goodToken is well-formed, so that verify needs a key for it.
const goodToken = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhIn0." +
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func TestExitCodeOfPanic(t *testing.T) {
	p, stdout, stderr := newProcess(t, "")
	p.now = func() time.Time { panic("the clock is gone") }
	if code := execute(t.Context(), p, []string{"verify", "a.b.c"}); code != exitFault {
		t.Errorf("got %d, want %d", code, exitFault)
	}
	if stdout.Len() > 0 || !strings.Contains(stderr.String(), "internal fault: the clock is gone") {
		t.Errorf("stdout %q, stderr %q", stdout, stderr)
	}
}

func TestOneInputOnly(t *testing.T) {
	for _, args := range [][]string{
		{"verify", "--jwks", "-", "--iss", "https://auth.example.com"},
		{"verify", "--jwks", "@-", "--iss", "https://auth.example.com", "-"},
		{"verify", "--jwks", "-", "--iss", "https://auth.example.com", "@-"},
	} {
		p, _, stderr := newProcess(t, `{"keys":[]}`)
		if code := execute(t.Context(), p, args); code != exitUsage {
			t.Errorf("%q gives %d, want %d", args, code, exitUsage)
		}
		if !strings.Contains(stderr.String(), "standard input is used twice") {
			t.Errorf("%q says %q", args, stderr)
		}
	}
}

func TestTable(t *testing.T) {
	heading, rows := []string{"KID", "ALG"}, [][]string{{"a", "ES256"}, {"long", "EdDSA"}}
	for _, tt := range []struct {
		terminal bool
		want     string
	}{
		{false, "a\tES256\nlong\tEdDSA\n"},
		{true, "KID   ALG\na     ES256\nlong  EdDSA\n"},
	} {
		p, stdout, _ := newProcess(t, "")
		p.terminal = func(any) bool { return tt.terminal }
		p.table(heading, rows)
		if got := stdout.String(); got != tt.want {
			t.Errorf("terminal %t: got %q, want %q", tt.terminal, got, tt.want)
		}
	}
}

// A stream gets colours if it is a terminal and the user did not turn them off.
func TestPaint(t *testing.T) {
	const painted = "\x1b[31mtext\x1b[0m"
	onTerminal := func(stream any) bool { _, ok := stream.(*bytes.Buffer); return ok }
	for name, tt := range map[string]struct {
		stream  io.Writer
		environ []string
		off     bool
		want    string
	}{
		"terminal":          {new(bytes.Buffer), []string{"TERM=xterm"}, false, painted},
		"empty NO_COLOR":    {new(bytes.Buffer), []string{"NO_COLOR="}, false, painted},
		"NO_COLOR":          {new(bytes.Buffer), []string{"NO_COLOR=0"}, false, "text"},
		"last one counts":   {new(bytes.Buffer), []string{"NO_COLOR=1", "NO_COLOR="}, false, painted},
		"dumb terminal":     {new(bytes.Buffer), []string{"TERM=dumb"}, false, "text"},
		"flag":              {new(bytes.Buffer), nil, true, "text"},
		"piped":             {io.Discard, nil, false, "text"},
		"colours by number": {new(bytes.Buffer), []string{"TERM=xterm-256color"}, false, painted},
	} {
		p := &process{environ: tt.environ, terminal: onTerminal, noColor: tt.off}
		if got := p.paint(tt.stream, red, "text"); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}
