package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"modernc.org/sqlite"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// These variables make the test binary a process that uses the store at the path.
const (
	roleEnv = "SQLITE_TEST_ROLE"
	pathEnv = "SQLITE_TEST_PATH"
)

func TestMain(m *testing.M) {
	roles := map[string]func(ctx context.Context, path string) error{"create": create, "write": writeVersions, "read": readOnce, "readMany": readMany}
	role, ok := roles[os.Getenv(roleEnv)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := role(context.Background(), os.Getenv(pathEnv)); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// create waits for the end of its input, opens the store, tries to create the
// keyset and prints "created" or "lost".
func create(ctx context.Context, path string) error {
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	s, err := Open(ctx, path, time.Now)
	if err != nil {
		return err
	}
	if runtime.GOOS == "linux" && !sqlite.OFDLockingEnabled() {
		return errors.New("the file is not locked by open file description")
	}
	err = s.Swap(ctx, keys.Change{Document: []byte("one")})
	switch {
	case err == nil:
		fmt.Println("created")
	case errors.Is(err, keys.ErrConflict):
		fmt.Println("lost")
	default:
		return err
	}
	return s.Close()
}

// writeVersions commits one version after the other and prints each. The document and
// the kid of the only private key are the version.
func writeVersions(ctx context.Context, path string) error {
	s, err := Open(ctx, path, time.Now)
	if err != nil {
		return err
	}
	for {
		record, err := s.Load(ctx)
		if err != nil && !errors.Is(err, keys.ErrNoKeyset) {
			return err
		}
		next := fmt.Sprint(record.Version + 1)
		err = s.Swap(ctx, keys.Change{
			Version:  record.Version,
			Document: []byte(next),
			Put:      map[string][]byte{next: []byte(next)},
			Delete:   []string{fmt.Sprint(record.Version)},
		})
		switch {
		case err == nil:
			fmt.Println(next)
		case !errors.Is(err, keys.ErrConflict):
			return err
		}
	}
}

// process is a running test binary and its output.
type process struct {
	cmd *exec.Cmd
	out *bufio.Scanner
}

func startProcess(t *testing.T, role, path string, stdin io.Reader) *process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"="+role, pathEnv+"="+path)
	cmd.Stdin = stdin
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &process{cmd: cmd, out: bufio.NewScanner(out)}
}

// commits counts how often processes reported that they committed a version. A
// committed version that was lost later would be committed twice.
type commits map[uint64]int

func (c commits) add(t *testing.T, line string) {
	t.Helper()
	version, err := strconv.ParseUint(line, 10, 64)
	if err != nil {
		t.Fatalf("a process printed %q", line)
	}
	if c[version]++; c[version] > 1 {
		t.Errorf("version %d was committed twice", version)
	}
}

// waitForCommit waits until the process reports another commit.
func (p *process) waitForCommit(t *testing.T, c commits) {
	t.Helper()
	if !p.out.Scan() {
		t.Fatal("a process ended without being killed")
	}
	c.add(t, p.out.Text())
}

// kill ends the process and adds the commits that it had reported.
func (p *process) kill(t *testing.T, c commits) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for p.out.Scan() {
		c.add(t, p.out.Text())
	}
	_ = p.cmd.Wait()
}

// wantConsistent checks that the document and the only private key are those of one
// version, at least of version reported.
func wantConsistent(t *testing.T, s *Store, reported uint64) {
	t.Helper()
	record, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if record.Version < reported {
		t.Fatalf("version %d was committed, the store is at %d", reported, record.Version)
	}
	if string(record.Document) != fmt.Sprint(record.Version) {
		t.Errorf("version %d has the document of %s", record.Version, record.Document)
	}
	var count int
	var kid, sealed string
	err = s.db.QueryRowContext(t.Context(), `SELECT count(*), kid, sealed FROM private_key`).Scan(&count, &kid, &sealed)
	if err != nil || count != 1 || kid != fmt.Sprint(record.Version) || sealed != kid {
		t.Errorf("version %d has %d private keys, one of them %s: %s, %v", record.Version, count, kid, sealed, err)
	}
}

func TestKilledWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	reported := make(commits)
	one, two := startProcess(t, "write", path, nil), startProcess(t, "write", path, nil)
	for round := range 12 {
		// Two processes write. One is killed during its next write; the other goes on.
		for range round + 1 {
			one.waitForCommit(t, reported)
		}
		one.kill(t, reported)
		two.waitForCommit(t, reported)
		one, two = two, startProcess(t, "write", path, nil)
	}
	one.kill(t, reported)
	two.kill(t, reported)

	s := openStore(t, path)
	wantConsistent(t, s, slices.Max(slices.Collect(maps.Keys(reported))))
	var verdict string
	if err := s.db.QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity_check = %s, %v", verdict, err)
	}
}

func TestProcessesCreateOneKeyset(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "keys.db")
	input, start, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	processes := make([]*process, 5)
	for i := range processes {
		processes[i] = startProcess(t, "create", path, input)
	}
	for _, p := range processes {
		if !p.out.Scan() || p.out.Text() != "ready" {
			t.Fatalf("a process printed %q", p.out.Text())
		}
	}
	if err := errors.Join(start.Close(), input.Close()); err != nil {
		t.Fatal(err)
	}
	results := make(map[string]int)
	for _, p := range processes {
		p.out.Scan()
		results[p.out.Text()]++
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("a process: %v", err)
		}
	}
	if results["created"] != 1 || results["lost"] != len(processes)-1 {
		t.Errorf("the processes printed %v", results)
	}
	wantVersion(t, openStore(t, path), 1)
}
