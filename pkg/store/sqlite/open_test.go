package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// refuses wants Open to fail at path with an error that holds path and want.
func refuses(t *testing.T, path, want string) {
	t.Helper()
	s, err := Open(t.Context(), path, time.Now)
	if err == nil {
		_ = s.Close()
		t.Fatalf("Open works, want an error with %q", want)
	}
	if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
		t.Errorf("Open = %v, want an error with the path and %q", err, want)
	}
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	database := func(statements string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			db := raw(t, path)
			execute(t, db, statements)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	text := func(text string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, tt := range map[string]struct {
		make func(*testing.T, string)
		want string
	}{
		"one byte":            {text("x"), "name another file"},
		"a text":              {text(strings.Repeat("my shopping list\n", 100)), "name another file"},
		"a header, then junk": {text("SQLite format 3\x00" + strings.Repeat("junk", 1000)), ""},
		"a foreign table":     {database("CREATE TABLE notes (x)"), "another application"},
		"a foreign id":        {database("PRAGMA application_id = 7"), "another application"},
		"a foreign schema":    {database("PRAGMA user_version = 1"), "another application"},
		"a later schema":      {database("PRAGMA application_id = 1786211187; PRAGMA user_version = 2"), "newer release"},
		"our id, no schema":   {database("PRAGMA application_id = 1786211187"), "schema 0"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys.db")
			tt.make(t, path)
			if err := os.Chmod(path, 0o600); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			refuses(t, path, tt.want)
			after, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
			if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
				t.Errorf("the folder holds %v, %v", entries, err)
			}
		})
	}
}

// A store with damaged pages must say so and must not pass for an empty one.
func TestDamagedStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s, err := Open(t.Context(), path, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	swap(t, s, keys.Change{Document: []byte("one")})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(data); i++ {
		data[i] = 0xff
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, path)
	_, err = s.Load(t.Context())
	if err == nil || errors.Is(err, keys.ErrNoKeyset) || !strings.Contains(err.Error(), "restore it from a backup") {
		t.Errorf("Load of a damaged store = %v", err)
	}
}

func TestUnfitPlaces(t *testing.T) {
	dir := t.TempDir()
	refuses(t, dir, "is a folder")

	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, filepath.Join(file, "keys.db"), "make its folder")

	if runtime.GOOS == "windows" {
		return
	}
	refuses(t, "/dev/null", "not a regular file")
	for mode, fine := range map[fs.FileMode]bool{
		0o600: true, 0o700: true, 0o400: false, 0o640: false, 0o602: false, 0o644: false, 0o666: false,
	} {
		path := filepath.Join(t.TempDir(), "keys.db")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if fine {
			openStore(t, path)
		} else {
			refuses(t, path, "chmod 600")
		}
	}
}

func TestOpenWithACancelledContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, filepath.Join(t.TempDir(), "keys.db"), time.Now); !errors.Is(err, context.Canceled) {
		t.Errorf("Open = %v, want context.Canceled", err)
	}
}

func TestPathsAreTakenLiterally(t *testing.T) {
	for _, name := range []string{"a b.db", "100%.db", "a%20b.db", "what?.db", "x#1&mode=memory.db", ":memory:", "schlüssel"} {
		path := filepath.Join(t.TempDir(), name)
		swap(t, openStore(t, path), keys.Change{Document: []byte("one")})
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("%q is not the store: %v", name, err)
		}
	}
}

// A file that vanished must not come back empty through a new connection.
func TestConnectionsDoNotMakeFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s := openStore(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.db.SetMaxIdleConns(0)
	if _, err := s.Load(t.Context()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Load = %v, want an error with the path", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file came back: %v", err)
	}
}

func TestConcurrentFirstOpen(t *testing.T) {
	for range 5 {
		path := filepath.Join(t.TempDir(), "state", "keys.db")
		start := make(chan struct{})
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				<-start
				s, err := Open(t.Context(), path, time.Now)
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		group.Wait()
	}
}

// A process that ended between making the file and writing the schema leaves a
// file that the next one completes.
func TestCompletesAHalfMadeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	for range 2 { // the second finds the file of the first
		if err := makeFile(path); err != nil {
			t.Fatal(err)
		}
	}
	execute(t, raw(t, path), "PRAGMA journal_mode = WAL")
	swap(t, openStore(t, path), keys.Change{Document: []byte("one")})
}

// SQLite does not wait by itself to turn on the log of a new file that another
// process has locked: Open must, until its context ends.
func TestOpenWaitsForTheLogOfANewFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	if err := makeFile(path); err != nil {
		t.Fatal(err)
	}
	other := raw(t, path)
	execute(t, other, "BEGIN IMMEDIATE")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, path, time.Now); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open = %v, want its context's error", err)
	}
	execute(t, other, "ROLLBACK")
	openStore(t, path)
}

func TestCheckVersion(t *testing.T) {
	for version, fine := range map[string]bool{
		"3.51.3": true, "3.52.0": true, "3.54.1": true, "4.0.0": true,
		"3.51.2": false, "3.7.17": false, "2.99.99": false, "": false, "three": false,
	} {
		if err := checkVersion(version); (err == nil) != fine {
			t.Errorf("checkVersion(%q) = %v", version, err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "keys.db")
	for b.Loop() {
		s, err := Open(b.Context(), path, time.Now)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSwap(b *testing.B) {
	s, err := Open(b.Context(), filepath.Join(b.TempDir(), "keys.db"), time.Now)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	version := uint64(0)
	for b.Loop() {
		if err := s.Swap(b.Context(), keys.Change{Version: version, Document: []byte(fmt.Sprint(version))}); err != nil {
			b.Fatal(err)
		}
		version++
	}
}
