package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// Each of the concurrent tests runs this many goroutines on each of two handles.
const goroutines = 4

func testLinearizable(t *testing.T, open func() keys.Store) {
	handles := [2]keys.Store{open(), open()}
	for version := range uint64(40) {
		text := fmt.Sprint(version)
		writer, reader := handles[version%2], handles[(version+1)%2]
		c := change(version, text)
		c.Put = map[string][]byte{text: []byte(text)}
		swap(t, writer, c)
		holds(t, reader, version+1, text)
		half(t, reader, text, text)
	}
}

func testCreateRace(t *testing.T, open func() keys.Store) {
	handles := [2]keys.Store{open(), open()}
	results := make([]error, 2*goroutines)
	start := make(chan struct{})
	var group sync.WaitGroup
	for i := range results {
		group.Go(func() {
			name := fmt.Sprint(i)
			c := change(0, name)
			c.Put = map[string][]byte{name: []byte(name)}
			<-start
			results[i] = handles[i%2].Swap(t.Context(), c)
		})
	}
	close(start)
	group.Wait()

	winner := -1
	for i, err := range results {
		switch {
		case err == nil && winner < 0:
			winner = i
		case err == nil:
			t.Errorf("both %d and %d created the keyset", winner, i)
		case !errors.Is(err, keys.ErrConflict):
			t.Errorf("a creation that lost = %v, want ErrConflict", err)
		}
	}
	if winner < 0 {
		t.Fatal("nobody created the keyset")
	}
	holds(t, open(), 1, fmt.Sprint(winner))
	for i := range results {
		want := ""
		if i == winner {
			want = fmt.Sprint(i)
		}
		half(t, open(), fmt.Sprint(i), want)
	}
}

// increment adds one to the number in the document, by as many tries as that
// takes. The number has a half, which moves with it.
func increment(ctx context.Context, s keys.Store) error {
	for {
		record, err := s.Load(ctx)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(record.Document))
		if err != nil {
			return err
		}
		next := strconv.Itoa(n + 1)
		err = s.Swap(ctx, keys.Change{
			Version:  record.Version,
			Document: []byte(next),
			Put:      map[string][]byte{next: []byte(next)},
			Delete:   []string{string(record.Document)},
		})
		if !errors.Is(err, keys.ErrConflict) {
			return err
		}
	}
}

func testNoLostUpdate(t *testing.T, open func() keys.Store) {
	const each = 8
	handles := [2]keys.Store{open(), open()}
	c := change(0, "0")
	c.Put = map[string][]byte{"0": []byte("0")}
	swap(t, handles[0], c)
	var group sync.WaitGroup
	for i := range 2 * goroutines {
		group.Go(func() {
			for range each {
				if err := increment(t.Context(), handles[i%2]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	const total = 2 * goroutines * each
	holds(t, handles[0], total+1, fmt.Sprint(total))
	for n := range total {
		half(t, handles[1], fmt.Sprint(n), "")
	}
	half(t, handles[1], fmt.Sprint(total), fmt.Sprint(total))
}

// One goroutine follows the versions by Wait while both handles, in turn, swap.
func testWait(t *testing.T, open func() keys.Store) {
	const last = 6
	handles := [2]keys.Store{open(), open()}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
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
		swap(t, handles[version%2], change(version, "x"))
		if got := <-reached; got != version+1 {
			t.Fatalf("the follower is at version %d, want %d", got, version+1)
		}
	}
}

// Wait ends with its context, and until then it blocks rather than spins.
func testWaitEnds(t *testing.T, open func() keys.Store) {
	s := open()
	swap(t, s, change(0, "one"))
	if err := s.Wait(t.Context(), 0); err != nil {
		t.Errorf("Wait for what has passed = %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	early := 0
	for {
		err := s.Wait(ctx, 1)
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatalf("Wait = %v, want its context's error", err)
		}
		if early++; early > 10 {
			t.Fatal("Wait spins: it returns although nothing changed")
		}
	}
}
