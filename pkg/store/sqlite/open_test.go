package sqlite

import (
	"bytes"
	"context"
	"errors"
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

// wantOpenError checks that Open fails with an error that contains path and want.
func wantOpenError(t *testing.T, path, want string) {
	t.Helper()
	s, err := Open(t.Context(), path, time.Now)
	if err == nil {
		_ = s.Close()
		t.Fatalf("Open succeeded, want an error with %q", want)
	}
	if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
		t.Errorf("Open = %v, want an error with the path and %q", err, want)
	}
}

func TestForeignFilesAreNotChanged(t *testing.T) {
	database := func(statements string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			db := openSQL(t, path)
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
		create func(*testing.T, string)
		want   string
	}{
		"one byte":          {text("x"), "name another file"},
		"a text":            {text(strings.Repeat("a line of text\n", 100)), "name another file"},
		"only a header":     {text("SQLite format 3\x00" + strings.Repeat("text", 1000)), ""},
		"a foreign table":   {database("CREATE TABLE notes (x)"), "another application"},
		"a foreign id":      {database("PRAGMA application_id = 7"), "another application"},
		"a foreign schema":  {database("PRAGMA user_version = 1"), "another application"},
		"a later schema":    {database("PRAGMA application_id = 1786211187; PRAGMA user_version = 3"), "newer release"},
		"our id, no schema": {database("PRAGMA application_id = 1786211187"), "schema 0"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys.db")
			tt.create(t, path)
			if err := os.Chmod(path, 0o600); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			wantOpenError(t, path, tt.want)
			after, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
			if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
				t.Errorf("the folder contains %v, %v", entries, err)
			}
		})
	}
}

// A store with damaged pages is an error, and not an empty store.
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

func TestUnusablePaths(t *testing.T) {
	dir := t.TempDir()
	wantOpenError(t, dir, "is a folder")

	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantOpenError(t, filepath.Join(file, "keys.db"), "create its folder")

	link := filepath.Join(dir, "link")
	if err := os.Symlink("volume", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, filepath.Join(link, "keys.db")} {
		wantOpenError(t, path, "link is a symbolic link to volume, which does not exist")
	}

	if runtime.GOOS == "windows" {
		return
	}
	wantOpenError(t, "/dev/null", "not a regular file")
	for mode, ok := range map[fs.FileMode]bool{
		0o600: true, 0o700: true, 0o640: true, 0o660: true, 0o400: false, 0o602: false, 0o644: false, 0o666: false,
	} {
		path := filepath.Join(t.TempDir(), "keys.db")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if ok {
			openStore(t, path)
		} else {
			wantOpenError(t, path, "chmod 600")
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

// A new connection does not create a removed file again.
func TestConnectionsDoNotCreateFiles(t *testing.T) {
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
		t.Errorf("the file exists again: %v", err)
	}
}

// schema1 is a store of the first release.
const schema1 = `
CREATE TABLE keyset (
	id       INTEGER PRIMARY KEY CHECK (id = 1),
	version  INTEGER NOT NULL CHECK (version > 0),
	document BLOB NOT NULL CHECK (length(document) > 0)
) STRICT;
CREATE TABLE half (
	kid    TEXT PRIMARY KEY,
	sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
PRAGMA application_id = 1786211187;
PRAGMA user_version = 1;
INSERT INTO keyset VALUES (1, 7, CAST('seven' AS BLOB));
INSERT INTO half VALUES ('a', CAST('key a' AS BLOB)), ('b', CAST('key b' AS BLOB));
`

// createSchema1 creates a store with schema 1 at version 7.
func createSchema1(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "keys.db")
	if err := createFile(path); err != nil {
		t.Fatal(err)
	}
	db := openSQL(t, path)
	execute(t, db, "PRAGMA journal_mode = WAL")
	execute(t, db, schema1)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUpgrade(t *testing.T) {
	path := createSchema1(t)
	for version := uint64(7); version < 9; version++ { // the second Open finds the new schema
		s, err := Open(t.Context(), path, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		wantVersion(t, s, version)
		for _, kid := range []string{"a", "b"} {
			if key, err := s.PrivateKey(t.Context(), kid); err != nil || string(key) != "key "+kid {
				t.Errorf("PrivateKey(%s) = %q, %v", kid, key, err)
			}
		}
		swap(t, s, keys.Change{Version: version, Document: []byte("new"), Put: map[string][]byte{"b": []byte("key b")}})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A process of the first release has the store open during the upgrade. It still reads
// the keyset, but every use of a private key is an error.
func TestUpgradeUnderAnOlderProcess(t *testing.T) {
	path := createSchema1(t)
	older := openSQL(t, path)
	execute(t, older, "SELECT sealed FROM half")
	openStore(t, path)
	execute(t, older, "SELECT document FROM keyset")
	for _, statement := range []string{"SELECT sealed FROM half", "INSERT INTO half VALUES ('c', x'00')", "DELETE FROM half"} {
		if _, err := older.ExecContext(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "no such table") {
			t.Errorf("%s: %v, want an error", statement, err)
		}
	}
}

// Many processes open a new store, or upgrade an old one, at the same time.
func TestConcurrentOpen(t *testing.T) {
	newStore := func(t *testing.T) string { return filepath.Join(t.TempDir(), "state", "keys.db") }
	for name, prepare := range map[string]func(t *testing.T) string{"new": newStore, "upgrade": createSchema1} {
		t.Run(name, func(t *testing.T) {
			for range 4 {
				path := prepare(t)
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
						if _, err := s.PrivateKey(t.Context(), "c"); !errors.Is(err, keys.ErrNoPrivateKey) {
							t.Errorf("PrivateKey = %v, want ErrNoPrivateKey", err)
						}
						if err := s.Close(); err != nil {
							t.Error(err)
						}
					})
				}
				close(start)
				group.Wait()
			}
		})
	}
}

// A process created the file and ended before it wrote the schema. The next process
// completes the file.
func TestFileWithoutSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	for range 2 { // the second call finds the file of the first
		if err := createFile(path); err != nil {
			t.Fatal(err)
		}
	}
	execute(t, openSQL(t, path), "PRAGMA journal_mode = WAL")
	swap(t, openStore(t, path), keys.Change{Document: []byte("one")})
}

// SQLite does not wait before it turns on the log of a file that another process has
// locked. Open waits until its context ends.
func TestOpenWaitsForTheLogOfANewFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	if err := createFile(path); err != nil {
		t.Fatal(err)
	}
	other := openSQL(t, path)
	execute(t, other, "BEGIN IMMEDIATE")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, path, time.Now); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open = %v, want the error of its context", err)
	}
	execute(t, other, "ROLLBACK")
	openStore(t, path)
}

func TestCheckSQLite(t *testing.T) {
	for version, ok := range map[string]bool{
		"3.51.3": true, "3.52.0": true, "3.54.1": true, "4.0.0": true,
		"3.51.2": false, "3.7.17": false, "2.99.99": false, "": false, "three": false,
	} {
		if err := checkSQLite(version); (err == nil) != ok {
			t.Errorf("checkSQLite(%q) = %v", version, err)
		}
	}
}
