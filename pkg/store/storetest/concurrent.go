package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// goroutines is the number of goroutines in the tests below. They share two handles.
const goroutines = 8

// A read on one handle sees a write that has returned on the other.
func testReadsSeeEveryWrite(_ *testing.T, f *Fixture) {
	handles := [2]handle{f.open(), f.open()}
	for version := range uint64(40) {
		text := fmt.Sprint(version)
		writer, reader := handles[version%2], handles[(version+1)%2]
		writer.swap(change(version, text, sealed{text: text}))
		reader.wantKeyset(version+1, text)
		reader.wantPrivateKey(text, text)
	}
}

// Many goroutines create the keyset at the same time, and one succeeds.
func testOneProcessCreates(t *testing.T, f *Fixture) {
	handles := [2]handle{f.open(), f.open()}
	var errs [goroutines]error
	start := make(chan struct{})
	var group sync.WaitGroup
	for i := range errs {
		group.Go(func() {
			name := fmt.Sprint(i)
			<-start
			errs[i] = handles[i%2].Swap(t.Context(), change(0, name, sealed{name: name}))
		})
	}
	close(start)
	group.Wait()

	creators := 0
	s := f.open()
	for i, err := range errs {
		name := fmt.Sprint(i)
		switch {
		case err == nil:
			creators++
			s.wantKeyset(1, name)
			s.wantPrivateKey(name, name)
		case errors.Is(err, keys.ErrConflict):
			s.wantNoPrivateKey(name)
		default:
			t.Errorf("Swap = %v, want nil or ErrConflict", err)
		}
	}
	if creators != 1 {
		t.Errorf("%d goroutines created the keyset, want 1", creators)
	}
}

// Many goroutines increment the number in the document, and no increment is lost.
func testNoLostUpdate(t *testing.T, f *Fixture) {
	const each, total = 8, 8 * goroutines
	handles := [2]handle{f.open(), f.open()}
	handles[0].swap(change(0, "0", sealed{"0": "0"}))
	var group sync.WaitGroup
	for i := range goroutines {
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
	handles[0].wantKeyset(total+1, fmt.Sprint(total))
	for n := range total {
		handles[1].wantNoPrivateKey(fmt.Sprint(n))
	}
	handles[1].wantPrivateKey(fmt.Sprint(total), fmt.Sprint(total))
}

// increment adds one to the number in the document and moves the one private key,
// whose kid is the number. After a conflict it tries again.
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
		err = s.Swap(ctx, change(record.Version, next, sealed{next: next}, strconv.Itoa(n)))
		if !errors.Is(err, keys.ErrConflict) {
			return err
		}
	}
}
