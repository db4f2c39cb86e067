package storetest

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A handle that is closed does nothing to the others, and never says anything wrong of
// the store.
func testClose(t *testing.T, f *Fixture) {
	s, other := f.open(), f.open()
	s.swap(change(0, "one", sealed{"a": "key a"}))
	s.close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // only a failing test takes so long
	defer cancel()
	_, loadErr := s.Load(ctx)
	_, privateKeyErr := s.PrivateKey(ctx, "a")
	_, listErr := s.PrivateKeyIDs(ctx)
	swapErr := s.Swap(ctx, change(1, "two", nil))
	for method, err := range map[string]error{
		"Load": loadErr, "PrivateKey": privateKeyErr, "PrivateKeyIDs": listErr, "Swap": swapErr, "Wait": s.Wait(ctx, 0),
	} {
		if isContract(err) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s of a closed handle = %v, want success or an error about the handle", method, err)
		}
	}
	record, err := other.Load(ctx)
	if err != nil || (record.Version == 1) == (swapErr == nil) {
		t.Errorf("Load = version %d, %v after Swap of a closed handle = %v", record.Version, err, swapErr)
	}
	other.swap(change(record.Version, "three", nil))
	f.open().wantKeyset(record.Version+1, "three")
}

// What was committed is there after every process has closed the store, and after the
// server was killed. A handle that was open then works again by itself.
func testRestart(t *testing.T, f *Fixture) {
	s := f.open()
	s.swap(change(0, "one", sealed{"a": "key a", "b": "key b"}))
	s.swap(change(1, "two", nil, "b"))
	s.close()
	s = f.open()
	s.wantKeyset(2, "two")
	s.wantPrivateKey("a", "key a")
	s.wantNoPrivateKey("b")
	if f.Restart == nil {
		t.Skip("the fixture cannot restart its server")
	}
	s.swap(change(2, "document", sealed{"document": "document"}, "a"))
	tr := newTracker(t)
	for i := range 3 {
		f.Restart()
		tr.recover(s, f.open())
		if record := tr.read(s); record.Version < uint64(4+i) {
			t.Errorf("version %d after restart %d", record.Version, i+1)
		}
	}
}
