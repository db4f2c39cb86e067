package store_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store"
)

func TestOpen(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, url := range []string{
		"memory:",
		"sqlite:" + filepath.Join(t.TempDir(), "keys.db"),
		"sqlite:keys.db",
		"sqlite:a folder/50%25 ? #1.db",
	} {
		t.Run(url, func(t *testing.T) {
			s, err := store.Open(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Swap(t.Context(), keys.Change{Document: []byte("one")}); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if path, ok := store.Path(url); ok {
				if found, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); err != nil || len(found) != 1 || found[0] != path {
					t.Errorf("the folder contains %v, %v", found, err)
				}
			}
		})
	}
}

func TestMemoryStoresAreSeparate(t *testing.T) {
	for range 2 {
		s, err := store.Open(t.Context(), "memory:")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Swap(t.Context(), keys.Change{Document: []byte("one")}); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	for url, want := range map[string]string{
		"":                               "not the URL of a store",
		"keys.db":                        "sqlite:PATH",
		"sqlite:":                        "use sqlite:PATH",
		"memory:mine":                    "nothing after the colon",
		"mysql://me:secret@db.example/k": "sqlite:PATH, postgres://HOST/DATABASE, etcd",
		"postgres://me:secret@db/k?x=1":  `unknown parameter "x"`,
		"postgresql://me:sec/ret@db/k":   "%2F",
		"etcd:h1":                        "etcd://HOST1,HOST2,HOST3/PREFIX",
		"etcd://me:secret@h1/p":          "password_file=FILE",
		"etcd://h1/p?password=secret":    "use password_file=FILE",
		"SQLITE:keys.db":                 "unknown scheme",
		"host=db password=secret":        "does not begin with a scheme",
		"host=db password=secret:x":      "does not begin with a scheme",
		"me@db:secret":                   "does not begin with a scheme",
		"sqlite:" + t.TempDir():          "folder",
	} {
		s, err := store.Open(t.Context(), url)
		if err == nil || s != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q) = %v, %v, want an error with %q", url, s, err, want)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error contains a password: %v", err)
		}
	}
}

func TestPath(t *testing.T) {
	for url, want := range map[string]string{
		"sqlite:/var/lib/jwksctl/keys.db": "/var/lib/jwksctl/keys.db",
		"sqlite:keys.db":                  "keys.db",
		"sqlite:a b%20c":                  "a b%20c",
		"sqlite:":                         "",
		"memory:":                         "",
		"keys.db":                         "",
	} {
		if path, ok := store.Path(url); path != want || ok != (want != "") {
			t.Errorf("Path(%q) = %q, %v, want %q", url, path, ok, want)
		}
	}
}

func TestName(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	want := "sqlite:" + filepath.Join(dir, "keys.db")
	for url, want := range map[string]string{
		"sqlite:keys.db": want, "sqlite:./keys.db": want, "sqlite:" + filepath.Join(dir, "sub", "..", "keys.db"): want,
		"sqlite:other.db":              "sqlite:" + filepath.Join(dir, "other.db"),
		"memory:":                      "memory:",
		"postgres://me:secret@db/k":    "postgres://db:5432/k?schema=jwksctl",
		"postgres://me:secret@db/k?x=": "",
		"etcd://h2,h1:2379/keys?user=me&password_file=f": "etcd://h1:2379,h2:2379/keys",
		"etcd:keys": "",
		"sqlite:":   "", "redis://me:hunter2@cache": "", "": "",
	} {
		if got := store.Name(url); got != want {
			t.Errorf("Name(%q) = %q, want %q", url, got, want)
		}
	}
}

// A setting can be checked before the store is opened.
func TestMinClockSkew(t *testing.T) {
	for _, url := range []string{"memory:", "sqlite:" + filepath.Join(t.TempDir(), "keys.db"), "etcd://127.0.0.1"} {
		s, err := store.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := store.MinClockSkew(url), s.MinClockSkew(); got != want {
			t.Errorf("MinClockSkew(%q) = %v, want %v, that of the open store", url, got, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
