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
}

// The folder is made by the first write, for this user only.
func TestMissingFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "jwksctl")
	f := witness.Folder(dir)
	check(t, f, "one", "")
	if _, ok, err := f.Recorded("x:"); ok || err != nil {
		t.Errorf("Recorded = %t, %v", ok, err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("reading made the folder: %v", err)
	}
	store(t, f, "one", "1")
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("Stat = %v, %v", info, err)
	}
}

// Each store has a record of its own, in one folder.
func TestRecord(t *testing.T) {
	f := witness.Folder(t.TempDir())
	want := func(store, id string, had bool) {
		t.Helper()
		if got, ok, err := f.Recorded(store); got != id || ok != had || err != nil {
			t.Errorf("Recorded(%s) = %q, %t, %v, want %q, %t", store, got, ok, err, id, had)
		}
	}
	record := func(store, id string) {
		t.Helper()
		if err := f.Record(store, id); err != nil {
			t.Fatal(err)
		}
		want(store, id, true)
	}
	want("sqlite:/a.db", "", false)
	record("sqlite:/a.db", "one")
	want("sqlite:/b.db", "", false)
	record("sqlite:/b.db", "two")
	record("sqlite:/a.db", "three")
	want("sqlite:/b.db", "two", true)

	path := f.RecordPath("sqlite:/a.db")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("Stat = %v, %v", info, err)
	}
	record("sqlite:/a.db", "three")
	if again, err := os.Stat(path); err != nil || !os.SameFile(info, again) {
		t.Errorf("a record that is right was written again: %v", err)
	}
	// A damaged record still shows that there was a keyset.
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	want("sqlite:/a.db", "", true)
	record("sqlite:/a.db", "four")

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Recorded("sqlite:/a.db"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Recorded of a folder = %v", err)
	}
	if err := f.Record("sqlite:/a.db", "five"); err == nil {
		t.Error("Record replaced a folder")
	}
}

func TestOtherRecord(t *testing.T) {
	f := witness.Folder(t.TempDir())
	check := func(wantPath, wantStore string) {
		t.Helper()
		if path, store, err := f.OtherRecord("one"); path != wantPath || store != wantStore || err != nil {
			t.Errorf("OtherRecord = %q, %q, %v, want %q, %q", path, store, err, wantPath, wantStore)
		}
	}
	store(t, f, "two", "a witness is no record")
	for _, name := range []string{"sqlite:a", "sqlite:b"} {
		if err := f.Record(name, "one"); err != nil {
			t.Fatal(err)
		}
	}
	check("", "")
	if err := f.Record("sqlite:b", "two"); err != nil {
		t.Fatal(err)
	}
	check(f.RecordPath("sqlite:b"), "sqlite:b")
	if err := os.WriteFile(f.RecordPath("sqlite:b"), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(f.RecordPath("sqlite:b"), "")
}
