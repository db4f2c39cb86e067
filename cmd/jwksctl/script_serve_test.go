package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// storyTimeout is how long a story waits for another process before it fails.
const storyTimeout = 30 * time.Second

// servers are the running servers of a story, by name.
type (
	servers    map[string]*running
	serversKey struct{}
	running    struct {
		cmd   *exec.Cmd
		ended chan struct{} // closed when the process has ended and err is set
		err   error
	}
)

// serve starts a server on a free port and waits until it answers. The variable NAME is
// then its URL, NAME_pid the id of its process, and the file NAME.log receives its standard
// error.
//
//	serve one --rotation-interval 10s
func serve(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, "serve NAME [flags...]")
	log, err := os.Create(ts.MkAbs(args[0] + ".log"))
	ts.Check(err)
	startServer(ts, args[0], log, args[1:])
}

// serveUnread is serve with a standard error that nobody reads once the server answers.
//
//	serve-unread one --rotation-interval 10s
func serveUnread(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, "serve-unread NAME [flags...]")
	reader, writer, err := os.Pipe()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".log"), nil, 0o600))
	startServer(ts, args[0], writer, args[1:])
	ts.Check(reader.Close())
}

func startServer(ts *testscript.TestScript, name string, stderr *os.File, flags []string) {
	ready := ts.MkAbs(name + ".ready")
	_ = os.Remove(ready) // of a server that was killed
	s := start(ts, nil, stderr, append([]string{"serve", "--port", "0", "--ready-file", ready}, flags...))
	all, _ := ts.Value(serversKey{}).(servers)
	all[name] = s
	ts.Setenv(name+"_pid", strconv.Itoa(s.cmd.Process.Pid))

	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(storyTimeout)
	for {
		url, err := os.ReadFile(ready)
		if err == nil {
			ts.Setenv(name, strings.TrimSpace(string(url)))
			return
		}
		select {
		case <-tick.C:
		case <-s.ended:
			ts.Fatalf("the server ended: %v\n%s", s.err, ts.ReadFile(name+".log"))
		case <-deadline:
			ts.Fatalf("the server is not ready:\n%s", ts.ReadFile(name+".log"))
		}
	}
}

// start runs jwksctl in the background and kills it if the story ends first. It closes
// stderr at the end.
func start(ts *testscript.TestScript, stdin, stderr *os.File, args []string) *running {
	s := &running{cmd: jwksctl(ts, args), ended: make(chan struct{})}
	s.cmd.Stderr = stderr
	if stdin != nil {
		s.cmd.Stdin = stdin
	}
	ts.Check(s.cmd.Start())
	go func() {
		defer close(s.ended)
		s.err = errors.Join(s.cmd.Wait(), stderr.Close())
	}()
	ts.Defer(func() {
		_ = s.cmd.Process.Kill() // most have ended already
		<-s.ended
	})
	return s
}

// jwksctl is a command that runs jwksctl in the folder and environment of the story.
func jwksctl(ts *testscript.TestScript, args []string) *exec.Cmd {
	path, _, _ := strings.Cut(ts.Getenv("PATH"), string(filepath.ListSeparator)) // testscript.Main has put it first
	cmd := exec.CommandContext(context.Background(), filepath.Join(path, "jwksctl"+ts.Getenv("exe")), args...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{
		"PATH", "HOME", "XDG_STATE_HOME", "TMPDIR", "GORACE", "JWKSCTL_ALGORITHM", "JWKSCTL_STORE", "JWKSCTL_CONFIG",
	} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	return cmd
}

// sends sends a signal to a server, which must not end:
//
//	send HUP one
func sends(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, "send SIGNAL NAME")
	all, _ := ts.Value(serversKey{}).(servers)
	s := all[args[1]]
	if s == nil {
		ts.Fatalf("there is no server %s", args[1])
	}
	ts.Check(s.cmd.Process.Signal(signals(ts, args[0])))
}

// logs waits until a line of a file, such as the log of a server, matches:
//
//	logs '"msg":"drained"' one.log
func logs(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, "logs PATTERN FILE")
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(storyTimeout)
	for {
		text, err := os.ReadFile(ts.MkAbs(args[1]))
		ts.Check(err)
		if pattern.Match(text) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("no line matches:\n%s", text)
		}
	}
}

// end sends a signal to a server, which must end with this exit code; -1 is that
// of a process that a signal ended.
//
//	end TERM 0 one
func end(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 3, "end SIGNAL CODE NAME")
	all, _ := ts.Value(serversKey{}).(servers)
	s := all[args[2]]
	if s == nil {
		ts.Fatalf("there is no server %s", args[2])
	}
	delete(all, args[2])
	s.end(ts, args[0], args[1])
}

func (s *running) end(ts *testscript.TestScript, signal, code string) {
	ts.Check(s.cmd.Process.Signal(signals(ts, signal)))
	select {
	case <-s.ended:
	case <-time.After(storyTimeout):
		ts.Fatalf("%s did not end it", signal)
	}
	if got := s.cmd.ProcessState.ExitCode(); strconv.Itoa(got) != code {
		ts.Fatalf("exit code %d, want %s", got, code)
	}
}

func signals(ts *testscript.TestScript, name string) os.Signal {
	s, ok := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "KILL": os.Kill, "HUP": syscall.SIGHUP}[name]
	if !ok {
		ts.Fatalf("unknown signal %s", name)
	}
	return s
}

// signalled sends a signal to jwksctl while it reads from standard input:
//
//	signal INT 130 verify -
func signalled(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 3, "signal SIGNAL CODE args...")
	in, input, err := os.Pipe()
	ts.Check(err)
	defer func() { _ = input.Close() }()
	log, err := os.Create(ts.MkAbs("signal.log"))
	ts.Check(err)
	s := start(ts, in, log, args[2:])
	ts.Check(in.Close())
	// This is more than a pipe can buffer: when it is written, the process has read a part.
	_, err = input.WriteString(strings.Repeat(" ", 256<<10))
	ts.Check(err)
	s.end(ts, args[0], args[1])
}

// request sends an HTTP request and checks the status; the body "-" is none. stdout is
// then the body of the response and stderr its header.
//
//	http POST $one/auth 200 username=alice 'Accept: application/jwt'
func request(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 3, "http METHOD URL STATUS [BODY] [HEADER...]")
	response, body, err := send(args[0], args[1], args[3:])
	ts.Check(err)
	_, err = ts.Stdout().Write(body)
	ts.Check(errors.Join(err, response.Header.Write(ts.Stderr())))
	if got := strconv.Itoa(response.StatusCode); got != args[2] {
		ts.Fatalf("status %s, want %s", got, args[2])
	}
}

// awaits repeats a request until the body of the response matches, or does not:
//
//	awaits POST $two/auth '"kid":"'$NEW
//	! awaits GET $two/jwks $OLD
func awaits(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, false, args, 3, "awaits METHOD URL PATTERN")
	pattern, err := regexp.Compile(args[2])
	ts.Check(err)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(storyTimeout)
	began := time.Now()
	for {
		_, body, err := send(args[0], args[1], nil)
		if err == nil && pattern.Match(body) != neg {
			ts.Logf("it took %v", time.Since(began))
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("it did not happen; the last response: %v\n%s", err, body)
		}
	}
}

func send(method, url string, rest []string) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), storyTimeout)
	defer cancel()
	var content io.Reader = http.NoBody
	if len(rest) > 0 && rest[0] != "-" {
		content = strings.NewReader(rest[0])
	}
	r, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return nil, nil, err
	}
	if content != http.NoBody {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i, line := range rest {
		if name, value, ok := strings.Cut(line, ":"); i > 0 && ok {
			r.Header.Set(name, strings.TrimSpace(value))
		}
	}
	// Without keep-alive, because an idle connection would delay the drain of a server.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("the body: %v", err)
	}
	return response, body, nil
}
