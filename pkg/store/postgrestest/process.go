//go:build unix

package postgrestest

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Command returns a command that runs a program as the user of the server: one of
// PostgreSQL, such as pg_dump, or that at an absolute path.
func (s *Server) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	return s.in.command(ctx, program, args...)
}

// Stop ends every connection and stops the server in order.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if err := s.process.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	s.waitForExit(t)
}

// Restart stops the server in order and starts it.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop(t)
	s.Start(t)
}

// Kill ends every process of the server by SIGKILL. Start recovers from it.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	select {
	case <-s.exited:
		return
	default:
	}
	// A server that is stopped starts no process after the list has been made. The list
	// comes before its end, after which they are no longer its children.
	_ = s.process.Process.Signal(syscall.SIGSTOP)
	pids := children(s.process.Process.Pid)
	for _, pid := range append(pids, s.process.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
	s.waitForExit(t)
	for _, pid := range pids { // a new server refuses to start while one of them is there
		waitForEnd(t, pid)
	}
}

// waitForEnd waits until a process that is not a child of ours has ended. In a container
// it may remain as a zombie.
func waitForEnd(t testing.TB, pid int) {
	t.Helper()
	for end := time.Now().Add(waitTimeout); ; {
		state, _ := exec.CommandContext(context.Background(), "ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output() //nolint:gosec,usetesting // the argument is a number; it also runs after the test
		if len(state) == 0 || state[0] == 'Z' {
			return
		}
		if time.Now().After(end) {
			t.Errorf("process %d of the server does not end", pid)
			return
		}
		<-time.After(5 * time.Millisecond)
	}
}

// Pause stops every process of the server by SIGSTOP: connections stay, and nothing
// answers.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	s.signal(syscall.SIGSTOP)
	t.Cleanup(func() { s.signal(syscall.SIGCONT) })
}

// Resume lets a paused server go on.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	s.signal(syscall.SIGCONT)
}

// signal sends a signal to the server, and then to each of its processes.
func (s *Server) signal(sig syscall.Signal) {
	_ = s.process.Process.Signal(sig) // it may have ended
	for _, pid := range children(s.process.Process.Pid) {
		_ = syscall.Kill(pid, sig) // likewise
	}
}

// children returns the processes that a process has started.
func children(parent int) (pids []int) {
	out, err := exec.CommandContext(context.Background(), "ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) != 2 || fields[1] != strconv.Itoa(parent) {
			continue
		}
		if pid, err := strconv.Atoi(fields[0]); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (s *Server) waitForExit(t testing.TB) {
	t.Helper()
	select {
	case <-s.exited:
	case <-time.After(waitTimeout):
		t.Errorf("the server does not end:\n%s", s.Log())
	}
}

// removeWhenTestProcessEnds starts a process that waits for the end of the test process. A
// test that is killed would otherwise leave the server and its folder.
func (s *Server) removeWhenTestProcessEnds(t testing.TB) {
	t.Helper()
	const script = `read line
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null && sleep 1
rm -rf "$1"`
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "sh", "-c", script, "sh", s.Folder) //nolint:gosec // a constant script
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	// A signal to the group of the test process does not end it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
}
