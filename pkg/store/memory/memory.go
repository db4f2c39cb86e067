// Package memory is the store engine that lives and dies with its process: for
// tests, and for a server whose keys need not outlive it.
//
// It keeps every rule of keys.Store, in the sense that one [Store] value is one
// place: goroutines that share it see each other's changes at once. Bytes are
// copied on their way in and out. A swap holds the lock from its look at the
// clock until it is visible, so none lands late.
//
// Nothing is durable and no other process can reach it.
package memory

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// Store is a keyset in memory. Make one with New.
type Store struct {
	now func() time.Time

	mu      sync.Mutex
	record  keys.Record // version 0: no keyset
	halves  map[string][]byte
	changed chan struct{} // closed, and replaced, by every swap
}

// New returns a store that holds no keyset. It reads now for the deadlines of
// its changes.
func New(now func() time.Time) *Store {
	return &Store{now: now, halves: make(map[string][]byte), changed: make(chan struct{})}
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
	half, ok := s.halves[kid]
	if !ok {
		return nil, keys.ErrNoPrivateKey
	}
	return bytes.Clone(half), nil
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
	case !c.Deadline.IsZero() && !s.now().Round(0).Before(c.Deadline.Round(0)): // wall clock only
		return keys.ErrTooLate
	case c.Version != s.record.Version:
		return keys.ErrConflict
	}
	s.record = keys.Record{Version: c.Version + 1, Document: bytes.Clone(c.Document)}
	for kid, half := range c.Put {
		s.halves[kid] = bytes.Clone(half)
	}
	for _, kid := range c.Delete {
		delete(s.halves, kid)
	}
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// Wait implements keys.Store. It returns as soon as the keyset is not at
// version, and never earlier.
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

// Close implements keys.Store. It does nothing.
func (s *Store) Close() error { return nil }
