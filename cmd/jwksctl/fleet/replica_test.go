//go:build soak

package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/store/storetest"
)

// replica is a server of the fleet, with a state folder of its own unless the store is a
// file. It is a process that dies and is started again.
type replica struct {
	name    string
	environ []string // of the process
	folder  string   // of its ready file and its log
	client  *http.Client
	checker *checker
	proxies []*storetest.Proxy // between it and each server of the store

	mu       sync.Mutex // guards the fields below
	process  *os.Process
	exited   chan struct{} // closed when the process has ended
	url      string        // empty while the process is down on purpose
	refusing time.Time     // when it began to answer 503; zero while it does not
}

func newReplica(name, folder string, environ []string, c *checker) *replica {
	return &replica{
		name: name, environ: environ, folder: folder, checker: c,
		// A process that is stopped answers when it goes on. Such late answers count too.
		client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{}},
	}
}

// start starts the process and waits until it is ready. A process that cannot start,
// because the store is away, is started again, as every service manager does.
func (r *replica) start(ctx context.Context, binary string, environ ...string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("it did not become ready"))
	defer cancel()
	for {
		exited, err := r.launch(binary, environ)
		if err != nil {
			return err
		}
		if r.awaitReady(ctx, exited) {
			return nil
		}
		if err := wait(ctx, 200*time.Millisecond); err != nil {
			return fmt.Errorf("replica %s: %w: %s", r.name, err, r.lastLines())
		}
	}
}

func (r *replica) launch(binary string, environ []string) (exited chan struct{}, err error) {
	_ = os.Remove(r.readyFile()) // of a process that was killed
	log, err := os.OpenFile(filepath.Join(r.folder, r.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()                                                                                          //nolint:errcheck // the process has its own copy
	cmd := exec.Command(binary, "serve", "--port", "0", "--ready-file", r.readyFile(), "--log-format", "text") //nolint:noctx // it ends when it is killed
	cmd.Env = slices.Concat(ownEnviron(), r.environ, environ)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	exited = make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.process == cmd.Process && r.url != "" {
			r.checker.report(fmt.Errorf("replica %s ended by itself: %v: %s", r.name, cmd.ProcessState, r.lastLines()))
		}
	}()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.process, r.exited = cmd.Process, exited
	return exited, nil
}

// awaitReady waits until the process is ready, and reports whether it is.
func (r *replica) awaitReady(ctx context.Context, exited chan struct{}) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-exited:
			return false
		case <-tick.C:
		}
		if url, err := os.ReadFile(r.readyFile()); err == nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.url = strings.TrimSpace(string(url))
			return true
		}
	}
}

// kill kills the process with SIGKILL.
func (r *replica) kill() {
	r.mu.Lock()
	r.url = ""
	process, exited := r.process, r.exited
	r.mu.Unlock()
	r.available()
	if process == nil {
		return
	}
	_ = process.Kill()
	<-exited
}

func (r *replica) signal(s os.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process.Signal(s)
}

// ask sends a request. The error is errDown if the process was down on purpose before
// the answer was complete.
func (r *replica) ask(ctx context.Context, method, path string) (status int, header http.Header, body []byte, err error) {
	url := r.currentURL()
	if url == "" {
		return 0, nil, nil, errDown
	}
	defer func() {
		if err != nil && (ctx.Err() != nil || r.currentURL() != url) {
			err = errDown
		}
	}()
	request, err := http.NewRequestWithContext(ctx, method, url+path, http.NoBody)
	if err != nil {
		return 0, nil, nil, err
	}
	response, err := r.client.Do(request)
	if err != nil {
		return 0, nil, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, response.Header, body, err
}

var errDown = errors.New("the process is down")

func (r *replica) currentURL() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.url
}

// mint asks for a token.
func (r *replica) mint(ctx context.Context) {
	status, _, body, err := r.ask(ctx, http.MethodPost, "/auth")
	if err == nil && status == http.StatusOK {
		err = r.checker.minted(body)
	}
	r.note(status, body, err)
}

// fetch asks for the JWK Set, and measures for how long it is refused.
func (r *replica) fetch(ctx context.Context) {
	sent := time.Now()
	status, header, body, err := r.ask(ctx, http.MethodGet, "/.well-known/jwks.json")
	if err == nil && status == http.StatusOK {
		err = r.checker.fetched(body, header, sent)
	}
	r.note(status, body, err)
	switch {
	case err != nil:
	case status == http.StatusOK:
		r.available()
	case status == http.StatusServiceUnavailable:
		r.mu.Lock()
		if r.refusing.IsZero() {
			r.refusing = time.Now()
		}
		r.mu.Unlock()
	}
}

// note reports an answer that is not a success and not the refusal of a process that
// cannot reach the store.
func (r *replica) note(status int, body []byte, err error) {
	switch {
	case errors.Is(err, errDown):
	case err != nil:
		r.checker.report(fmt.Errorf("replica %s: %w", r.name, err))
	case status != http.StatusOK && status != http.StatusServiceUnavailable:
		r.checker.report(fmt.Errorf("replica %s answers %d: %s", r.name, status, body))
	}
}

// available says that the replica does not answer 503, or not any more.
func (r *replica) available() {
	r.mu.Lock()
	since := r.refusing
	r.refusing = time.Time{}
	r.mu.Unlock()
	if !since.IsZero() {
		r.checker.count(func(row *row) { row.unavailable = max(row.unavailable, time.Since(since)) })
	}
}

func (r *replica) readyFile() string { return filepath.Join(r.folder, r.name+".ready") }

// lastLines returns the end of the log.
func (r *replica) lastLines() string {
	log, err := os.ReadFile(filepath.Join(r.folder, r.name+".log"))
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-20):], []byte("\n")))
}

// alarm matches a line of a log that no fault of the fleet explains.
var alarm = regexp.MustCompile(`(?i).*(panic|internal fault|unreadable|cannot be opened|damaged|unusable).*`)

// checkLog fails the test if the log has an alarm. It shows how many writes landed late,
// which is a fault of the store that the replicas have made good.
func (r *replica) checkLog(t *testing.T) {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(r.folder, r.name+".log"))
	if err != nil {
		t.Error(err)
	}
	if line := alarm.Find(log); line != nil {
		t.Errorf("replica %s raised an alarm: %s", r.name, line)
	}
	if n := bytes.Count(log, []byte("a write landed late")); n > 0 {
		t.Logf("replica %s found %d writes that landed late", r.name, n)
	}
}

// wait waits for this time. The error is the cause of a context that ended before.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// until waits until done returns true, for at most d. It returns whether it did.
func until(ctx context.Context, d time.Duration, done func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for !done() {
		if wait(ctx, 20*time.Millisecond) != nil {
			return false
		}
	}
	return true
}

// every calls do again and again until ctx is done.
func every(ctx context.Context, d time.Duration, do func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}
