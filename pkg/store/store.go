// Package store opens the store at a URL. It chooses the engine, and knows nothing
// else of the engines.
//
//	sqlite:PATH          a file on a local disk; the path may be relative, and is not
//	                     percent-decoded
//	postgres://HOST/DB   a PostgreSQL database, for many hosts; postgresql:// too
//	etcd://HOSTS/PREFIX  a prefix in an etcd cluster, for many hosts
//	memory:              in this process only, lost when it ends
package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/etcd"
	"github.com/jwksctl/jwksctl/pkg/store/memory"
	"github.com/jwksctl/jwksctl/pkg/store/postgres"
	"github.com/jwksctl/jwksctl/pkg/store/sqlite"
)

const schemes = "sqlite:PATH, postgres://HOST/DATABASE, etcd://HOST,HOST,HOST/PREFIX or memory:"

// ErrURL means that the URL is not one of a store.
var ErrURL = errors.New("not the URL of a store")

// Open opens the store at url, which need not have a keyset. The caller closes it.
func Open(ctx context.Context, url string) (keys.Store, error) {
	if err := CheckURL(url); err != nil {
		return nil, err
	}
	switch scheme, rest, _ := strings.Cut(url, ":"); scheme {
	case "sqlite":
		return opened(sqlite.Open(ctx, rest, time.Now))
	case "postgres", "postgresql":
		return opened(postgres.Open(ctx, url))
	case "etcd":
		return opened(etcd.Open(ctx, url))
	}
	return memory.New(time.Now), nil
}

// OpenReader opens the store at url for a process that only reads. It makes no file and no
// schema, and opens a store that this process may not write.
func OpenReader(ctx context.Context, url string) (keys.Store, error) {
	if err := CheckURL(url); err != nil {
		return nil, err
	}
	switch scheme, rest, _ := strings.Cut(url, ":"); scheme {
	case "sqlite":
		return opened(sqlite.OpenReader(ctx, rest, time.Now))
	case "postgres", "postgresql":
		return opened(postgres.OpenReader(ctx, url))
	case "etcd":
		return opened(etcd.OpenReader(ctx, url))
	}
	return memory.New(time.Now), nil
}

// opened returns what an engine returned, without a nil pointer in the keys.Store.
func opened[S keys.Store](s S, err error) (keys.Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// CheckURL returns an ErrURL if url is not one of a store. It opens nothing.
func CheckURL(url string) error {
	scheme, rest, _ := strings.Cut(url, ":")
	switch {
	case scheme == "sqlite" && rest != "", scheme == "memory" && rest == "":
		return nil
	case scheme == "memory":
		return fmt.Errorf("%w: memory: takes nothing after the colon", ErrURL)
	case scheme == "sqlite":
		return fmt.Errorf("%w: sqlite: lacks the file: use sqlite:PATH", ErrURL)
	case scheme == "postgres", scheme == "postgresql":
		if err := postgres.CheckURL(url); err != nil {
			return fmt.Errorf("%w: %s: %v", ErrURL, scheme, err)
		}
		return nil
	case scheme == "etcd":
		if err := etcd.CheckURL(url); err != nil {
			return fmt.Errorf("%w: %v", ErrURL, err)
		}
		return nil
	case !regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*$`).MatchString(scheme):
		// The text may contain a password, as in "host=db password=secret".
		return fmt.Errorf("%w: it does not begin with a scheme: use %s", ErrURL, schemes)
	case scheme == url:
		return fmt.Errorf("%w: %q: use %s", ErrURL, url, schemes)
	}
	// The rest of the URL may contain a password.
	return fmt.Errorf("%w: unknown scheme %s: use %s", ErrURL, scheme, schemes)
}

// Path returns the path in url, unchanged, if the store is a file.
func Path(url string) (path string, ok bool) {
	scheme, path, _ := strings.Cut(url, ":")
	if scheme != "sqlite" || path == "" {
		return "", false
	}
	return path, true
}

// Name says which store is at url: two URLs that name the same store have the same one.
// It contains no password. It is "" if url is not one of a store.
func Name(url string) string {
	if CheckURL(url) != nil {
		return ""
	}
	switch scheme, rest, _ := strings.Cut(url, ":"); scheme {
	case "sqlite":
		if absolute, err := filepath.Abs(rest); err == nil {
			return "sqlite:" + absolute
		}
	case "postgres", "postgresql":
		return postgres.Name(url)
	case "etcd":
		return etcd.Name(url)
	}
	return url
}

// MinClockSkew is Store.MinClockSkew of the engine at a URL, so that settings can be
// checked before the store is opened. 0 means that the engine works with any clock_skew.
func MinClockSkew(url string) time.Duration {
	if scheme, _, _ := strings.Cut(url, ":"); scheme == "etcd" {
		return etcd.MinClockSkew
	}
	return 0
}
