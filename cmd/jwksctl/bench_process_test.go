//go:build bench && linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// measured is a process under load.
type measured struct {
	cmd *exec.Cmd
	url string
	up  time.Duration // from exec to the first JWK Set
}

// place is where a process may run; nil is anywhere.
type place *unix.CPUSet

// sides are the two halves of the processors, by their numbers: a server and the
// load on it that fight for the same ones measure the fight. One processor is both.
// Where two processors are threads of one core, the halves may share cores.
func sides(t *testing.T) (servers, loads place) {
	t.Helper()
	var all, first, second unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	if all.Count() < 2 {
		return nil, nil
	}
	for i, n := 0, 0; n < all.Count(); i++ {
		if !all.IsSet(i) {
			continue
		}
		if n < all.Count()/2 {
			first.Set(i)
		} else {
			second.Set(i)
		}
		n++
	}
	return &first, &second
}

// startAt starts a process, which inherits its place from the thread that does.
func startAt(where place, cmd *exec.Cmd) error {
	if where == nil {
		return cmd.Start()
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: no other goroutine may get this thread
		if err := unix.SchedSetaffinity(0, where); err != nil {
			done <- err
			return
		}
		done <- cmd.Start()
	}()
	return <-done
}

// buildBinary makes what `make build` makes.
func buildBinary(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "jwksctl")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// startServer runs the real server on a store under home, and returns once it
// has answered with its JWK Set.
func startServer(t *testing.T, where place, bin, home string, flags ...string) *measured {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "ready")
	cmd := exec.CommandContext(t.Context(), bin, append([]string{"serve", "--port", "0", "--ready-file", ready, "--issuer", "http://127.0.0.1:8080", "--log-level", "warn"}, flags...)...)
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_STATE_HOME="+home)
	cmd.Stderr = os.Stderr
	start := time.Now()
	if err := startAt(where, cmd); err != nil {
		t.Fatal(err)
	}
	m := &measured{cmd: cmd}
	t.Cleanup(m.stop)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 20_000 {
		<-tick.C
		url, err := os.ReadFile(ready)
		if err != nil {
			continue
		}
		m.url = strings.TrimSpace(string(url))
		if _, err := etagOf(t.Context(), m.url+"/jwks"); err != nil {
			t.Fatal(err)
		}
		m.up = time.Since(start)
		return m
	}
	t.Fatal("the server did not become ready")
	return nil
}

// startBare runs the bare handler on what the server says at path.
func startBare(t *testing.T, where place, server *measured, path string) *measured {
	t.Helper()
	cmd := helper(t.Context(), "bare")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := startAt(where, cmd); err != nil {
		t.Fatal(err)
	}
	m := &measured{cmd: cmd}
	t.Cleanup(m.stop)
	if _, err := fmt.Fprintln(in, server.url+path); err != nil {
		t.Fatal(err)
	}
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	m.url = strings.TrimSpace(url)
	return m
}

func (m *measured) stop() {
	_ = m.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	_ = m.cmd.Wait()
}

// etagOf asks for a document.
func etagOf(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", url, response.Status)
	}
	return response.Header.Get("Etag"), nil
}

// memory reads a line of /proc/PID/status: VmRSS or VmHWM. In MiB.
func (m *measured) memory(t *testing.T, name string) float64 {
	t.Helper()
	data, err := os.ReadFile(m.proc("status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == name+":" {
			kib, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib / 1024
		}
	}
	t.Fatalf("no %s in /proc", name)
	return 0
}

// busy is the time that the process has spent on processors.
func (m *measured) busy(t *testing.T) time.Duration {
	t.Helper()
	threads, err := filepath.Glob(m.proc("task/*/schedstat"))
	if err != nil {
		t.Fatal(err)
	}
	var sum time.Duration
	for _, thread := range threads {
		data, err := os.ReadFile(thread)
		if err != nil {
			continue // the thread has ended
		}
		first, _, _ := strings.Cut(string(data), " ")
		ns, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(ns)
	}
	return sum
}

func (m *measured) proc(name string) string {
	return filepath.Join("/proc", strconv.Itoa(m.cmd.Process.Pid), name)
}
