package witness_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/witness"
)

var _ keys.Witness = witness.Folder("")

// keep has the witness hold text.
func keep(t *testing.T, f witness.Folder, id, text string) {
	t.Helper()
	if err := f.Update(id, func([]byte) []byte { return []byte(text) }); err != nil {
		t.Fatal(err)
	}
}

func wantKept(t *testing.T, f witness.Folder, id, want string) {
	t.Helper()
	if got, err := f.Load(id); err != nil || string(got) != want {
		t.Errorf("Load(%s) = %q, %v, want %q", id, got, err, want)
	}
}

// names lists the folder.
func names(t *testing.T, f witness.Folder) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(string(f))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestNothingIsKeptAtFirst(t *testing.T) {
	f := witness.Folder(t.TempDir())
	if got, err := f.Load("one"); got != nil || err != nil {
		t.Errorf("Load = %q, %v", got, err)
	}
	err := f.Update("one", func(old []byte) []byte {
		if old != nil {
			t.Errorf("there was %q before", old)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if got, err := f.Load("one"); got != nil || err != nil {
		t.Errorf("Load after an update that made nothing = %q, %v", got, err)
	}
}

func TestAnUpdateReplacesTheWhole(t *testing.T) {
	f := witness.Folder(t.TempDir())
	keep(t, f, "one", strings.Repeat("long ", 1000))
	err := f.Update("one", func(old []byte) []byte {
		if len(old) != 5000 {
			t.Errorf("decide got %d bytes", len(old))
		}
		return []byte("short")
	})
	if err != nil {
		t.Error(err)
	}
	wantKept(t, f, "one", "short")
	if err := f.Update("one", func([]byte) []byte { return nil }); err != nil {
		t.Error(err)
	}
	wantKept(t, f, "one", "short")
	info, err := os.Stat(filepath.Join(string(f), "witness-one.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("Stat = %v, %v", info, err)
	}
}

// A reader that has the file open while it is replaced sees the old one whole.
func TestAFileIsNeverWrittenInPlace(t *testing.T) {
	f := witness.Folder(t.TempDir())
	keep(t, f, "one", "old")
	path := filepath.Join(string(f), "witness-one.json")
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	keep(t, f, "one", "new")
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if os.SameFile(before, after) {
		t.Error("the file was written over")
	}
}

func TestConcurrentUpdatesLoseNothing(t *testing.T) {
	f := witness.Folder(t.TempDir())
	const writers, rounds = 8, 25
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for j := range rounds {
				err := f.Update("one", func(old []byte) []byte { return fmt.Appendf(bytes.Clone(old), "%d/%d\n", i, j) })
				if err != nil {
					t.Error(err)
				}
				if _, err := f.Load("one"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := f.Load("one")
	if err != nil {
		t.Fatal(err)
	}
	for i := range writers {
		for j := range rounds {
			if line := fmt.Sprintf("%d/%d\n", i, j); strings.Count("\n"+string(got), "\n"+line) != 1 {
				t.Errorf("%q stands in it %d times", line, strings.Count("\n"+string(got), "\n"+line))
			}
		}
	}
	if got := names(t, f); len(got) != 2 {
		t.Errorf("the folder holds %q", got)
	}
}

func TestKeysetsDoNotDisturbEachOther(t *testing.T) {
	f := witness.Folder(t.TempDir())
	keep(t, f, "one", "1")
	keep(t, f, "two", "2")
	err := f.Update("one", func([]byte) []byte {
		keep(t, f, "two", "3") // while the other one is locked
		return []byte("4")
	})
	if err != nil {
		t.Error(err)
	}
	wantKept(t, f, "one", "4")
	wantKept(t, f, "two", "3")
}

func TestWhatCannotBeUsedIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	blocked := t.TempDir()
	if err := os.Mkdir(filepath.Join(blocked, "witness-one.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]witness.Folder{"the folder is a file": witness.Folder(file), "the file is a folder": witness.Folder(blocked)} {
		t.Run(name, func(t *testing.T) {
			if got, err := f.Load("one"); err == nil {
				t.Errorf("Load = %q", got)
			}
			err := f.Update("one", func([]byte) []byte { t.Error("something was decided"); return []byte("new") })
			if err == nil {
				t.Error("Update made no error")
			}
		})
	}
	missing := witness.Folder(filepath.Join(t.TempDir(), "missing"))
	if err := missing.Update("one", func([]byte) []byte { return []byte("new") }); err == nil {
		t.Error("Update made a folder")
	}
}

func TestAFailedUpdateLeavesNoTemporaryFile(t *testing.T) {
	f := witness.Folder(t.TempDir())
	path := filepath.Join(string(f), "witness-one.json")
	err := f.Update("one", func([]byte) []byte {
		if err := os.Mkdir(path, 0o700); err != nil { // the rename fails
			t.Error(err)
		}
		return []byte("new")
	})
	if err == nil {
		t.Error("Update made no error")
	}
	if got := names(t, f); len(got) != 2 {
		t.Errorf("the folder holds %q", got)
	}
}
