//go:build bench && linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// benchProcess is a server under measurement: jwksctl or a bare server.
type benchProcess struct {
	cmd *exec.Cmd
	url string
}

// splitCPUs returns the processors that servers are pinned to and those that load
// generators are pinned to, as taskset takes them. A server and its load generator
// that compete for the same processors measure the scheduler, and the figures then
// vary more from run to run than the goals allow. With one processor, nothing is pinned.
func splitCPUs(n int) (servers, loads string) {
	if n < 2 {
		return "", ""
	}
	return fmt.Sprintf("0-%d", n/2-1), fmt.Sprintf("%d-%d", n/2, n-1)
}

// command is a command with its files under home, on these processors, or on any if
// cpus is empty. The kernel kills its process when this one ends for any reason.
func (b *bench) command(cpus, home string, args ...string) *exec.Cmd {
	if cpus != "" {
		args = append([]string{"taskset", "-c", cpus}, args...)
	}
	cmd := exec.CommandContext(b.ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_STATE_HOME="+home, "TMPDIR="+home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	return cmd
}

// serveAll starts one server for each binary, on the processors for servers.
func (b *bench) serveAll(flags ...string) (servers []*benchProcess) {
	for _, binary := range b.binaries {
		server, _ := b.serve(binary, b.TempDir(), b.serverCPUs, flags...)
		servers = append(servers, server)
	}
	return servers
}

// serve starts a server whose store is under home. It returns after the first
// answer to GET /jwks, with the time from exec until then.
func (b *bench) serve(binary, home, cpus string, flags ...string) (*benchProcess, time.Duration) {
	ready := filepath.Join(b.TempDir(), "ready")
	args := []string{binary, "serve", "--port", "0", "--ready-file", ready, "--issuer", "http://127.0.0.1:8080", "--log-level", "error"}
	start := time.Now()
	p := b.begin(b.command(cpus, home, append(args, flags...)...))
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 20_000 {
		<-tick.C
		url, err := os.ReadFile(ready)
		if err != nil {
			continue // the server is not ready yet
		}
		p.url = strings.TrimSpace(string(url))
		b.etag(p.url + "/jwks")
		return p, time.Since(start)
	}
	b.Fatal("the server did not become ready")
	return nil, 0
}

// begin starts a process that the end of the part stops.
func (b *bench) begin(cmd *exec.Cmd) *benchProcess {
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	p := &benchProcess{cmd: cmd}
	b.Cleanup(p.stop)
	return p
}

func (p *benchProcess) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // the process may have ended
	_ = p.cmd.Wait()
}

// etag asks for a document and returns its ETag.
func (b *bench) etag(url string) string {
	header, _, err := fetch(b.ctx, http.MethodGet, url)
	if err != nil {
		b.Fatal(err)
	}
	return header.Get("ETag")
}

func fetch(ctx context.Context, method, url string) (http.Header, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return nil, nil, err
	}
	request.Close = true // or the server would wait for this connection when it stops
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s", method, url, response.Status)
	}
	return response.Header, body, err
}

// peakMiB reads the peak of the resident memory from /proc.
func (p *benchProcess) peakMiB(t *testing.T) float64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(data), "VmHWM:")
	var kib float64
	if _, err := fmt.Sscanf(after, "%f kB", &kib); err != nil {
		t.Fatalf("no VmHWM in /proc: %v", err)
	}
	return kib / 1024
}

const taskVariable = "BENCH_TASK"

// helperTask is the task of a helper process, which runs this test binary again: a
// load generator or a counterpart. One member is set.
type helperTask struct {
	Load   *load
	Bare   *bareTask
	Verify *verifyTask
}

// TestBenchHelper is the code of a helper process. It prints its answer as JSON.
func TestBenchHelper(t *testing.T) {
	text, isHelper := os.LookupEnv(taskVariable)
	if !isHelper {
		t.Skip("only for the processes that TestBench starts")
	}
	var task helperTask
	err := json.Unmarshal([]byte(text), &task)
	if err != nil {
		t.Fatal(err)
	}
	var answer any
	switch {
	case task.Load != nil:
		answer, err = task.Load.run(t.Context())
	case task.Bare != nil:
		answer, err = task.Bare.serve(t.Context())
	default:
		answer, err = task.Verify.run()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		t.Fatal(err)
	}
	if task.Bare != nil {
		select {} // TestBench ends this process
	}
}

// help starts a helper process; wait stores its answer.
func (b *bench) help(cpus string, task helperTask) (p *benchProcess, wait func(answer any)) {
	text, err := json.Marshal(task)
	if err != nil {
		b.Fatal(err)
	}
	cmd := b.command(cpus, b.TempDir(), os.Args[0], "-test.run=^TestBenchHelper$")
	cmd.Env = append(cmd.Env, taskVariable+"="+string(text))
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	p = b.begin(cmd)
	return p, func(answer any) {
		var printed bytes.Buffer
		if err := json.NewDecoder(io.TeeReader(out, &printed)).Decode(answer); err != nil {
			b.Fatalf("helper: %v: %s", err, &printed)
		}
		if task.Bare == nil {
			_ = cmd.Wait() // the answer is complete
		}
	}
}

// load runs a load generator and returns its samples, [round][target].
func (b *bench) load(l load) (samples [][]sample) {
	_, wait := b.help(b.loadCPUs, helperTask{Load: &l})
	wait(&samples)
	return samples
}

// serveBare starts a bare server on the processors for servers.
func (b *bench) serveBare(task bareTask) *benchProcess {
	p, wait := b.help(b.serverCPUs, helperTask{Bare: &task})
	wait(&p.url)
	return p
}
