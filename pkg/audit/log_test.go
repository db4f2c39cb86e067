package audit_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwksctl/jwksctl/pkg/audit"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens a log, which the test closes.
func open(t *testing.T, path string) *audit.Log {
	t.Helper()
	l, err := audit.Open(path)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// event has a jti by which a test finds its line.
func event(id string) audit.Event { return audit.Event{Kind: audit.TokenIssued, ID: id} }

// ids are the jti of the lines of a file; what is not a whole line is "broken".
func ids(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	var out []string
	for line := range strings.Lines(string(text)) {
		_, rest, ok := strings.Cut(line, `"event":"token_issued","jti":"`)
		id, end, _ := strings.Cut(rest, `"`)
		if !ok || !strings.HasPrefix(line, `{"time":"`) || end != "}\n" {
			id = "broken"
		}
		out = append(out, id)
	}
	return strings.Join(out, " ")
}

func wantIDs(t *testing.T, path, want string) {
	t.Helper()
	if got := ids(t, path); got != want {
		t.Errorf("%s has the lines %q, want %q", filepath.Base(path), got, want)
	}
}

// flaky fails while err is set.
type flaky struct {
	bytes.Buffer
	err error
}

func (f *flaky) Write(b []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return f.Buffer.Write(b)
}

func TestNoLog(t *testing.T) {
	var l *audit.Log
	must(t, l.Write(event("a")))
	must(t, l.Reopen())
	must(t, l.Err())
	must(t, l.Close())
	if l.Required() || l.Failures() != 0 {
		t.Errorf("a log that does not exist is required, or has %d failures", l.Failures())
	}
}

func TestFailures(t *testing.T) {
	for _, optional := range []bool{false, true} {
		out := &flaky{}
		var lines bytes.Buffer
		l := audit.New(out)
		l.Optional, l.Logger = optional, slog.New(slog.NewTextHandler(&lines, nil))
		if l.Required() == optional {
			t.Errorf("optional %t: required %t", optional, l.Required())
		}
		must(t, l.Write(event("a")))
		out.err = io.ErrClosedPipe
		for range 3 {
			err := l.Write(event("b"))
			if optional != (err == nil) {
				t.Errorf("optional %t: %v", optional, err)
			}
			if err != nil && (!errors.Is(err, audit.ErrUnavailable) || !errors.Is(err, io.ErrClosedPipe)) {
				t.Errorf("the error is %v", err)
			}
		}
		if n := l.Failures(); n != 3 || !errors.Is(l.Err(), io.ErrClosedPipe) {
			t.Errorf("%d failures, the last %v", n, l.Err())
		}
		out.err = nil
		must(t, l.Write(event("c")))
		if n := l.Failures(); n != 3 || l.Err() != nil {
			t.Errorf("after it has recovered: %d failures, the last %v", n, l.Err())
		}
		if text := lines.String(); strings.Count(text, "\n") != 2 || strings.Count(text, "cannot be written") != 1 || strings.Count(text, "can be written again") != 1 {
			t.Errorf("logged\n%s", text)
		}
		if got := out.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, `"a"`) || !strings.Contains(got, `"c"`) {
			t.Errorf("wrote\n%s", got)
		}
	}
}

func TestTime(t *testing.T) {
	var out bytes.Buffer
	l := audit.New(&out)
	l.Now = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
	must(t, l.Write(audit.Event{}))
	must(t, l.Write(audit.Event{Time: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)}))
	for i, want := range []string{"2026-01-02T03:04:05.000Z", "2027-01-02T03:04:05.000Z"} {
		if line := strings.Split(out.String(), "\n")[i]; !strings.Contains(line, want) {
			t.Errorf("%s lacks %s", line, want)
		}
	}
}

func TestFileIsKeptAndPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	must(t, open(t, path).Write(event("a")))
	must(t, open(t, path).Write(event("b"))) // a later process
	wantIDs(t, path, "a b")
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestMovedAndDeletedFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := open(t, path)
	must(t, l.Write(event("a")))
	must(t, os.Rename(path, path+".1"))
	must(t, l.Write(event("b")))
	wantIDs(t, path+".1", "a")
	wantIDs(t, path, "b")

	must(t, os.Remove(path))
	must(t, l.Write(event("c")))
	wantIDs(t, path, "c")

	must(t, os.Rename(path, path+".2")) // another process has created the next file
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, l.Write(event("d")))
	wantIDs(t, path+".2", "c")
	wantIDs(t, path, "d")

	must(t, os.Truncate(path, 0)) // copytruncate of logrotate
	must(t, l.Write(event("e")))
	wantIDs(t, path, "e")
}

// A file that cannot be opened any more is not silently replaced by the old one.
func TestFileThatCannotBeOpened(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	path := filepath.Join(dir, "audit.log")
	l, err := audit.Open(path)
	if err == nil || l == nil {
		t.Fatalf("a folder that does not exist: %v, %v", l, err)
	}
	if err := l.Write(event("a")); !errors.Is(err, audit.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	must(t, os.Mkdir(dir, 0o700)) // such as a volume that is mounted late
	must(t, l.Write(event("b")))
	must(t, os.Rename(dir, dir+"-old"))
	if err := l.Write(event("c")); !errors.Is(err, audit.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if err := l.Reopen(); err == nil {
		t.Error("the log was reopened")
	}
	must(t, os.Rename(dir+"-old", dir))
	must(t, l.Write(event("d")))
	must(t, l.Reopen())
	must(t, l.Write(event("e")))
	wantIDs(t, path, "b d e")
	must(t, l.Close())
	must(t, l.Write(event("f"))) // after the next Reopen by itself
	wantIDs(t, path, "b d e f")
}

// A crash may leave a part of a line.
func TestFileThatEndsWithinALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	must(t, os.WriteFile(path, []byte(`{"time":"2026`), 0o600))
	l := open(t, path)
	must(t, l.Write(event("a")))
	must(t, l.Write(event("b")))
	wantIDs(t, path, "broken a b")
}

// shortWriter writes a part of what it gets, once.
type shortWriter struct {
	bytes.Buffer
	done bool
}

func (h *shortWriter) Write(b []byte) (int, error) {
	if h.done {
		return h.Buffer.Write(b)
	}
	h.done = true
	n, _ := h.Buffer.Write(b[:len(b)/2])
	return n, io.ErrShortWrite
}

func TestPartOfALineGetsAnEnd(t *testing.T) {
	out := &shortWriter{}
	l := audit.New(out)
	if err := l.Write(event("a")); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v", err)
	}
	must(t, l.Write(event("b")))
	must(t, l.Write(event("c")))
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 4 || !strings.Contains(lines[1], `"b"`) || !strings.HasSuffix(lines[1], "}") || !strings.Contains(lines[2], `"c"`) {
		t.Errorf("wrote\n%s", out.String())
	}
}

// slowWriter writes when it may.
type slowWriter struct{ may chan struct{} }

func (s slowWriter) Write(b []byte) (int, error) {
	<-s.may
	return len(b), nil
}

// While a write hangs, other lines fail soon, and the state of the log can be read.
func TestWriteThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := slowWriter{make(chan struct{})}
		l := audit.New(out)
		first := make(chan error, 1)
		go func() { first <- l.Write(event("a")) }()
		synctest.Wait()
		must(t, l.Err())
		if n := l.Failures(); n != 0 {
			t.Errorf("%d failures", n)
		}
		begin := time.Now()
		if err := l.Write(event("b")); !errors.Is(err, audit.ErrUnavailable) || !strings.Contains(err.Error(), "another line") {
			t.Errorf("got %v", err)
		}
		if waited := time.Since(begin); waited > time.Second {
			t.Errorf("the second line waited %v", waited)
		}
		if n := l.Failures(); n != 1 || l.Err() == nil {
			t.Errorf("%d failures, the last %v", n, l.Err())
		}
		close(out.may)
		must(t, <-first)
		must(t, l.Write(event("c")))
		must(t, l.Err())
	})
}

func BenchmarkWrite(b *testing.B) {
	l, err := audit.Open(filepath.Join(b.TempDir(), "audit.log"))
	if err != nil {
		b.Fatal(err)
	}
	e := audit.Event{
		Time: time.Now(), Kind: audit.TokenIssued, RequestID: "EMJVPTP7RVDVPS3DN6NNFBZEGB", Route: "/oauth2/token", Address: "127.0.0.1",
		Client: "billing", Method: "client_secret_basic", ID: "EMJVPTP7RVDVPS3DN6NNFBZEGB", KeyID: "cfSNbnhg8flg_-9IrFRh8gDjn6THkfT6_cvTk1yq_rU",
		Subject: "billing", Audience: []string{"https://api.example.com"}, Scope: "read write", ExpiresAt: 1795961711,
	}
	for b.Loop() {
		if err := l.Write(e); err != nil {
			b.Fatal(err)
		}
	}
}
