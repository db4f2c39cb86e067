//go:build unix

package seal

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// shell is the source of a shell script.
func shell(t *testing.T, script string) Source {
	t.Helper()
	path := filepath.Join(t.TempDir(), "command")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := ParseSource("exec:sh '" + path + "'")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A process that the command started ends with it.
func TestCommandThatHangsInAnotherProcess(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := os.ReadFile(fifo) // until no process has it open
		ended <- err
	}()
	s := shell(t, "sleep 20 > '"+fifo+"' &\nwait\n")
	if _, err := s.output(t.Context(), Environment{Environ: os.Environ()}, 500*time.Millisecond); !errors.Is(err, ErrCommand) {
		t.Errorf("output = %v", err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the process that the command started goes on")
	}
}

// A command that fails again and again is called once in reloadPause, and what it writes to
// standard error is logged once.
func TestCommandIsNotCalledAllTheTime(t *testing.T) {
	text, names := newText(t, 1)
	folder := t.TempDir()
	key, calls := filepath.Join(folder, "key"), filepath.Join(folder, "calls")
	s := shell(t, "echo >> '"+calls+"'\ncat '"+key+"' || { echo no key today >&2; exit 1; }\n")
	if err := os.WriteFile(key, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		sealer, err := Open(t.Context(), s, Environment{Environ: os.Environ(), Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(key); err != nil {
			t.Fatal(err)
		}
		for range 25 { // seconds
			if err := sealer.Reload(t.Context()); !errors.Is(err, ErrCommand) || !slices.Equal(sealer.Names(), names) {
				t.Errorf("Reload = %v", err)
			}
			time.Sleep(time.Second)
		}
		if n := strings.Count(log.String(), "no key today"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, &log)
		}
		if called, err := os.ReadFile(calls); err != nil || len(called) != 1+3 {
			t.Errorf("called %d times, %v, want once at the start and three times in 25 seconds", len(called), err)
		}
		if err := os.WriteFile(key, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(reloadPause)
		if err := sealer.Reload(t.Context()); err != nil {
			t.Error(err)
		}
		if err := os.Remove(key); err != nil {
			t.Fatal(err)
		}
		time.Sleep(reloadPause)
		if err := sealer.Reload(t.Context()); err == nil || strings.Count(log.String(), "no key today") != 2 {
			t.Errorf("Reload = %v, and a failure after a success is not logged:\n%s", err, &log)
		}
	})
}

func TestCommandDoesNotGetWhatIsForThisProcess(t *testing.T) {
	s := shell(t, "env\n")
	text, err := s.output(t.Context(), Environment{Environ: append(os.Environ(),
		"JWKSCTL_STORE=postgres://u:password@db/x", "NOTIFY_SOCKET=/run/n", "LISTEN_FDS=1", "LISTEN_PID=2", "SEAL_TEST=kept")}, time.Minute)
	if err != nil || !strings.Contains(string(text), "SEAL_TEST=kept") {
		t.Fatalf("output = %v", err)
	}
	for _, gone := range []string{"JWKSCTL_", "NOTIFY_SOCKET", "LISTEN_"} {
		if strings.Contains(string(text), gone) {
			t.Errorf("the command gets %s", gone)
		}
	}
}
