// Package memory is the store engine for tests, and for a server whose keys may be
// lost when it ends.
//
// Each [Store] is a separate store. It satisfies every rule of keys.Store among the
// goroutines that share it. A swap holds the lock while it checks the deadline and
// until the change is visible, so that no change becomes visible after its deadline.
//
// Nothing is durable, and no other process can use the store.
package memory

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// Store is a keyset in memory, created by New.
type Store struct {
	now func() time.Time

	mu      sync.Mutex
	record  keys.Record       // version 0: no keyset
	sealed  map[string][]byte // private keys by kid
	changed chan struct{}     // closed, and replaced, by every swap
}

// New returns a store without a keyset. Deadlines of changes are compared with now.
func New(now func() time.Time) *Store {
	return &Store{now: now, sealed: make(map[string][]byte), changed: make(chan struct{})}
}

// Load implements keys.Store.
func (s *Store) Load(ctx context.Context) (keys.Record, error) {
	if err := ctx.Err(); err != nil {
		return keys.Record{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.record.Version == 0 {
		return keys.Record{}, keys.ErrNoKeyset
	}
	return keys.Record{Version: s.record.Version, Document: bytes.Clone(s.record.Document)}, nil
}

// PrivateKey implements keys.Store.
func (s *Store) PrivateKey(ctx context.Context, kid string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sealed, ok := s.sealed[kid]
	if !ok {
		return nil, keys.ErrNoPrivateKey
	}
	return bytes.Clone(sealed), nil
}

// PrivateKeyIDs implements keys.Store.
func (s *Store) PrivateKeyIDs(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.sealed)), nil
}

// Swap implements keys.Store.
func (s *Store) Swap(ctx context.Context, c keys.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(c.Document) == 0 {
		return errors.New("refusing to store an empty keyset document")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !c.Deadline.IsZero() && !s.now().Round(0).Before(c.Deadline.Round(0)): // Round removes the monotonic reading
		return keys.ErrTooLate
	case c.Version != s.record.Version:
		return keys.ErrConflict
	}
	s.record = keys.Record{Version: c.NewVersion(), Document: bytes.Clone(c.Document)}
	for kid, sealed := range c.Put {
		s.sealed[kid] = bytes.Clone(sealed)
	}
	for _, kid := range c.Delete {
		delete(s.sealed, kid)
	}
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// Wait implements keys.Store. It never returns too early.
func (s *Store) Wait(ctx context.Context, version uint64) error {
	for {
		s.mu.Lock()
		current, changed := s.record.Version, s.changed
		s.mu.Unlock()
		if err := ctx.Err(); err != nil {
			return err
		}
		if current != version {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
}

// MinClockSkew implements keys.Store. A Swap is visible when it returns.
func (s *Store) MinClockSkew() time.Duration { return 0 }

// Close implements keys.Store. It does nothing.
func (s *Store) Close() error { return nil }
