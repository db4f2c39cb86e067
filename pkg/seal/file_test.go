package seal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// createEnv makes the test binary a process that waits for the end of its input,
// calls Create on the path in the variable and prints the key's name.
const createEnv = "SEAL_TEST_CREATE"

func TestMain(m *testing.M) {
	path := os.Getenv(createEnv)
	if path == "" {
		os.Exit(m.Run())
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	key, err := Create(path)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(key.Name())
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

func TestCreateMakesOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "jwksctl", "seal.key")
	made, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if again.Name() != made.Name() || loaded.Name() != made.Name() {
		t.Errorf("made %s, created again %s, loaded %s", made.Name(), again.Name(), loaded.Name())
	}
	if half, err := loaded.Open(mustSeal(t, made, []byte("half"), nil), nil); err != nil || string(half) != "half" {
		t.Errorf("the loaded key opens %q, %v", half, err)
	}
	checkFolder(t, path)
}

// checkFolder wants the key file alone in its folder, and both for its owner only.
func checkFolder(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("the folder holds %v", entries)
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

func TestCreateWithoutHardLinks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "seal.key")
	noLinks := func(string, string) error { return errors.ErrUnsupported }
	made, err := create(path, noLinks)
	if err != nil {
		t.Fatal(err)
	}
	again, err := create(path, noLinks)
	if err != nil || again.Name() != made.Name() {
		t.Errorf("created %s, then %s, %v", made.Name(), again.Name(), err)
	}
	checkFolder(t, path)
}

// Another process makes the file between the first look and the writing: its
// key counts.
func TestCreateLosesTheRace(t *testing.T) {
	for name, answer := range map[string]error{"links": fs.ErrExist, "no links": errors.ErrUnsupported} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "seal.key")
			var winner Key
			key, err := create(path, func(string, string) error {
				var err error
				if winner, err = Create(path); err != nil {
					t.Error(err)
				}
				return answer
			})
			if err != nil || key.Name() != winner.Name() {
				t.Errorf("create = %s, %v, want the key %s", key.Name(), err, winner.Name())
			}
		})
	}
}

func TestCreateByManyGoroutines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "seal.key")
	names := make([]string, 32)
	var group sync.WaitGroup
	for i := range names {
		group.Go(func() {
			key, err := Create(path)
			if err != nil {
				t.Error(err)
			}
			names[i] = key.Name()
		})
	}
	group.Wait()
	for _, name := range names {
		if name != names[0] {
			t.Fatalf("two keys: %s and %s", name, names[0])
		}
	}
	checkFolder(t, path)
}

func TestCreateByManyProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "seal.key")
	gate, open, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outputs := make([]*bufio.Scanner, 6)
	for i := range outputs {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), createEnv+"="+path)
		cmd.Stdin = gate
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
			t.Fatalf("a process says %q", out.Text())
		}
	}
	if err := errors.Join(open.Close(), gate.Close()); err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, out := range outputs {
		if !out.Scan() {
			t.Fatal("a process printed no name")
		}
		names[out.Text()] = true
	}
	if key, err := Load(path); err != nil || len(names) != 1 || !names[key.Name()] {
		t.Errorf("the file holds %s, %v, the processes have %v", key.Name(), err, names)
	}
	checkFolder(t, path)
}

func TestCreateLeavesABadFileAlone(t *testing.T) {
	path := writeFile(t, "my shopping list\n", 0o600)
	if _, err := Create(path); err == nil {
		t.Error("created over a file that is not a key")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "my shopping list\n" {
		t.Errorf("the file now holds %q, %v", text, err)
	}
}

func TestLoadMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seal.key")
	_, err := Load(path)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("Load = %v, want fs.ErrNotExist that names the path", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load made something: %v", err)
	}
}

func TestLoadRefusesDamage(t *testing.T) {
	good := strings.TrimSuffix(string(format(newSecret())), "\n")
	secret := strings.TrimPrefix(good, fileMagic)
	for name, tt := range map[string]struct{ text, want string }{
		"empty":            {"", "empty"},
		"blank":            {" \n\n", "empty"},
		"another file":     {"-----BEGIN PRIVATE KEY-----\n" + secret, "not a key file"},
		"no label":         {secret, "not a key file"},
		"another format":   {"jwksctl-seal-key-2 " + secret, "another format"},
		"half written":     {good[:len(good)-10], "half written"},
		"label only":       {fileMagic, "half written"},
		"not base64url":    {good[:len(good)-1] + "+", "half written"},
		"two lines":        {good[:40] + "\n" + good[40:], "half written"},
		"a key and more":   {good + " " + good, "half written"},
		"31 bytes":         {string(format(newSecret()[:31])), "31 bytes"},
		"33 bytes":         {string(format(append(newSecret(), 0))), "33 bytes"},
		"a very long line": {good + strings.Repeat("A", fileMax), "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(writeFile(t, tt.text, 0o600))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Load = %v, want an error with %q", err, tt.want)
			}
			if strings.Contains(err.Error(), secret[:12]) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
	for _, end := range []string{"", "\n", "\r\n"} {
		if _, err := Load(writeFile(t, good+end, 0o600)); err != nil {
			t.Errorf("a good line that ends with %q: %v", end, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte(fileMagic))
	f.Add(format(make([]byte, secretSize)))
	f.Add(format(make([]byte, secretSize-1)))
	f.Add([]byte("jwksctl-seal-key-1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB"))
	f.Fuzz(func(t *testing.T, text []byte) {
		secret, err := parse(text)
		if err != nil {
			return
		}
		want := strings.TrimRight(string(text), "\r\n") + "\n"
		if got := string(format(secret)); got != want {
			t.Errorf("%q is read as the key of %q", text, got)
		}
	})
}
