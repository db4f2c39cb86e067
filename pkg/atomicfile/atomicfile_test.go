package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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

// A process that was killed left its temporary file. The next write removes it, and no
// file that another process may still write or that a user has made.
func TestTemporaryFilesOfKilledProcessesAreRemoved(t *testing.T) {
	for name, write := range map[string]func(string, []byte, fs.FileMode) error{"Replace": Replace, "Create": Create} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "file")
			killed, err := writeTemp(path, []byte("part"), 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			old := time.Now().Add(-2 * leftoverAge)
			stays := []string{"file", ".file.77.tmp", ".file.7x.tmp", ".file.77", ".file.tmp", ".other.77.tmp"}
			for _, name := range stays[1:] {
				if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for _, file := range []string{killed, filepath.Join(dir, ".file.7x.tmp"), filepath.Join(dir, ".other.77.tmp")} {
				if err := os.Chtimes(file, old, old); err != nil {
					t.Fatal(err)
				}
			}
			if err := write(path, []byte("content"), 0o600); err != nil {
				t.Fatal(err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, e := range entries {
				names = append(names, e.Name())
			}
			slices.Sort(stays)
			if !slices.Equal(names, stays) {
				t.Errorf("the folder contains %q, want %q", names, stays)
			}
		})
	}
}

func TestCheckFolder(t *testing.T) {
	dir := t.TempDir()
	if err := CheckFolder(filepath.Join(dir, "file")); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("the folder contains %v, %v", entries, err)
	}
	if err := CheckFolder(filepath.Join(dir, "missing", "file")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want fs.ErrNotExist", err)
	}
}
