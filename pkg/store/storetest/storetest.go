// Package storetest is the conformance suite of keys.Store. Every engine runs it:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) func() keys.Store {
//			url := createDatabase(t)
//			return func() keys.Store { return openStore(t, url) }
//		})
//	}
//
// It uses nothing but the interface.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// Engine creates an empty store and returns a function that opens it. Each call of
// open returns a handle on the same store: a new one, as another process would have,
// or always the same if the engine has only one. The Engine closes the handles with
// t.Cleanup.
type Engine func(t *testing.T) (open func() keys.Store)

// Run runs each test of the suite on an empty store.
func Run(t *testing.T, engine Engine) {
	t.Helper()
	for _, tt := range []struct {
		name string
		test func(t *testing.T, open func() handle)
	}{
		{"EmptyStore", testEmptyStore},
		{"SwapReplacesTheDocument", testSwap},
		{"SwapStoresPrivateKeys", testPrivateKeys},
		{"FirstVersion", testFirstVersion},
		{"ConflictWritesNothing", testConflict},
		{"EmptyDocumentIsRefused", testEmptyDocument},
		{"DeadlineIsChecked", testDeadline},
		{"AnyBytes", testAnyBytes},
		{"BytesAreCopied", testBytesAreCopied},
		{"CancelledContext", testCancelledContext},
		{"ReadsSeeEveryWrite", testReadsSeeEveryWrite},
		{"OneProcessCreates", testOneProcessCreates},
		{"NoLostUpdate", testNoLostUpdate},
		{"SwapEndsWait", testSwapEndsWait},
		{"ContextEndsWait", testContextEndsWait},
	} {
		t.Run(tt.name, func(t *testing.T) {
			open := engine(t)
			tt.test(t, func() handle { return handle{open(), t} })
		})
	}
}

// handle is an open store with methods that fail the test.
type handle struct {
	keys.Store
	t *testing.T
}

// sealed are sealed private keys by kid.
type sealed map[string]string

// change replaces version with a new document, puts private keys, and deletes others.
func change(version uint64, document string, put sealed, deleted ...string) keys.Change {
	c := keys.Change{Version: version, Document: []byte(document), Delete: deleted}
	if put != nil {
		c.Put = make(map[string][]byte)
	}
	for kid, key := range put {
		c.Put[kid] = []byte(key)
	}
	return c
}

func (h handle) swap(c keys.Change) {
	h.t.Helper()
	if err := h.Swap(h.t.Context(), c); err != nil {
		h.t.Fatalf("Swap of version %d: %v", c.Version, err)
	}
}

func (h handle) wantSwapError(c keys.Change, want error) {
	h.t.Helper()
	if err := h.Swap(h.t.Context(), c); !errors.Is(err, want) {
		h.t.Errorf("Swap of version %d = %v, want %v", c.Version, err, want)
	}
}

func (h handle) wantKeyset(version uint64, document string) {
	h.t.Helper()
	got, err := h.Load(h.t.Context())
	if err != nil {
		h.t.Fatalf("Load: %v", err)
	}
	got.Now = time.Time{} // only some engines have a clock
	if diff := cmp.Diff(keys.Record{Version: version, Document: []byte(document)}, got); diff != "" {
		h.t.Errorf("Load (-want +got):\n%s", diff)
	}
}

func (h handle) wantNoKeyset() {
	h.t.Helper()
	if got, err := h.Load(h.t.Context()); !errors.Is(err, keys.ErrNoKeyset) {
		h.t.Errorf("Load = version %d, %v, want ErrNoKeyset", got.Version, err)
	}
}

func (h handle) wantPrivateKey(kid, want string) {
	h.t.Helper()
	if got, err := h.PrivateKey(h.t.Context(), kid); err != nil || string(got) != want {
		h.t.Errorf("PrivateKey(%q) = %q, %v, want %q", kid, got, err, want)
	}
}

func (h handle) wantNoPrivateKey(kid string) {
	h.t.Helper()
	if got, err := h.PrivateKey(h.t.Context(), kid); !errors.Is(err, keys.ErrNoPrivateKey) {
		h.t.Errorf("PrivateKey(%q) = %q, %v, want ErrNoPrivateKey", kid, got, err)
	}
}

// wantPrivateKeyIDs compares the kids of all private keys in the store.
func (h handle) wantPrivateKeyIDs(want ...string) {
	h.t.Helper()
	got, err := h.PrivateKeyIDs(h.t.Context())
	if err != nil {
		h.t.Fatalf("PrivateKeyIDs: %v", err)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		h.t.Errorf("PrivateKeyIDs = %q, want %q", got, want)
	}
}

func testEmptyStore(_ *testing.T, open func() handle) {
	s := open()
	s.wantNoKeyset()
	s.wantNoPrivateKey("a")
	s.wantPrivateKeyIDs()
}

func testSwap(_ *testing.T, open func() handle) {
	s := open()
	for version := range uint64(5) {
		document := fmt.Sprintf("document %d", version+1)
		s.swap(change(version, document, nil))
		s.wantKeyset(version+1, document)
	}
	open().wantKeyset(5, "document 5")
}

func testPrivateKeys(_ *testing.T, open func() handle) {
	writer, reader := open(), open()
	writer.swap(change(0, "one", sealed{"a": "key a", "b": "key b"}))
	reader.wantPrivateKey("a", "key a")
	reader.wantPrivateKey("b", "key b")
	reader.wantPrivateKeyIDs("a", "b")

	// One key is new, one is replaced, one is deleted, and one was never there.
	writer.swap(change(1, "two", sealed{"c": "key c", "b": "key b, sealed again"}, "a", "unknown"))
	reader.wantNoPrivateKey("a")
	reader.wantPrivateKey("b", "key b, sealed again")
	reader.wantPrivateKey("c", "key c")

	writer.swap(change(2, "three", nil))
	reader.wantPrivateKey("c", "key c")
	reader.wantPrivateKeyIDs("b", "c")
}

// A keyset that has versions in another store begins behind them.
func testFirstVersion(_ *testing.T, open func() handle) {
	s := open()
	first := change(0, "forty-two", sealed{"a": "key a"})
	first.First = 42
	s.swap(first)
	open().wantKeyset(42, "forty-two")
	s.wantSwapError(first, keys.ErrConflict)
	s.wantSwapError(change(0, "no", nil), keys.ErrConflict)
	s.wantSwapError(change(1, "no", nil), keys.ErrConflict)

	later := change(42, "forty-three", nil)
	later.First = 7 // without a meaning here
	s.swap(later)
	open().wantKeyset(43, "forty-three")
	s.wantPrivateKeyIDs("a")
}

func testConflict(_ *testing.T, open func() handle) {
	s := open()
	s.wantSwapError(change(1, "no", sealed{"new": "no"}), keys.ErrConflict)
	s.wantNoKeyset()
	s.wantNoPrivateKey("new")

	s.swap(change(0, "one", sealed{"old": "old key"}))
	s.swap(change(1, "two", nil))
	for _, version := range []uint64{0, 1, 3, 1 << 40} {
		s.wantSwapError(change(version, "no", sealed{"new": "no", "old": "no"}), keys.ErrConflict)
		s.wantSwapError(change(version, "no", nil, "old"), keys.ErrConflict)
	}
	s.wantKeyset(2, "two")
	s.wantNoPrivateKey("new")
	s.wantPrivateKey("old", "old key")
	s.wantPrivateKeyIDs("old")
}

func testEmptyDocument(t *testing.T, open func() handle) {
	s := open()
	for version := range uint64(2) {
		c := change(version, "", sealed{"a": "no"})
		if version == 0 {
			c.Document = nil // drivers store nil and an empty slice differently
		}
		err := s.Swap(t.Context(), c)
		if err == nil || errors.Is(err, keys.ErrConflict) || errors.Is(err, keys.ErrTooLate) {
			t.Errorf("Swap of an empty document = %v, want an error about the document", err)
		}
		s.wantNoPrivateKey("a")
		if version == 0 {
			s.wantNoKeyset()
			s.swap(change(0, "one", nil))
		}
	}
	s.wantKeyset(1, "one")
}

func testDeadline(_ *testing.T, open func() handle) {
	s := open()
	for version := range uint64(2) {
		late := change(version, "no", sealed{"a": "no"})
		late.Deadline = time.Now().Add(-time.Second)
		s.wantSwapError(late, keys.ErrTooLate)
		s.wantNoPrivateKey("a")
		if version == 0 {
			s.wantNoKeyset()
		}
		inTime := change(version, fmt.Sprintf("document %d", version+1), nil)
		inTime.Deadline = time.Now().Add(time.Hour)
		s.swap(inTime)
		s.wantKeyset(version+1, fmt.Sprintf("document %d", version+1))
	}
}

// Documents, sealed keys and kids may contain any bytes.
func testAnyBytes(_ *testing.T, open func() handle) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	document := string(bytes.Repeat(all, 512)) // 128 KiB, twice the largest keyset
	put := make(sealed)
	for _, kid := range []string{"-_aZ09", `'; DROP TABLE private_key; --`, "a/b", "schlüssel", "with space", "%25"} {
		put[kid] = kid + string(all)
	}
	open().swap(change(0, document, put))
	s := open()
	s.wantKeyset(1, document)
	s.wantPrivateKeyIDs(slices.Sorted(maps.Keys(put))...)
	for kid, key := range put {
		s.wantPrivateKey(kid, key)
	}
}

// The caller may overwrite what it passed to Swap and what it got from a read.
func testBytesAreCopied(t *testing.T, open func() handle) {
	s := open()
	c := change(0, "one", sealed{"a": "key a"})
	s.swap(c)
	clear(c.Document)
	clear(c.Put["a"])
	record, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.PrivateKey(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	clear(record.Document)
	clear(key)
	s.wantKeyset(1, "one")
	s.wantPrivateKey("a", "key a")
}

func testCancelledContext(t *testing.T, open func() handle) {
	s := open()
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
