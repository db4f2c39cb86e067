package etcdtest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/etcd"
	"github.com/jwksctl/jwksctl/pkg/store/etcdcluster"
)

// waitTimeout is how long a test waits for what must happen.
const waitTimeout = time.Minute

// processURL is the variable that makes this program another process of a test: it does
// what process says, on the store at that URL.
const processURL = "JWKSCTL_ETCDTEST_URL"

// program is the program of a member.
var program string

func TestMain(m *testing.M) {
	if url := os.Getenv(processURL); url != "" {
		os.Exit(process(url, os.Args[1:]))
	}
	built, err := etcdcluster.Build(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = built
	os.Exit(m.Run())
}

// runProcess runs this program as another process and returns what it writes.
func runProcess(t *testing.T, url string, args ...string) (code int, output string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0], args...)
	command.Env = append(os.Environ(), processURL+"="+url)
	out, err := command.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() < 0) {
		t.Errorf("%v: %v\n%s", args, err, out)
	}
	return command.ProcessState.ExitCode(), string(out)
}

// three starts a cluster of three members. The test runs in parallel with others.
func three(t *testing.T) *etcdcluster.Cluster {
	t.Helper()
	t.Parallel()
	return etcdcluster.Start(t, etcdcluster.Options{Program: program})
}

// single starts a cluster of one member. The test runs in parallel with others.
func single(t *testing.T, args ...string) *etcdcluster.Cluster {
	t.Helper()
	t.Parallel()
	return etcdcluster.Start(t, etcdcluster.Options{Program: program, Members: 1, Args: args})
}

// mustOpen opens a store that the caller closes.
func mustOpen(t *testing.T, url string) *etcd.Store {
	t.Helper()
	s, err := etcd.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// open opens a store until the end of the test.
func open(t *testing.T, url string) *etcd.Store {
	t.Helper()
	s := mustOpen(t, url)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// change replaces version with a document.
func change(version uint64, document string) keys.Change {
	return keys.Change{Version: version, Document: []byte(document)}
}

func swap(t *testing.T, s *etcd.Store, c keys.Change) {
	t.Helper()
	if err := s.Swap(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func wantKeyset(t *testing.T, s *etcd.Store, version uint64, document string) {
	t.Helper()
	record, err := s.Load(t.Context())
	if err != nil || record.Version != version || string(record.Document) != document {
		t.Fatalf("Load = version %d, %.50q, %v, want version %d, %.50q", record.Version, record.Document, err, version, document)
	}
}

// wantProblem checks that err is a StoreError with this problem, and not an error that
// says that nothing was written.
func wantProblem(t *testing.T, err error, problem string) {
	t.Helper()
	failed, ok := errors.AsType[*keys.StoreError](err)
	if !ok || failed.Problem != problem {
		t.Fatalf("the error is %v (%T), want a StoreError with the problem %q", err, err, problem)
	}
	if errors.Is(err, keys.ErrConflict) || errors.Is(err, keys.ErrTooLate) || errors.Is(err, keys.ErrNoKeyset) {
		t.Errorf("the error %v matches one of the contract", err)
	}
	if strings.Contains(failed.Problem, "127.0.0.1") || !strings.Contains(failed.Err.Error(), "127.0.0.1") {
		t.Errorf("the problem must not name the store, and the error must: %q: %v", failed.Problem, failed.Err)
	}
}

// eventually calls condition until it returns true.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(waitTimeout); time.Now().Before(end); {
		if condition() {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the test is over")
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatalf("it never came: %s", what)
}

// waiting starts a Wait and returns a channel with its result.
func waiting(t *testing.T, s *etcd.Store, version uint64) <-chan error {
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- s.Wait(ctx, version) }()
	t.Cleanup(cancel)
	return result
}

func receive(t *testing.T, result <-chan error) error {
	t.Helper()
	select {
	case err := <-result:
		return err
	case <-time.After(waitTimeout):
		t.Fatal("Wait does not return")
		return nil
	}
}

// contains selects the messages that contain text.
func contains(text string) func([]byte) bool {
	return func(message []byte) bool { return bytes.Contains(message, []byte(text)) }
}

// watchers returns how many watches a member has, from its metrics.
func watchers(t *testing.T, endpoint string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+endpoint+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^etcd_debugging_mvcc_watcher_total (\d+)`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("the metrics of the member do not count watches:\n%s", text)
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func asStoreError(t *testing.T, err error) *keys.StoreError {
	t.Helper()
	failed, ok := errors.AsType[*keys.StoreError](err)
	if !ok {
		t.Fatalf("the error is %v (%T), want a StoreError", err, err)
	}
	return failed
}

// port is the port of the first member.
func port(cluster *etcdcluster.Cluster) string {
	_, port, _ := strings.Cut(cluster.Endpoints()[0], ":")
	return port
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
