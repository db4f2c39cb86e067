package witness_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/witness"
)

var _ keys.Witness = witness.Folder("")

// store stores text as the document of the keyset id.
func store(t *testing.T, f witness.Folder, id, text string) {
	t.Helper()
	if err := f.Update(id, func([]byte) []byte { return []byte(text) }); err != nil {
		t.Fatal(err)
	}
}

// check compares the document of the keyset id with want; "" means that there is none.
func check(t *testing.T, f witness.Folder, id, want string) {
	t.Helper()
	if got, err := f.Load(id); err != nil || string(got) != want || (got == nil) != (want == "") {
		t.Errorf("Load(%s) = %q, %v, want %q", id, got, err, want)
	}
}

func TestUpdate(t *testing.T) {
	f := witness.Folder(t.TempDir())
	stored := ""
	for _, decided := range []string{"", strings.Repeat("long ", 1000), "short", ""} {
		err := f.Update("one", func(old []byte) []byte {
			if string(old) != stored {
				t.Errorf("decide got %q, want %q", old, stored)
			}
			if decided == "" {
				return nil
			}
			return []byte(decided)
		})
		if err != nil {
			t.Error(err)
		}
		if decided != "" {
			stored = decided
		}
		check(t, f, "one", stored)
	}
	info, err := os.Stat(filepath.Join(string(f), "witness-one.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("Stat = %v, %v", info, err)
	}
}

func TestConcurrentUpdates(t *testing.T) {
	f := witness.Folder(t.TempDir())
	const writers, rounds = 8, 25
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
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
	group.Wait()
	got, err := f.Load("one")
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Sorted(strings.Lines(string(got)))
	if distinct := slices.Compact(slices.Clone(lines)); len(lines) != writers*rounds || len(distinct) != len(lines) {
		t.Errorf("%d lines, %d of them distinct, want %d", len(lines), len(distinct), writers*rounds)
	}
	if entries, err := os.ReadDir(string(f)); err != nil || len(entries) != 2 { // the document and its lock
		t.Errorf("the folder contains %v, %v", entries, err)
	}
}

func TestKeysetsAreSeparate(t *testing.T) {
	f := witness.Folder(t.TempDir())
	store(t, f, "one", "1")
	store(t, f, "two", "2")
	err := f.Update("one", func([]byte) []byte {
		store(t, f, "two", "3") // while one is locked
		return []byte("4")
	})
	if err != nil {
		t.Error(err)
	}
	check(t, f, "one", "4")
	check(t, f, "two", "3")
}

func TestUnusableFolder(t *testing.T) {
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
			err := f.Update("one", func([]byte) []byte { t.Error("decide was called"); return []byte("new") })
			if err == nil {
				t.Error("Update returned no error")
			}
		})
	}
	missing := witness.Folder(filepath.Join(t.TempDir(), "missing"))
	if err := missing.Update("one", func([]byte) []byte { return []byte("new") }); err == nil {
		t.Error("Update created the folder")
	}
}
