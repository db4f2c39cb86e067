// Package storetest is the conformance suite that every engine of keys.Store
// must pass. It knows the contract and no engine.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// patience bounds what must come to an end by itself. No test waits this long
// unless it fails.
const patience = 10 * time.Second

// Place makes a new, empty place for a keyset and returns what opens a handle on
// it. Each call of open may return another handle, or, if the engine has only
// one for a place, the same. The Place closes what it opened, through t.Cleanup.
type Place func(t *testing.T) (open func() keys.Store)

// Run puts an engine to the test.
func Run(t *testing.T, place Place) {
	t.Helper()
	for _, tt := range []struct {
		name string
		test func(t *testing.T, open func() keys.Store)
	}{
		{"Empty", testEmpty},
		{"CompareAndSwap", testCompareAndSwap},
		{"ConflictWritesNothing", testConflict},
		{"HalvesFollowTheDocument", testHalves},
		{"EmptyDocument", testEmptyDocument},
		{"Deadline", testDeadline},
		{"Bytes", testBytes},
		{"BytesAreCopied", testCopies},
		{"Cancelled", testCancelled},
		{"ReadsSeeEveryWrite", testLinearizable},
		{"CreateRace", testCreateRace},
		{"NoLostUpdate", testNoLostUpdate},
		{"WaitIsWoken", testWait},
		{"WaitEnds", testWaitEnds},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, place(t)) })
	}
}

// change replaces version by a document that holds text.
func change(version uint64, text string) keys.Change {
	return keys.Change{Version: version, Document: []byte(text)}
}

func swap(t *testing.T, s keys.Store, c keys.Change) {
	t.Helper()
	if err := s.Swap(t.Context(), c); err != nil {
		t.Fatalf("Swap of version %d: %v", c.Version, err)
	}
}

// holds wants s to be at version with a document that holds text.
func holds(t *testing.T, s keys.Store, version uint64, text string) {
	t.Helper()
	got, err := s.Load(t.Context())
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	got.Now = time.Time{}
	if diff := cmp.Diff(keys.Record{Version: version, Document: []byte(text)}, got); diff != "" {
		t.Errorf("Load (-want +got):\n%s", diff)
	}
}

func holdsNothing(t *testing.T, s keys.Store) {
	t.Helper()
	if got, err := s.Load(t.Context()); !errors.Is(err, keys.ErrNoKeyset) {
		t.Errorf("Load = version %d, %v, want ErrNoKeyset", got.Version, err)
	}
}

// half wants the half of kid to be text, and absent if text is "".
func half(t *testing.T, s keys.Store, kid, text string) {
	t.Helper()
	got, err := s.PrivateKey(t.Context(), kid)
	switch {
	case text == "" && !errors.Is(err, keys.ErrNoPrivateKey):
		t.Errorf("PrivateKey(%q) = %q, %v, want ErrNoPrivateKey", kid, got, err)
	case text != "" && (err != nil || string(got) != text):
		t.Errorf("PrivateKey(%q) = %q, %v, want %q", kid, got, err, text)
	}
}

func testEmpty(t *testing.T, open func() keys.Store) {
	s := open()
	holdsNothing(t, s)
	half(t, s, "kid", "")
}

func testCompareAndSwap(t *testing.T, open func() keys.Store) {
	s := open()
	for version := range uint64(5) {
		text := fmt.Sprintf("document %d", version+1)
		swap(t, s, change(version, text))
		holds(t, s, version+1, text)
	}
	holds(t, open(), 5, "document 5")
}

func testConflict(t *testing.T, open func() keys.Store) {
	s := open()
	c := change(1, "no")
	c.Put = map[string][]byte{"new": []byte("no")}
	if err := s.Swap(t.Context(), c); !errors.Is(err, keys.ErrConflict) {
		t.Errorf("Swap of version 1 on an empty store = %v, want ErrConflict", err)
	}
	holdsNothing(t, s)
	half(t, s, "new", "")

	first := change(0, "one")
	first.Put = map[string][]byte{"old": []byte("old half")}
	swap(t, s, first)
	swap(t, s, change(1, "two"))
	for _, version := range []uint64{0, 1, 3, 1 << 40} {
		c := change(version, "no")
		c.Put = map[string][]byte{"new": []byte("no"), "old": []byte("no")}
		c.Delete = []string{"old"}
		if err := s.Swap(t.Context(), c); !errors.Is(err, keys.ErrConflict) {
			t.Errorf("Swap of version %d at version 2 = %v, want ErrConflict", version, err)
		}
	}
	holds(t, s, 2, "two")
	half(t, s, "new", "")
	half(t, s, "old", "old half")
}

func testHalves(t *testing.T, open func() keys.Store) {
	s, other := open(), open()
	c := change(0, "one")
	c.Put = map[string][]byte{"a": []byte("half a"), "b": []byte("half b")}
	swap(t, s, c)
	half(t, other, "a", "half a")
	half(t, other, "b", "half b")

	c = change(1, "two")
	c.Put = map[string][]byte{"c": []byte("half c"), "b": []byte("half b, sealed again")}
	c.Delete = []string{"a", "never there"}
	swap(t, s, c)
	half(t, other, "a", "")
	half(t, other, "b", "half b, sealed again")
	half(t, other, "c", "half c")

	swap(t, s, change(2, "three"))
	half(t, other, "c", "half c")
}

func testEmptyDocument(t *testing.T, open func() keys.Store) {
	s := open()
	refuses := func(c keys.Change) {
		t.Helper()
		err := s.Swap(t.Context(), c)
		if err == nil || errors.Is(err, keys.ErrConflict) || errors.Is(err, keys.ErrTooLate) {
			t.Errorf("Swap of an empty document = %v, want an error of its own", err)
		}
	}
	refuses(keys.Change{})
	holdsNothing(t, s)
	swap(t, s, change(0, "one"))
	refuses(keys.Change{Version: 1, Document: []byte{}, Put: map[string][]byte{"a": []byte("no")}})
	holds(t, s, 1, "one")
	half(t, s, "a", "")
}

func testDeadline(t *testing.T, open func() keys.Store) {
	s := open()
	late, inTime := time.Now().Add(-time.Second), time.Now().Add(time.Hour)
	for version := range uint64(2) {
		c := change(version, "no")
		c.Put = map[string][]byte{"a": []byte("no")}
		c.Deadline = late
		if err := s.Swap(t.Context(), c); !errors.Is(err, keys.ErrTooLate) {
			t.Errorf("Swap of version %d past its deadline = %v, want ErrTooLate", version, err)
		}
		half(t, s, "a", "")
		if version == 0 {
			holdsNothing(t, s)
		} else {
			holds(t, s, version, "fine")
		}
		c = change(version, "fine")
		c.Deadline = inTime
		swap(t, s, c)
	}
	holds(t, s, 2, "fine")
}

func testBytes(t *testing.T, open func() keys.Store) {
	s := open()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	document := bytes.Repeat(all, 512) // 128 KiB, twice what a keyset may grow to
	kids := []string{"-_aZ09", `'; DROP TABLE half; --`, "a/b", "schlüssel", "with space", "%25"}
	c := keys.Change{Document: document, Put: make(map[string][]byte)}
	for i, kid := range kids {
		c.Put[kid] = append([]byte{byte(i)}, all...)
	}
	swap(t, s, c)
	holds(t, open(), 1, string(document))
	for i, kid := range kids {
		half(t, s, kid, string(append([]byte{byte(i)}, all...)))
	}
}

func testCopies(t *testing.T, open func() keys.Store) {
	s := open()
	c := change(0, "one")
	c.Put = map[string][]byte{"a": []byte("half a")}
	swap(t, s, c)
	clear(c.Document)
	clear(c.Put["a"])
	record, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := s.PrivateKey(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	clear(record.Document)
	clear(sealed)
	holds(t, s, 1, "one")
	half(t, s, "a", "half a")
}

func testCancelled(t *testing.T, open func() keys.Store) {
	s := open()
	swap(t, s, change(0, "one"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, loadErr := s.Load(ctx)
	_, halfErr := s.PrivateKey(ctx, "a")
	for name, err := range map[string]error{
		"Load": loadErr,
		"Half": halfErr,
		"Swap": s.Swap(ctx, change(1, "no")),
		"Wait": s.Wait(ctx, 1),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context = %v", name, err)
		}
	}
	holds(t, s, 1, "one")
	swap(t, s, change(1, "two"))
}
