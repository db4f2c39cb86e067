package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"modernc.org/sqlite"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		path := filepath.Join(t.TempDir(), "keys.db")
		return storetest.Fixture{
			Open: func() keys.Store {
				s, err := Open(t.Context(), path, time.Now)
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
			Backup: func() func() { return backUp(t, path) },
		}
	})
}

// backUp makes a backup as the package comment says, and returns a function that
// restores it.
func backUp(t *testing.T, path string) (restore func()) {
	t.Helper()
	backup := filepath.Join(t.TempDir(), "backup.db")
	db := openSQL(t, path)
	execute(t, db, "VACUUM INTO '"+backup+"'")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		for _, name := range []string{path + "-wal", path + "-shm"} {
			if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
		data, err := os.ReadFile(backup)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func openStore(t *testing.T, path string) *Store {
	t.Helper()
	return openStoreAt(t, path, time.Now)
}

func openStoreAt(t *testing.T, path string, now func() time.Time) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// openSQL opens the file at path as any other program would. OFDLocking comes first,
// because the first use of SQLite in a process decides how files are locked.
func openSQL(t *testing.T, path string) *sql.DB {
	t.Helper()
	_, _ = sqlite.OFDLocking(true)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func execute(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func swap(t *testing.T, s *Store, c keys.Change) {
	t.Helper()
	if err := s.Swap(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func wantVersion(t *testing.T, s *Store, want uint64) {
	t.Helper()
	record, err := s.Load(t.Context())
	if errors.Is(err, keys.ErrNoKeyset) {
		err = nil
	}
	if err != nil || record.Version != want {
		t.Errorf("Load = version %d, %v, want version %d", record.Version, err, want)
	}
}

func TestSettings(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "keys.db"))
	for pragma, want := range map[string]string{
		"journal_mode":   "wal",
		"synchronous":    "2",
		"secure_delete":  "1",
		"busy_timeout":   "5000",
		"application_id": "1786211187",
		"user_version":   "2",
	} {
		var got string
		if err := s.db.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %s, %v, want %s", pragma, got, err, want)
		}
	}
}

// The clock passes the deadline after the transaction has begun, so that only the
// check before the commit can notice it.
func TestDeadlinePassesInsideTheTransaction(t *testing.T) {
	deadline := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	readings := []time.Time{deadline.Add(-time.Hour), deadline.Add(-time.Hour), deadline}
	s := openStoreAt(t, filepath.Join(t.TempDir(), "keys.db"), func() time.Time {
		now := readings[0]
		readings = readings[1:]
		return now
	})
	c := keys.Change{Document: []byte("no"), Put: map[string][]byte{"a": []byte("no")}, Deadline: deadline}
	if err := s.Swap(t.Context(), c); !errors.Is(err, keys.ErrTooLate) {
		t.Errorf("Swap = %v, want ErrTooLate", err)
	}
	if len(readings) != 0 {
		t.Errorf("%d readings of the clock were not used", len(readings))
	}
	wantVersion(t, s, 0)
	if _, err := s.PrivateKey(t.Context(), "a"); !errors.Is(err, keys.ErrNoPrivateKey) {
		t.Errorf("PrivateKey = %v, want ErrNoPrivateKey", err)
	}
}

// Another process has the write lock until after the deadline.
func TestDeadlineEndsTheWaitForTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s := openStore(t, path)
	other := openSQL(t, path)
	execute(t, other, "BEGIN IMMEDIATE")
	start := time.Now()
	err := s.Swap(t.Context(), keys.Change{Document: []byte("no"), Deadline: start.Add(50 * time.Millisecond)})
	if !errors.Is(err, keys.ErrTooLate) {
		t.Errorf("Swap = %v, want ErrTooLate", err)
	}
	if took := time.Since(start); took > busyTimeout/2 {
		t.Errorf("Swap took %v", took)
	}
	execute(t, other, "ROLLBACK")
	wantVersion(t, s, 0)
	swap(t, s, keys.Change{Document: []byte("one"), Deadline: time.Now().Add(time.Hour)})
}

func TestCancelEndsTheWaitForTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s := openStore(t, path)
	execute(t, openSQL(t, path), "BEGIN IMMEDIATE")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := s.Swap(ctx, keys.Change{Document: []byte("no")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Swap = %v, want the error of its context", err)
	}
}

// Swap wakes the Wait of the same Store, which does not have to poll.
func TestSwapWakesWait(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "keys.db"))
	swapped := s.nextSwap()
	swap(t, s, keys.Change{Document: []byte("one")})
	select {
	case <-swapped:
	default:
		t.Error("Swap does not wake Wait")
	}
}

func TestDeletedPrivateKeyLeavesTheDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s := openStore(t, path)
	secret := bytes.Repeat([]byte("delete me "), 40)
	onDisk := func() bool {
		found := false
		for _, name := range []string{path, path + "-wal"} {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			found = found || bytes.Contains(data, secret)
		}
		return found
	}
	swap(t, s, keys.Change{Document: []byte("one"), Put: map[string][]byte{"a": secret}})
	if !onDisk() {
		t.Fatal("the private key is not in the files before it is deleted")
	}
	swap(t, s, keys.Change{Version: 1, Document: []byte("two"), Delete: []string{"a"}})
	if onDisk() {
		t.Error("the private key is still in the files")
	}
}

// A plain copy of the file has every change while processes have the store open.
func TestACopiedFileHasEveryChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s := openStore(t, path)
	other := openStore(t, path) // keeps a connection open, as another process does
	wantCopy := func(version uint64) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		backup := filepath.Join(t.TempDir(), "copy.db")
		if err := os.WriteFile(backup, data, 0o600); err != nil {
			t.Fatal(err)
		}
		wantVersion(t, openStore(t, backup), version)
	}
	swap(t, s, keys.Change{Document: []byte("one"), Put: map[string][]byte{"a": []byte("a")}})
	wantCopy(1)
	wantVersion(t, other, 1)
	swap(t, other, keys.Change{Version: 1, Document: []byte("two"), Put: map[string][]byte{"b": []byte("b")}})
	wantCopy(2)

	// A reader keeps the log in use, as if this process were killed right after the
	// commit. The next process that opens the store empties the log.
	reader := openSQL(t, path)
	execute(t, reader, "BEGIN; SELECT count(*) FROM keyset")
	swap(t, s, keys.Change{Version: 2, Document: []byte("three")})
	wantCopy(2)
	execute(t, reader, "ROLLBACK")
	wantVersion(t, openStore(t, path), 3)
	wantCopy(3)
}

func TestWritesNeedFullSync(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "keys.db"))
	s.db.SetMaxOpenConns(1)
	execute(t, s.db, "PRAGMA synchronous = NORMAL")
	err := s.Swap(t.Context(), keys.Change{Document: []byte("one")})
	if err == nil || !strings.Contains(err.Error(), "synchronous") {
		t.Errorf("Swap = %v, want an error about synchronous", err)
	}
	wantVersion(t, s, 0)
}

func TestRemovedOrReplacedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s := openStore(t, path)
	swap(t, s, keys.Change{Document: []byte("one")})
	wantErrors := func(what string) {
		t.Helper()
		_, err := s.Load(t.Context())
		if err == nil || !strings.Contains(err.Error(), "removed or replaced") {
			t.Errorf("%s: Load = %v", what, err)
		}
		err = s.Swap(t.Context(), keys.Change{Version: 1, Document: []byte("two")})
		if err == nil || !strings.Contains(err.Error(), "removed or replaced") {
			t.Errorf("%s: Swap = %v", what, err)
		}
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	wantErrors("removed")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantErrors("replaced")
	if err := os.Rename(path+".old", path); err != nil {
		t.Fatal(err)
	}
	wantVersion(t, s, 1)
}

// The errors name the problem without the path of the file, for clients of a server.
func TestErrorsNameTheProblem(t *testing.T) {
	want := func(err error, problem string) {
		t.Helper()
		if failure, ok := errors.AsType[*keys.StoreError](err); !ok || failure.Problem != problem {
			t.Errorf("%v names no problem, want %q", err, problem)
		}
	}
	path := filepath.Join(t.TempDir(), "keys.db")
	s := openStore(t, path)
	swap(t, s, keys.Change{Document: []byte("one")})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err := s.Load(t.Context())
	want(err, "the file of the store was removed or replaced")

	other := filepath.Join(t.TempDir(), "other.db")
	if err := os.WriteFile(other, bytes.Repeat([]byte("no database "), 500), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), other, time.Now)
	want(err, "the file of the store is damaged or no store")
}
