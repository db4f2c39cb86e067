//go:build unix

package etcdcluster

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Member is one member of a cluster: a process, which may have ended.
type Member struct {
	t                   testing.TB
	program, name, dir  string
	endpoint, peer      string
	args                []string
	state               processState
	command             *exec.Cmd
	stdin               io.Closer
	ready, ended        chan struct{}
	output              *lockedBuffer
	cleanupIsRegistered bool
}

type processState int

const (
	down processState = iota
	running
	frozen
)

// Endpoint is the address for clients, HOST:PORT.
func (m *Member) Endpoint() string { return m.endpoint }

// Start starts the process again, with the data that it had, and more arguments for this
// once. It does not wait until the member has found a leader: see WaitReady.
func (m *Member) Start(args ...string) {
	m.t.Helper()
	if m.state != down {
		m.t.Fatalf("member %s runs already", m.name)
	}
	m.launch(args)
}

// Kill ends the process with SIGKILL.
func (m *Member) Kill() { m.t.Helper(); m.end(syscall.SIGKILL) }

// Stop ends the process with SIGTERM. A leader hands the leadership over.
func (m *Member) Stop() { m.t.Helper(); m.end(syscall.SIGTERM) }

// Freeze stops the process with SIGSTOP. Its connections stay open and nothing answers.
func (m *Member) Freeze() {
	m.t.Helper()
	m.signal(syscall.SIGSTOP)
	m.state = frozen
	for deadline := time.Now().Add(waitTimeout); !m.isStopped(); {
		if time.Now().After(deadline) {
			m.t.Errorf("%s does not stop", m.name)
			return
		}
	}
}

// isStopped reports whether every thread of the process has stopped, which happens some
// time after the signal. Only Linux says so.
func (m *Member) isStopped() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", m.command.Process.Pid))
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		_, fields, _ := strings.Cut(string(text), ") ") // the name before it may contain anything
		if !strings.HasPrefix(fields, "T") {
			return false
		}
	}
	return true
}

// Thaw lets a frozen process continue.
func (m *Member) Thaw() {
	m.t.Helper()
	m.signal(syscall.SIGCONT)
	m.state = running
}

func (m *Member) end(signal syscall.Signal) {
	m.t.Helper()
	if m.state == down {
		return
	}
	m.signal(signal)
	select {
	case <-m.ended:
	case <-time.After(waitTimeout):
		m.t.Errorf("member %s does not end\n%s", m.name, m.output)
	}
	m.state = down
}

func (m *Member) signal(signal syscall.Signal) {
	m.t.Helper()
	if err := m.command.Process.Signal(signal); err != nil {
		m.t.Fatalf("member %s: %v: %v\n%s", m.name, signal, err, m.output)
	}
}

// launch starts the process.
func (m *Member) launch(args []string) {
	m.t.Helper()
	m.output = &lockedBuffer{}
	m.ready, m.ended = make(chan struct{}), make(chan struct{})
	m.command = exec.Command(m.program, append(slices.Clip(m.args), args...)...) //nolint:gosec,noctx // our program; the cleanup ends it
	m.command.Stderr = m.output
	stdin, err := m.command.StdinPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	stdout, err := m.command.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.command.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.stdin, m.state = stdin, running
	command, ready, ended := m.command, m.ready, m.ended
	go func() {
		defer close(ended)
		if line, _ := bufio.NewReader(stdout).ReadString('\n'); line == "ready\n" {
			close(ready)
		}
		_, _ = io.Copy(io.Discard, stdout)
		_ = command.Wait() // how it ended is in its output
	}()
	if !m.cleanupIsRegistered {
		m.cleanupIsRegistered = true
		m.t.Cleanup(func() { m.end(syscall.SIGKILL) })
	}
}

// WaitReady waits until the member that was started is part of a cluster with a leader.
func (m *Member) WaitReady() {
	m.t.Helper()
	select {
	case <-m.ready:
	case <-m.ended:
		m.state = down
		m.t.Fatalf("member %s ended\n%s", m.name, m.output)
	case <-time.After(waitTimeout):
		m.t.Fatalf("member %s is not ready\n%s", m.name, m.output)
	}
}

// lockedBuffer collects what a process writes.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
