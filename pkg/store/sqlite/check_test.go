package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// checks are the results of Check by their names.
func checks(t *testing.T, s keys.Checker) map[string]keys.CheckResult {
	t.Helper()
	results, err := s.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]keys.CheckResult{}
	for _, r := range results {
		all[r.Check] = r
	}
	return all
}

// storeToCheck is a store whose document and private keys take several pages.
func storeToCheck(t *testing.T) (*Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyset.db")
	s := openToCheck(t, path)
	err := s.Swap(t.Context(), keys.Change{Document: make([]byte, 8000), Put: map[string][]byte{"a": make([]byte, 3000), "b": make([]byte, 3000)}})
	if err != nil {
		t.Fatal(err)
	}
	return s, path
}

func openToCheck(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // what was written was checked
	return s
}

func TestCheckOfAGoodStore(t *testing.T) {
	s, path := storeToCheck(t)
	results := checks(t, s)
	for _, name := range []string{"sqlite_integrity", "sqlite_modes", "sqlite_journal_mode", "sqlite_synchronous", "sqlite_secure_delete"} {
		if results[name].Status != keys.CheckOK {
			t.Errorf("%s: %+v", name, results[name])
		}
	}
	if len(results) != 5 {
		t.Errorf("%d checks, want 5", len(results))
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	readOnly, err := openReadOnly(t.Context(), path, info, time.Now, false)
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close() //nolint:errcheck // nothing was written
	results = checks(t, &reader{now: time.Now, store: readOnly})
	if results["sqlite_integrity"].Status != keys.CheckOK || results["sqlite_synchronous"].Status != keys.CheckNotRun {
		t.Errorf("opened read-only: %+v", results)
	}
}

func TestCheckFindsSettings(t *testing.T) {
	for name, statement := range map[string]string{
		"sqlite_synchronous":   "PRAGMA synchronous = NORMAL",
		"sqlite_secure_delete": "PRAGMA secure_delete = OFF",
		"sqlite_journal_mode":  "PRAGMA journal_mode = DELETE",
	} {
		s, _ := storeToCheck(t)
		s.db.SetMaxOpenConns(1) // a setting is of one connection
		if _, err := s.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		if r := checks(t, s)[name]; r.Status != keys.CheckFinding {
			t.Errorf("after %s: %+v", statement, r)
		}
	}
}

func TestCheckFindsDamage(t *testing.T) {
	s, path := storeToCheck(t)
	if err := s.Close(); err != nil { // it has the pages in its cache
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for page := 4096; page < len(data); page += 4096 { // all but the first, which has the schema
		copy(data[page:], "\xff\xff\xff\xff\xff")
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := checks(t, openToCheck(t, path))["sqlite_integrity"]; r.Status != keys.CheckFinding {
		t.Errorf("a damaged file: %+v", r)
	}
}

func TestCheckOfAnEmptyStoreThatIsReadOnly(t *testing.T) {
	if results, err := (&Store{empty: true}).Check(t.Context()); err != nil || results != nil {
		t.Errorf("Check = %v, %v", results, err)
	}
}

func TestCheckEndsWithItsContext(t *testing.T) {
	s, _ := storeToCheck(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Check(ctx); err == nil {
		t.Error("Check with a cancelled context gives no error")
	}
}
