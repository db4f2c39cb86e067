package witness_test

import (
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

// store stores text as the document of the keyset id.
func store(t *testing.T, f witness.Folder, id, text string) {
	t.Helper()
	if err := f.Store(id, []byte(text)); err != nil {
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

func TestStore(t *testing.T) {
	f := witness.Folder(t.TempDir())
	check(t, f, "one", "")
	for _, text := range []string{strings.Repeat("long ", 1000), "short"} {
		store(t, f, "one", text)
		check(t, f, "one", text)
	}
	store(t, f, "two", "2")
	check(t, f, "one", "short")
	check(t, f, "two", "2")
	info, err := os.Stat(filepath.Join(string(f), "witness-one.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("Stat = %v, %v", info, err)
	}
}

// Nothing is locked and nothing is left behind. A reader gets a whole document.
func TestConcurrentUse(t *testing.T) {
	f := witness.Folder(t.TempDir())
	document := func(i int) string { return strings.Repeat(fmt.Sprintln(i), 1000) }
	store(t, f, "one", document(0))
	const writers, rounds = 8, 25
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			for range rounds {
				if err := f.Store("one", []byte(document(i))); err != nil {
					t.Error(err)
				}
				got, err := f.Load("one")
				if first, _, _ := strings.Cut(string(got), "\n"); err != nil || strings.Repeat(first+"\n", 1000) != string(got) {
					t.Errorf("Load = %d bytes, %v", len(got), err)
				}
			}
		})
	}
	group.Wait()
	if entries, err := os.ReadDir(string(f)); err != nil || len(entries) != 1 {
		t.Errorf("the folder contains %v, %v", entries, err)
	}
}

// The errors name the file or the folder, and say what to do.
func TestUnusableFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	blocked := t.TempDir()
	if err := os.Mkdir(filepath.Join(blocked, "witness-one.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, folder := range map[string]string{"the folder is a file": file, "the file is a folder": blocked} {
		t.Run(name, func(t *testing.T) {
			if got, err := witness.Folder(folder).Load("one"); err == nil || !strings.Contains(err.Error(), folder) {
				t.Errorf("Load = %q, %v", got, err)
			}
			if err := witness.Folder(folder).Store("one", []byte("new")); err == nil || !strings.Contains(err.Error(), "check the disk of "+folder) {
				t.Errorf("Store = %v", err)
			}
		})
	}
	missing := witness.Folder(filepath.Join(t.TempDir(), "missing"))
	if err := missing.Store("one", []byte("new")); err == nil {
		t.Error("Store created the folder")
	}
}

func TestFiles(t *testing.T) {
	f := witness.Folder(t.TempDir())
	if got := f.Files(); len(got) > 0 {
		t.Errorf("Files = %q, want none", got)
	}
	store(t, f, "one", "1")
	store(t, f, "two", "2")
	for _, other := range []string{"seal.key", "witness.json", ".witness-one.json.7.tmp"} {
		if err := os.WriteFile(filepath.Join(string(f), other), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(f.Files()); got != "[witness-one.json witness-two.json]" {
		t.Errorf("Files = %s", got)
	}
	if got := witness.Folder(filepath.Join(string(f), "missing")).Files(); len(got) > 0 {
		t.Errorf("Files of a folder that is missing = %q", got)
	}
}
