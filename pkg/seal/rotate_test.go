package seal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// folderOf lists the files beside a key file, with their content.
func folderOf(t *testing.T, path string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(path), e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(text)
	}
	return files
}

func namesIn(t *testing.T, path string) []string {
	t.Helper()
	s, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	return s.Names()
}

func TestAddKeyAndKeepKey(t *testing.T) {
	text, names := newText(t, 1)
	path := writeFile(t, text, 0o640)
	second, err := AddKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := namesIn(t, path); !slices.Equal(got, []string{names[0], second}) {
		t.Errorf("the file has %q, want %s and %s", got, names[0], second)
	}
	earlier := path + "." + names[0]
	for range 2 { // a second call has nothing to do
		moved, err := KeepKey(path, second)
		if err != nil {
			t.Fatal(err)
		}
		if got := namesIn(t, path); !slices.Equal(got, []string{second}) || len(folderOf(t, path)) != 2 {
			t.Errorf("the file has %q, the folder %d files", got, len(folderOf(t, path)))
		}
		if files := folderOf(t, path); files[filepath.Base(earlier)] != text {
			t.Errorf("the earlier key is not in its file: %q", files)
		}
		if len(moved) > 0 && !slices.Equal(moved, []string{earlier}) {
			t.Errorf("moved to %q", moved)
		}
	}
	for file, want := range map[string]fs.FileMode{path: 0o640, earlier: 0o600} {
		if info, err := os.Stat(file); err != nil || (runtime.GOOS != "windows" && info.Mode().Perm() != want) {
			t.Errorf("%s has mode %v, %v, want %v", file, info.Mode(), err, want)
		}
	}
}

// A process that was killed had moved the earlier key already. Another key in its place
// is never replaced.
func TestKeepKeyFindsTheFileOfTheEarlierKey(t *testing.T) {
	text, names := newText(t, 2)
	path := writeFile(t, text, 0o600)
	first, _, _ := strings.Cut(text, "\n")
	earlier := path + "." + names[0]
	if err := os.WriteFile(earlier, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := KeepKey(path, names[1]); err == nil || !strings.Contains(err.Error(), earlier+": it exists and has something else") {
		t.Errorf("KeepKey = %v", err)
	}
	if got := namesIn(t, path); !slices.Equal(got, names) {
		t.Errorf("the file has %q, want both keys", got)
	}
	if err := os.WriteFile(earlier, []byte(first+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := KeepKey(path, names[1]); err != nil {
		t.Error(err)
	}
	if got := namesIn(t, path); !slices.Equal(got, names[1:]) {
		t.Errorf("the file has %q", got)
	}
}

func TestKeepKeyNeedsTheKey(t *testing.T) {
	text, _ := newText(t, 2)
	path := writeFile(t, text, 0o600)
	if _, err := KeepKey(path, "seal-other"); err == nil || !strings.Contains(err.Error(), "seal-other") {
		t.Errorf("KeepKey = %v", err)
	}
	if files := folderOf(t, path); len(files) != 1 || files["seal.key"] != text {
		t.Errorf("the folder has %q", files)
	}
}

func TestALinkedKeyFileIsChangedWhereItIs(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need a right there")
	}
	text, _ := newText(t, 1)
	path := writeFile(t, text, 0o600)
	link := filepath.Join(t.TempDir(), "linked.key")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	second, err := AddKey(link)
	if err != nil {
		t.Fatal(err)
	}
	if moved, err := KeepKey(link, second); err != nil || len(moved) != 1 || filepath.Dir(moved[0]) != filepath.Dir(path) {
		t.Errorf("KeepKey = %q, %v", moved, err)
	}
	if target, err := os.Readlink(link); err != nil || target != path || !slices.Equal(namesIn(t, path), []string{second}) {
		t.Errorf("the link leads to %s, %v; the file has %q", target, err, namesIn(t, path))
	}
}

func TestLock(t *testing.T) {
	text, _ := newText(t, 1)
	path := writeFile(t, text, 0o600)
	unlock, err := Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(path); !errors.Is(err, ErrLocked) {
		t.Errorf("a second Lock = %v", err)
	}
	if _, err := AddKey(path); err != nil { // the file is replaced, and the lock stays
		t.Error(err)
	}
	if _, err := Lock(path); !errors.Is(err, ErrLocked) {
		t.Errorf("Lock after a change = %v", err)
	}
	unlock()
	unlock, err = Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestAFolderThatCannotBeWritten(t *testing.T) {
	text, _ := newText(t, 1)
	path := writeFile(t, text, 0o600)
	if err := CheckChange(path); err != nil || len(folderOf(t, path)) != 1 {
		t.Errorf("CheckChange = %v, the folder has %v", err, folderOf(t, path))
	}
	if err := CheckChange(filepath.Join(filepath.Dir(path), "none", "seal.key")); err == nil {
		t.Error("a folder that does not exist can be written")
	}
}
