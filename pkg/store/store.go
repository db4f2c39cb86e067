// Package store opens the keyset that a URL names. It is one switch over the
// engines below it and knows nothing else of them.
//
//	sqlite:PATH   a file on a local disk, relative or absolute; PATH is taken as
//	              it is, spaces included, with no percent-decoding
//	memory:       this process alone, gone with it
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

const schemes = "sqlite:PATH and memory:"

// ErrURL says that a store's URL names no store; nothing was opened.
var ErrURL = errors.New("not the URL of a store")

// Open opens the store at url, which need not hold a keyset yet. The caller
// closes it.
func Open(ctx context.Context, url string) (keys.Store, error) {
	if path, ok := Path(url); ok {
		return openSQLite(ctx, path)
	}
	scheme, rest, _ := strings.Cut(url, ":")
	switch {
	case scheme == "memory" && rest == "":
		return memory.New(time.Now), nil
	case scheme == "memory":
		return nil, fmt.Errorf("%w: memory: takes nothing after the colon: it has no place and no name", ErrURL)
	case scheme == "sqlite":
		return nil, fmt.Errorf("%w: sqlite: names no file: write sqlite:PATH", ErrURL)
	case scheme == url:
		return nil, fmt.Errorf("%w: %q: the known ones are %s", ErrURL, url, schemes)
	}
	// The rest of an unknown URL may hold a password: it is not repeated.
	return nil, fmt.Errorf("%w: %s: is of an unknown kind: the known ones are %s", ErrURL, scheme, schemes)
}

// openSQLite keeps a nil *sqlite.Store from becoming a non-nil keys.Store.
func openSQLite(ctx context.Context, path string) (keys.Store, error) {
	s, err := sqlite.Open(ctx, path, time.Now)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Path returns the path in url, as written, if the store is a file.
func Path(url string) (path string, ok bool) {
	scheme, path, _ := strings.Cut(url, ":")
	if scheme != "sqlite" || path == "" {
		return "", false
	}
	return path, true
}
