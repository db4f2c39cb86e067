// Package store opens the store at a URL. It chooses the engine, and knows nothing
// else of the engines.
//
//	sqlite:PATH   a file on a local disk; the path may be relative, and is not
//	              percent-decoded
//	memory:       in this process only, lost when it ends
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/memory"
	"github.com/jwksctl/jwksctl/pkg/store/sqlite"
)

const schemes = "sqlite:PATH or memory:"

// ErrURL means that the URL is not one of a store.
var ErrURL = errors.New("not the URL of a store")

// Open opens the store at url, which need not have a keyset. The caller closes it.
func Open(ctx context.Context, url string) (keys.Store, error) {
	if err := CheckURL(url); err != nil {
		return nil, err
	}
	path, ok := Path(url)
	if !ok {
		return memory.New(time.Now), nil
	}
	s, err := sqlite.Open(ctx, path, time.Now)
	if err != nil {
		return nil, err // and not a nil *sqlite.Store in a keys.Store
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
	case scheme == url:
		return fmt.Errorf("%w: %q: use %s", ErrURL, url, schemes)
	}
	// The rest of the URL may contain a password.
	return fmt.Errorf("%w: unknown scheme %s: use %s", ErrURL, scheme, schemes)
}

// OpenReader opens the store at url for a process that only reads. It makes no file, and
// opens one that this process may not write.
func OpenReader(ctx context.Context, url string) (keys.Store, error) {
	path, ok := Path(url)
	if !ok {
		return Open(ctx, url)
	}
	s, err := sqlite.OpenReader(ctx, path, time.Now)
	if err != nil {
		return nil, err // and not a nil *sqlite.Store in a keys.Store
	}
	return s, nil
}

// MinClockSkew is Store.MinClockSkew of the engine at a URL, so that settings can be
// checked before the store is opened. sqlite: and memory: work with any clock_skew.
func MinClockSkew(string) time.Duration { return 0 }

// Path returns the path in url, unchanged, if the store is a file.
func Path(url string) (path string, ok bool) {
	scheme, path, _ := strings.Cut(url, ":")
	if scheme != "sqlite" || path == "" {
		return "", false
	}
	return path, true
}
