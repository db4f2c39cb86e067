package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// onlyFile fails the test if the folder holds anything but the one file.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Errorf("the folder holds %v, want only %s", entries, filepath.Base(path))
	}
}

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, content := range []string{"first", "second", ""} {
		if err := Replace(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); got != content {
			t.Errorf("the file holds %q, want %q", got, content)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); runtime.GOOS != "windows" && got != 0o640 {
		t.Errorf("mode %04o, want 0640", got)
	}
	onlyFile(t, path)
}

func TestCreateKeepsAnExistingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := Create(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Create(path, []byte("second"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v, want fs.ErrExist", err)
	}
	if got := read(t, path); got != "first" {
		t.Errorf("the file holds %q, want the first content", got)
	}
	onlyFile(t, path)
}

func TestCreateWithoutHardLinks(t *testing.T) {
	noLinks := func(string, string) error { return errors.ErrUnsupported }
	path := filepath.Join(t.TempDir(), "file")
	if err := create(path, []byte("first"), 0o600, noLinks); err != nil {
		t.Fatal(err)
	}
	if err := create(path, []byte("second"), 0o600, noLinks); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v, want fs.ErrExist", err)
	}
	if got := read(t, path); got != "first" {
		t.Errorf("the file holds %q, want the first content", got)
	}
	onlyFile(t, path)
}

func TestOneOfManyCreates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	var created int
	var mu sync.Mutex
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			err := Create(path, []byte("content"), 0o600)
			if err != nil && !errors.Is(err, fs.ErrExist) {
				t.Error(err)
			}
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				created++
			}
		})
	}
	wait.Wait()
	if created != 1 {
		t.Errorf("%d calls created the file, want 1", created)
	}
	onlyFile(t, path)
}

func TestMissingFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "file")
	if err := Replace(path, nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Replace: error %v, want fs.ErrNotExist", err)
	}
	if err := Create(path, nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Create: error %v, want fs.ErrNotExist", err)
	}
}
