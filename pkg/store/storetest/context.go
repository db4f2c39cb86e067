package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

func testCancelledContext(t *testing.T, f *Fixture) {
	s := f.open()
	s.swap(change(0, "one", sealed{"a": "key a"}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, loadErr := s.Load(ctx)
	_, privateKeyErr := s.PrivateKey(ctx, "a")
	_, listErr := s.PrivateKeyIDs(ctx)
	for method, err := range map[string]error{
		"Load":          loadErr,
		"PrivateKey":    privateKeyErr,
		"PrivateKeyIDs": listErr,
		"Swap":          s.Swap(ctx, change(1, "no", nil)),
		"Wait":          s.Wait(ctx, 1),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context = %v", method, err)
		}
	}
	s.wantKeyset(1, "one")
	s.swap(change(1, "two", nil))
}

// The context of a Swap ends at any time. A change is committed as a whole or not at
// all, and the handle goes on working.
func testContextEndsDuringSwap(t *testing.T, f *Fixture) {
	s, reader := f.open(), f.open()
	tr := newTracker(t)
	record := keys.Record{}
	for i := range 60 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*100*time.Microsecond)
		c := tr.next(record)
		err := s.Swap(ctx, c)
		_, known := errors.AsType[*keys.StoreError](err) // a server that sees the deadline first says so
		if err != nil && !known && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, keys.ErrConflict) {
			t.Errorf("Swap = %v, want the error of its context", err) // ErrConflict: an earlier swap landed
		}
		cancel()
		record = tr.judge(reader, c, err)
	}
	tr.recover(s, reader)
}

// The context of a read ends at any time. The read returns the right value, or the error
// of its context.
func testContextEndsDuringRead(t *testing.T, f *Fixture) {
	s := f.open()
	s.swap(change(0, "one", sealed{"a": "key a"}))
	for i := range 60 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*50*time.Microsecond)
		record, err := s.Load(ctx)
		if err == nil && (record.Version != 1 || string(record.Document) != "one") {
			t.Errorf("Load = version %d, %q, want version 1", record.Version, record.Document)
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Load = %v, want the error of its context", err)
		}
		key, err := s.PrivateKey(ctx, "a")
		if err == nil && string(key) != "key a" {
			t.Errorf("PrivateKey = %q, want %q", key, "key a")
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("PrivateKey = %v, want the error of its context", err)
		}
		cancel()
	}
	s.wantKeyset(1, "one")
	s.wantPrivateKey("a", "key a")
}
