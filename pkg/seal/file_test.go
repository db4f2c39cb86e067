package seal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// createEnv is a variable with a path. It makes the test binary a process that waits
// for the end of its input, calls Create and prints the name of the key.
const createEnv = "SEAL_TEST_CREATE"

func TestMain(m *testing.M) {
	if os.Getenv(commandEnv) != "" {
		runCommand()
	}
	path := os.Getenv(createEnv)
	if path == "" {
		os.Exit(m.Run())
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	key, err := create(path)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(key.Names()[0])
}

func load(path string) (*Sealer, error) {
	return Open(context.Background(), File(path), Environment{})
}

func create(path string) (*Sealer, error) {
	return Create(context.Background(), File(path), Environment{})
}

func writeFile(t *testing.T, text string, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "seal.key")
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "jwksctl", "seal.key")
	created, err := create(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := create(path)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	if again.Names()[0] != created.Names()[0] || loaded.Names()[0] != created.Names()[0] {
		t.Errorf("created %s, created again %s, loaded %s", created.Names()[0], again.Names()[0], loaded.Names()[0])
	}
	name := created.Names()[0]
	sealed, err := created.Seal(name, []byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if plaintext, err := loaded.Open(name, sealed, nil); err != nil || string(plaintext) != "secret" {
		t.Errorf("the loaded key opens %q, %v", plaintext, err)
	}
	checkFolder(t, path)
}

// checkFolder checks that the key file is the only one in its folder, and that only
// the owner can use both.
func checkFolder(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("the folder contains %v", entries)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for name, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700 | fs.ModeDir} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", filepath.Base(name), info.Mode(), want)
		}
	}
}

func TestConcurrentCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "seal.key")
	input, start, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outputs := make([]*bufio.Scanner, 6)
	for i := range outputs {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), createEnv+"="+path)
		cmd.Stdin = input
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		outputs[i] = bufio.NewScanner(out)
		t.Cleanup(func() { _ = cmd.Wait() })
	}
	for _, out := range outputs {
		if !out.Scan() || out.Text() != "ready" {
			t.Fatalf("a process printed %q", out.Text())
		}
	}
	if err := errors.Join(start.Close(), input.Close()); err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, out := range outputs {
		if !out.Scan() {
			t.Fatal("a process printed no name")
		}
		names[out.Text()] = true
	}
	if key, err := load(path); err != nil || len(names) != 1 || !names[key.Names()[0]] {
		t.Errorf("the file has the key %s, %v, the processes have %v", key.Names()[0], err, names)
	}
	checkFolder(t, path)
}

func TestCreateKeepsABrokenFile(t *testing.T) {
	path := writeFile(t, "not a key\n", 0o600)
	if _, err := create(path); err == nil {
		t.Error("Create returned no error")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "not a key\n" {
		t.Errorf("the file is now %q, %v", text, err)
	}
}

func TestHint(t *testing.T) {
	for err, want := range map[error]string{
		syscall.ENOSPC:   "free space on the disk",
		syscall.EDQUOT:   "free space on the disk",
		fs.ErrPermission: "choose a folder that you may write to",
	} {
		if got := hint(fmt.Errorf("write: %w", err)); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

func TestOpenMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seal.key")
	_, err := load(path)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("Open = %v, want fs.ErrNotExist with the path", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open created the file: %v", err)
	}
}

func TestOpenBrokenFile(t *testing.T) {
	good := strings.TrimSuffix(string(format(newSecret())), "\n")
	secret := strings.TrimPrefix(good, lineMagic)
	for name, tt := range map[string]struct{ text, want string }{
		"empty":            {"", "empty"},
		"blank":            {" \n\n", "empty"},
		"another file":     {"-----BEGIN PRIVATE KEY-----\n" + secret, "line 1: not a sealing key"},
		"no label":         {secret, "not a sealing key"},
		"another format":   {"jwksctl-seal-key-2 " + secret, "newer release"},
		"truncated":        {good[:len(good)-10], "incomplete"},
		"label only":       {lineMagic, "incomplete"},
		"not base64url":    {good[:len(good)-1] + "+", "incomplete"},
		"two lines":        {good[:40] + "\n" + good[40:], "incomplete"},
		"a key and more":   {good + " " + good, "incomplete"},
		"31 bytes":         {string(format(newSecret()[:31])), "31 bytes"},
		"33 bytes":         {string(format(append(newSecret(), 0))), "33 bytes"},
		"a very long line": {good + strings.Repeat("A", textMax), "too long"},
		"a broken second":  {good + "\n" + good[:len(good)-10], "line 2: the key is not base64url"},
		"a key twice":      {good + "\n" + good, "line 2: the key is in an earlier line too"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(writeFile(t, tt.text, 0o600))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Open = %v, want an error with %q", err, tt.want)
			}
			if strings.Contains(err.Error(), secret[:12]) {
				t.Errorf("the error contains the key: %v", err)
			}
		})
	}
	for _, end := range []string{"", "\n", "\r\n"} {
		if _, err := load(writeFile(t, good+end, 0o600)); err != nil {
			t.Errorf("a correct line that ends with %q: %v", end, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte(lineMagic))
	f.Add(format(make([]byte, secretSize)))
	f.Add(format(make([]byte, secretSize-1)))
	f.Add([]byte("jwksctl-seal-key-1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB"))
	f.Fuzz(func(t *testing.T, text []byte) {
		secrets, err := parse(text)
		if err != nil {
			return
		}
		var want strings.Builder
		for line := range strings.FieldsFuncSeq(string(text), func(r rune) bool { return r == '\n' || r == '\r' }) {
			if strings.TrimSpace(line) != "" {
				want.WriteString(line + "\n")
			}
		}
		if got := string(format(secrets...)); got != want.String() {
			t.Errorf("%q has the keys of %q", text, got)
		}
	})
}

// A process that was killed while it made the key file left a copy of the key.
func TestOpenRemovesTheCopyOfAKilledCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "seal.key")
	if _, err := create(path); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(filepath.Dir(path), ".seal.key.123456.tmp")
	if err := os.Link(path, left); err != nil {
		t.Fatal(err)
	}
	hourAgo := time.Now().Add(-time.Hour)
	if err := os.Chtimes(left, hourAgo, hourAgo); err != nil {
		t.Fatal(err)
	}
	if _, err := load(path); err != nil {
		t.Fatal(err)
	}
	checkFolder(t, path)
}
