package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
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

// onlyFile fails the test if the folder contains another file.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Errorf("the folder contains %v, want only %s", entries, filepath.Base(path))
	}
}

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, content := range []string{"first", "second", ""} {
		if err := Replace(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); got != content {
			t.Errorf("the content is %q, want %q", got, content)
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
		t.Errorf("the content is %q, want the first one", got)
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
		t.Errorf("the content is %q, want the first one", got)
	}
	onlyFile(t, path)
}

// Another process creates the file after Create has written its temporary file.
func TestCreateLosesTheRace(t *testing.T) {
	for name, link := range map[string]func(oldName, newName string) error{
		"hard links":    os.Link,
		"no hard links": func(string, string) error { return errors.ErrUnsupported },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			err := create(path, []byte("late"), 0o600, func(oldName, newName string) error {
				if err := Create(path, []byte("first"), 0o600); err != nil {
					t.Error(err)
				}
				return link(oldName, newName)
			})
			if !errors.Is(err, fs.ErrExist) {
				t.Errorf("error %v, want fs.ErrExist", err)
			}
			if got := read(t, path); got != "first" {
				t.Errorf("the content is %q, want the first one", got)
			}
			onlyFile(t, path)
		})
	}
}

func TestConcurrentCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	var created atomic.Int32
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			switch err := Create(path, []byte("content"), 0o600); {
			case err == nil:
				created.Add(1)
			case !errors.Is(err, fs.ErrExist):
				t.Error(err)
			}
			if data, err := os.ReadFile(path); err != nil || string(data) != "content" {
				t.Errorf("the content is %q, %v", data, err)
			}
		})
	}
	group.Wait()
	if created.Load() != 1 {
		t.Errorf("%d calls created the file, want 1", created.Load())
	}
	onlyFile(t, path)
}

// A process that has the file open while it is replaced keeps the old content.
func TestReplaceDoesNotWriteInPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	var infos [2]fs.FileInfo
	for i := range infos {
		if err := Replace(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var err error
		if infos[i], err = os.Stat(path); err != nil {
			t.Fatal(err)
		}
	}
	if os.SameFile(infos[0], infos[1]) {
		t.Error("the file was written in place")
	}
}

func TestFailedReplaceLeavesNoTemporaryFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, nil, 0o600); err == nil {
		t.Error("a folder was replaced")
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
