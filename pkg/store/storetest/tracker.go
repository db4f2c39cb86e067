package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// tracker makes changes, and checks what became of them. After each of its changes the
// store has one private key, whose kid and content are the document. Therefore it can
// see whether a change was committed as a whole.
type tracker struct {
	t *testing.T
	*attempts
}

// attempts are the changes that were made in a store.
type attempts struct {
	mu      sync.Mutex
	tried   int
	refused map[string]error // documents that must never be committed, and why
}

func newTracker(t *testing.T) *tracker {
	return &tracker{t, &attempts{refused: map[string]error{}}}
}

// in is the same tracker for another test.
func (tr *tracker) in(t *testing.T) *tracker { return &tracker{t, tr.attempts} }

// next is a change that replaces record.
func (tr *tracker) next(record keys.Record) keys.Change {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.tried++
	document := fmt.Sprintf("document %d", tr.tried)
	c := change(record.Version, document, sealed{document: document})
	if record.Version > 0 {
		c.Delete = []string{string(record.Document)}
	}
	return c
}

// read reads the store, and checks that it has what one of the changes wrote. The
// version is 0 if there is no keyset.
func (tr *tracker) read(h handle) keys.Record {
	tr.t.Helper()
	ctx, cancel := context.WithTimeout(tr.t.Context(), recovery)
	defer cancel()
	for {
		record, err := load(ctx, h)
		if err != nil {
			tr.t.Fatalf("Load: %v", err)
		}
		kids, key := tr.privateKeys(ctx, h, string(record.Document))
		again, err := load(ctx, h)
		if err != nil {
			tr.t.Fatalf("Load: %v", err)
		}
		if again.Version != record.Version { // a late commit landed meanwhile
			continue
		}
		if want := wantKids(record); !slices.Equal(kids, want) || key != string(record.Document) {
			tr.t.Errorf("the store has %q, the private keys %q and %q as its own: not a change as a whole", record.Document, kids, key)
		}
		tr.mu.Lock()
		defer tr.mu.Unlock()
		if why, ok := tr.refused[string(record.Document)]; ok {
			tr.t.Errorf("the store has %q, although Swap returned %v", record.Document, why)
		}
		return record
	}
}

// load returns a record of version 0 if there is no keyset.
func load(ctx context.Context, s keys.Store) (keys.Record, error) {
	record, err := s.Load(ctx)
	if errors.Is(err, keys.ErrNoKeyset) {
		return keys.Record{}, nil
	}
	return record, err
}

// wantKids are the kids of the private keys that a change leaves.
func wantKids(record keys.Record) []string {
	if record.Version == 0 {
		return nil
	}
	return []string{string(record.Document)}
}

// privateKeys returns the kids of all private keys, and the private key of document.
func (tr *tracker) privateKeys(ctx context.Context, h handle, document string) (kids []string, key string) {
	tr.t.Helper()
	kids, err := h.PrivateKeyIDs(ctx)
	if err != nil {
		tr.t.Fatalf("PrivateKeyIDs: %v", err)
	}
	sealed, err := h.PrivateKey(ctx, document)
	if err != nil && !errors.Is(err, keys.ErrNoPrivateKey) {
		tr.t.Fatalf("PrivateKey(%q): %v", document, err)
	}
	return kids, string(sealed)
}

// judge checks what Swap returned for a change against what a reader sees.
func (tr *tracker) judge(reader handle, c keys.Change, err error) keys.Record {
	tr.t.Helper()
	if errors.Is(err, keys.ErrConflict) || errors.Is(err, keys.ErrTooLate) {
		tr.mu.Lock()
		tr.refused[string(c.Document)] = err
		tr.mu.Unlock()
	}
	if errors.Is(err, keys.ErrNoKeyset) || errors.Is(err, keys.ErrNoPrivateKey) {
		tr.t.Errorf("Swap = %v", err)
	}
	record := tr.read(reader)
	if there := string(record.Document) == string(c.Document); err == nil && !there {
		tr.t.Errorf("Swap of %q returned no error, but the store has version %d, %q", c.Document, record.Version, record.Document)
	}
	return record
}

// recover waits until a handle works again by itself: until it has made one more change.
func (tr *tracker) recover(h, reader handle) {
	tr.t.Helper()
	ctx, cancel := context.WithTimeout(tr.t.Context(), recovery)
	defer cancel()
	var last error
	for ctx.Err() == nil {
		if last = tr.tryChange(ctx, h, reader); last == nil {
			return
		}
		pause(ctx)
	}
	tr.t.Fatalf("the handle still does not work after %v: %v", recovery, last)
}

func (tr *tracker) tryChange(ctx context.Context, h, reader handle) error {
	ctx, cancel := context.WithTimeout(ctx, recovery/4)
	defer cancel()
	record, err := load(ctx, h)
	if err != nil {
		return err
	}
	c := tr.next(record)
	err = h.Swap(ctx, c)
	tr.judge(reader, c, err)
	return err
}

// pause is a short time between two tries.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Millisecond):
	}
}
