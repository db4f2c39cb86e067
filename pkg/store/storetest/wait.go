package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// A goroutine waits for each version on one handle, while both handles swap in turn.
func testSwapEndsWait(t *testing.T, f *Fixture) {
	const last = 6
	handles := [2]handle{f.open(), f.open()}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // only a failing test takes so long
	defer cancel()
	reached := make(chan uint64, last)
	var follower sync.WaitGroup
	defer follower.Wait()
	follower.Go(func() {
		defer close(reached)
		for version := uint64(0); version < last; {
			if err := handles[0].Wait(ctx, version); err != nil {
				t.Errorf("Wait at version %d: %v", version, err)
				return
			}
			record, err := handles[0].Load(ctx)
			if err != nil && !errors.Is(err, keys.ErrNoKeyset) {
				t.Error(err)
				return
			}
			if record.Version > version {
				version = record.Version
				reached <- version
			}
		}
	})
	for version := range uint64(last) {
		handles[version%2].swap(change(version, "x", nil))
		if got := <-reached; got != version+1 {
			t.Fatalf("the goroutine is at version %d, want %d", got, version+1)
		}
	}
}

// Wait returns the error of its context. Until then it blocks, apart from a few early
// returns, which the contract allows.
func testContextEndsWait(t *testing.T, f *Fixture) {
	s := f.open()
	s.swap(change(0, "one", nil))
	if err := s.Wait(t.Context(), 0); err != nil {
		t.Errorf("Wait for a version that has passed = %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	for range 10 {
		err := s.Wait(ctx, 1)
		if errors.Is(err, context.DeadlineExceeded) {
			return
		}
		if err != nil {
			t.Fatalf("Wait = %v, want the error of its context", err)
		}
	}
	t.Fatal("Wait returned 10 times although nothing changed")
}

// Wait returns at once if the keyset is at a version that is newer, or that is older
// because the store was restored from a backup.
func testWaitForAnotherVersion(t *testing.T, f *Fixture) {
	s := f.open()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // only a failing test takes so long
	defer cancel()
	if err := s.Wait(ctx, 7); err != nil {
		t.Errorf("Wait for a change of version 7 in an empty store = %v", err)
	}
	s.swap(change(0, "one", nil))
	s.swap(change(1, "two", nil))
	for _, version := range []uint64{0, 1, 3, 7, 1 << 40} {
		if err := s.Wait(ctx, version); err != nil {
			t.Errorf("Wait for a change of version %d at version 2 = %v", version, err)
		}
	}
}

// Many goroutines wait on one handle, which does everything else meanwhile. A change
// wakes them all.
func testManyWaiters(t *testing.T, f *Fixture) {
	const waiters = 32
	s, other := f.open(), f.open()
	s.swap(change(0, "one", sealed{"a": "key a"}))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // only a failing test takes so long
	defer cancel()
	var group, started sync.WaitGroup
	started.Add(waiters)
	for range waiters {
		group.Go(func() {
			started.Done()
			for version := uint64(1); version < 3; {
				if err := s.Wait(ctx, version); err != nil {
					t.Errorf("Wait at version %d: %v", version, err)
					return
				}
				record, err := s.Load(ctx)
				if err != nil {
					t.Errorf("Load: %v", err)
					return
				}
				version = record.Version
			}
		})
	}
	started.Wait()
	for range 10 {
		s.wantKeyset(1, "one")
		s.wantPrivateKey("a", "key a")
	}
	s.swap(change(1, "two", nil))
	other.swap(change(2, "three", nil))
	group.Wait()
}
