package sqlite

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// reader is a store that was opened read-only. How such a file can be read depends on
// whether a process writes it now, because only then there is a log. Therefore, a Load
// that fails opens the file again and tries once more, if it is still the same file.
type reader struct {
	now func() time.Time

	mu    sync.Mutex
	store *Store
}

func (r *reader) current() *Store {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.store
}

// Load implements keys.Store.
func (r *reader) Load(ctx context.Context) (keys.Record, error) {
	s := r.current()
	record, err := s.Load(ctx)
	if err == nil || ctx.Err() != nil {
		return record, err
	}
	again, opened := r.reopen(ctx, s)
	if opened != nil {
		return record, fmt.Errorf("%w; then: %v", err, opened)
	}
	return again.Load(ctx)
}

// reopen replaces the store s.
func (r *reader) reopen(ctx context.Context, s *Store) (*Store, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store != s {
		return r.store, nil
	}
	if info, err := os.Stat(s.path); err != nil || !os.SameFile(info, s.file) {
		return nil, gone(s.path)
	}
	again, err := openToRead(ctx, s.path, r.now)
	if err != nil {
		return nil, err
	}
	r.store = again
	return again, s.Close()
}

// PrivateKey implements keys.Store.
func (r *reader) PrivateKey(ctx context.Context, kid string) ([]byte, error) {
	return r.current().PrivateKey(ctx, kid)
}

// PrivateKeyIDs implements keys.Store.
func (r *reader) PrivateKeyIDs(ctx context.Context) ([]string, error) {
	return r.current().PrivateKeyIDs(ctx)
}

// Swap implements keys.Store. It fails.
func (r *reader) Swap(ctx context.Context, c keys.Change) error { return r.current().Swap(ctx, c) }

// Wait implements keys.Store.
func (r *reader) Wait(ctx context.Context, version uint64) error {
	return r.current().Wait(ctx, version)
}

// MinClockSkew implements keys.Store.
func (r *reader) MinClockSkew() time.Duration { return r.current().MinClockSkew() }

// Close implements keys.Store.
func (r *reader) Close() error { return r.current().Close() }
