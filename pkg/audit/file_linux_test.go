package audit_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/audit"
)

// child is the variable that makes the test binary one of the processes below.
const child = "AUDIT_TEST_CHILD"

func TestMain(m *testing.M) {
	switch name, path, _ := strings.Cut(os.Getenv(child), " "); name {
	case "":
		os.Exit(m.Run())
	case "appends":
		appends(path)
	case "limited":
		limited(path)
	}
}

// run runs a child and returns what it prints.
func run(t *testing.T, name, path string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), child+"="+name+" "+path)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func orExit(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

const linesOfAChild = 500

// appends writes lines of several KB, from several goroutines.
func appends(path string) {
	l, err := audit.Open(path)
	orExit(err)
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() {
			for n := range linesOfAChild / 4 {
				e := event(fmt.Sprintf("%d-%d-%d", os.Getpid(), i, n))
				e.Client = strings.Repeat("\x00", 1000) // as \u0000
				orExit(l.Write(e))
			}
		})
	}
	writers.Wait()
}

// Several processes append to one file, while it is rotated.
func TestLinesDoNotMix(t *testing.T) {
	const processes, rotations = 3, 5
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	var children sync.WaitGroup
	ended := make(chan struct{})
	for range processes {
		children.Go(func() { run(t, "appends", path) })
	}
	go func() {
		defer close(ended)
		children.Wait()
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := 0; i < rotations; {
		select {
		case <-ended:
			t.Fatalf("rotated %d times only", i)
		case <-tick.C:
		}
		if info, err := os.Stat(path); err == nil && info.Size() > 1<<20 {
			must(t, os.Rename(path, filepath.Join(dir, strconv.Itoa(i))))
			i++
		}
	}
	<-ended
	files, err := os.ReadDir(dir)
	must(t, err)
	seen := map[string]bool{}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		must(t, err)
		for line := range strings.Lines(string(text)) {
			_, id, _ := strings.Cut(line, `"jti":"`)
			if !strings.HasPrefix(line, `{"time":"`) || !strings.HasSuffix(id, "\"}\n") || seen[id] {
				t.Fatalf("%.80q in %s", line, f.Name())
			}
			seen[id] = true
		}
	}
	if len(seen) != processes*linesOfAChild {
		t.Errorf("%d lines, want %d", len(seen), processes*linesOfAChild)
	}
}

func setLimit(size uint64) {
	var limit syscall.Rlimit
	orExit(syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit))
	limit.Cur = size
	orExit(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
}

// limited writes to a file that may not grow: first it gets a part of a line, then none.
// Then there is room again.
func limited(path string) {
	l, err := audit.Open(path)
	orExit(err)
	orExit(l.Write(event("a")))
	info, err := os.Stat(path)
	orExit(err)
	for _, room := range []int64{1, 30, 0, info.Size() - 1} {
		setLimit(uint64(info.Size() + room))
		err := l.Write(event("b"))
		fmt.Println(room, errors.Is(err, syscall.EFBIG))
	}
	setLimit(uint64(info.Size() * 3))
	orExit(l.Write(event("c")))
	setLimit(1 << 20)
	orExit(l.Write(event("d")))
}

// A part of a line for which there is no room stays, because nothing is removed from the
// file, and the next line begins after a newline.
func TestLimitedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	out := run(t, "limited", path)
	if strings.Count(out, " true\n") != 4 || strings.Count(out, "\n") != 4 {
		t.Errorf("the errors are\n%s", out)
	}
	wantIDs(t, path, "a broken broken broken c d")
}

func TestFullDevice(t *testing.T) {
	l := open(t, "/dev/full")
	for range 2 {
		if err := l.Write(event("a")); !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, audit.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	must(t, open(t, "/dev/null").Write(event("a")))
}

// A full disk that gets room again, and a link to it.
func TestLinkToAnotherFile(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "link"), filepath.Join(dir, "audit.log")
	must(t, os.Symlink("/dev/full", path))
	l := open(t, path)
	if err := l.Write(event("a")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	must(t, os.Remove(path))
	must(t, os.WriteFile(target, nil, 0o600))
	must(t, os.Symlink(target, path))
	must(t, l.Write(event("b")))
	wantIDs(t, target, "b")
}

func TestRefusedFiles(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.Symlink(at("nothing"), at("link")))
	for name, mode := range map[string]os.FileMode{"readable": 0o644, "writable": 0o602} {
		must(t, os.WriteFile(at(name), nil, 0o600))
		must(t, os.Chmod(at(name), mode))
	}
	must(t, syscall.Mkfifo(at("unread"), 0o600))
	for name, mode := range map[string]os.FileMode{"readable pipe": 0o604, "writable pipe": 0o622} {
		must(t, syscall.Mkfifo(at(name), 0o600))
		must(t, os.Chmod(at(name), mode))
		reader, err := os.OpenFile(at(name), os.O_RDWR, 0) // so that it can be opened
		must(t, err)
		t.Cleanup(func() { _ = reader.Close() })
	}
	for name, want := range map[string]string{
		"readable pipe": "chmod 600", "writable pipe": "chmod 600",
		"link": "does not exist", "readable": "chmod 600", "writable": "chmod 600", "": "is a directory",
		"no/folder": "no such file", "unread": "no such device",
	} {
		l, err := audit.Open(at(name))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), at(name)) {
			t.Errorf("%q: got %v, want %s", name, err, want)
		}
		if err := l.Write(event("a")); !errors.Is(err, audit.ErrUnavailable) {
			t.Errorf("%q: a write gives %v", name, err)
		}
	}
	if _, err := os.Lstat(at("nothing")); err == nil {
		t.Error("the target of the link was created")
	}
}

func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	must(t, syscall.Mkfifo(path, 0o600))
	reader, err := os.OpenFile(path, os.O_RDWR, 0) // does not wait for a writer
	must(t, err)
	defer func() { must(t, reader.Close()) }()
	l := open(t, path)
	must(t, l.Write(event("a")))
	line, err := bufio.NewReader(reader).ReadString('\n')
	must(t, err)
	if !strings.Contains(line, `"jti":"a"`) {
		t.Errorf("read %q", line)
	}
}

// A reader that does not read keeps no request waiting for ever.
func TestPipeThatIsFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	must(t, syscall.Mkfifo(path, 0o600))
	reader, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer func() { must(t, reader.Close()) }()
	l := open(t, path)
	audit.SetTimeout(l, 10*time.Millisecond)
	e := event("a")
	e.Client = strings.Repeat("x", 1000)
	for range 1000 { // a pipe holds 64 KB
		if err = l.Write(e); err != nil {
			break
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
