package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

func testEmptyStore(_ *testing.T, f *Fixture) {
	s := f.open()
	s.wantNoKeyset()
	s.wantNoPrivateKey("a")
	s.wantPrivateKeyIDs()
}

func testSwap(_ *testing.T, f *Fixture) {
	s := f.open()
	for version := range uint64(5) {
		document := fmt.Sprintf("document %d", version+1)
		s.swap(change(version, document, nil))
		s.wantKeyset(version+1, document)
	}
	f.open().wantKeyset(5, "document 5")
}

func testPrivateKeys(_ *testing.T, f *Fixture) {
	writer, reader := f.open(), f.open()
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
func testFirstVersion(_ *testing.T, f *Fixture) {
	s := f.open()
	first := change(0, "forty-two", sealed{"a": "key a"})
	first.First = 42
	s.swap(first)
	f.open().wantKeyset(42, "forty-two")
	s.wantSwapError(first, keys.ErrConflict)
	s.wantSwapError(change(0, "no", nil), keys.ErrConflict)
	s.wantSwapError(change(1, "no", nil), keys.ErrConflict)

	later := change(42, "forty-three", nil)
	later.First = 7 // without a meaning here
	s.swap(later)
	f.open().wantKeyset(43, "forty-three")
	s.wantPrivateKeyIDs("a")
}

func testConflict(_ *testing.T, f *Fixture) {
	s := f.open()
	s.wantSwapError(change(1, "no", sealed{"new": "no"}), keys.ErrConflict)
	s.wantNoKeyset()
	s.wantNoPrivateKey("new")

	s.swap(change(0, "one", sealed{"old": "old key"}))
	s.swap(change(1, "two", nil))
	for _, version := range []uint64{0, 1, 3, 1 << 40, math.MaxInt64, math.MaxUint64} {
		s.wantSwapError(change(version, "no", sealed{"new": "no", "old": "no"}), keys.ErrConflict)
		s.wantSwapError(change(version, "no", nil, "old"), keys.ErrConflict)
	}
	s.wantKeyset(2, "two")
	s.wantNoPrivateKey("new")
	s.wantPrivateKey("old", "old key")
	s.wantPrivateKeyIDs("old")
}

func testEmptyDocument(_ *testing.T, f *Fixture) {
	s := f.open()
	for version := range uint64(2) {
		c := change(version, "", sealed{"a": "no"})
		if version == 0 {
			c.Document = nil // drivers store nil and an empty slice differently
		}
		s.wantRefused("an empty document", c)
		s.wantNoPrivateKey("a")
		if version == 0 {
			s.wantNoKeyset()
			s.swap(change(0, "one", nil))
		}
	}
	s.wantKeyset(1, "one")
}

func testDeadline(_ *testing.T, f *Fixture) {
	s := f.open()
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
func testAnyBytes(_ *testing.T, f *Fixture) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	document := string(bytes.Repeat(all, 512)) // 128 KiB, twice the largest keyset
	put := make(sealed)
	for _, kid := range []string{"-_aZ09", `'; DROP TABLE private_key; --`, "a/b", "schlüssel", "with space", "%25"} {
		put[kid] = kid + string(all)
	}
	f.open().swap(change(0, document, put))
	s := f.open()
	s.wantKeyset(1, document)
	s.wantPrivateKeyIDs(slices.Sorted(maps.Keys(put))...)
	for kid, key := range put {
		s.wantPrivateKey(kid, key)
	}
}

// The caller may overwrite what it passed to Swap and what it got from a read.
func testBytesAreCopied(t *testing.T, f *Fixture) {
	s := f.open()
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

// A change may name a kid twice. A kid that is in Put and in Delete is deleted.
func testPutAndDelete(_ *testing.T, f *Fixture) {
	s := f.open()
	s.swap(change(0, "one", sealed{"a": "key a", "b": "key b"}, "b", "b", "unknown", "unknown"))
	s.wantPrivateKey("a", "key a")
	s.wantNoPrivateKey("b")
	s.swap(change(1, "two", sealed{"a": "key a, sealed again", "c": "key c"}, "a", "a"))
	s.wantKeyset(2, "two")
	s.wantNoPrivateKey("a")
	s.wantPrivateKey("c", "key c")
	s.wantPrivateKeyIDs("c")
}

// A deadline that is now has passed. One in the future has not, in any time zone.
func testDeadlineNow(_ *testing.T, f *Fixture) {
	s := f.open()
	for version := range uint64(2) {
		late := change(version, "no", sealed{"a": "no"})
		late.Deadline = time.Now()
		s.wantSwapError(late, keys.ErrTooLate)
		s.wantNoPrivateKey("a")
		inTime := change(version, fmt.Sprint(version+1), nil)
		inTime.Deadline = time.Now().Add(time.Hour).In(time.FixedZone("west", -12*60*60))
		s.swap(inTime)
		s.wantKeyset(version+1, fmt.Sprint(version+1))
	}
}

// The clock_skew that the engine needs is a constant under which a policy is valid.
func testMinClockSkew(t *testing.T, f *Fixture) {
	a, b := f.open().MinClockSkew(), f.open().MinClockSkew()
	if a < 0 || a != b {
		t.Errorf("MinClockSkew of two handles = %v and %v, want the same", a, b)
	}
	settings := keys.Settings{RotationInterval: 24 * time.Hour, ClockSkew: max(a, time.Second), Issuer: "https://issuer.example"}
	if _, err := keys.NewPolicy(settings); err != nil {
		t.Errorf("with the engine's MinClockSkew of %v: %v", a, err)
	}
}

// A document of 256 KiB and 64 private keys of 4 KiB are more than a keyset ever has.
func testLargeChange(_ *testing.T, f *Fixture) {
	const privateKeys, keySize, documentSize = 64, 4 << 10, 256 << 10
	s := f.open()
	for version := range uint64(2) { // creation, and a later change
		put := make(sealed)
		var kids []string
		for i := range privateKeys {
			kid := fmt.Sprintf("kid %d of version %d, as long as a thumbprint", i, version)
			kids = append(kids, kid)
			put[kid] = string(bytes.Repeat([]byte{byte(i)}, keySize))
		}
		document := string(bytes.Repeat([]byte{byte(version)}, documentSize))
		s.swap(change(2*version, document, put))
		s.wantKeyset(2*version+1, document)
		for _, kid := range kids {
			s.wantPrivateKey(kid, put[kid])
		}
		s.wantPrivateKeyIDs(slices.Sorted(slices.Values(kids))...)
		s.swap(change(2*version+1, "all are deleted", nil, kids...))
		s.wantPrivateKeyIDs()
	}
}

// A change that is too large for the engine writes nothing and harms nothing.
func testTooLargeChange(t *testing.T, f *Fixture) {
	if f.TooLarge == 0 {
		t.Skip("the engine has no limit")
	}
	s := f.open()
	for version := range uint64(2) {
		large := change(version, "no", sealed{"a": "no"})
		large.Document = make([]byte, f.TooLarge)
		s.wantRefused("a large document", large)
		many := change(version, "no", sealed{"a": "no"})
		for i := range 2 * f.TooLarge / (64 << 10) {
			many.Put[fmt.Sprint(i)] = make([]byte, 64<<10)
		}
		s.wantRefused("many large private keys", many)
		s.wantNoPrivateKey("a")
		if version == 0 {
			s.wantNoKeyset()
		}
		s.swap(change(version, fmt.Sprint(version+1), sealed{"b": "key b"}))
		s.wantKeyset(version+1, fmt.Sprint(version+1))
	}
	s.wantPrivateKey("b", "key b")
}

// wantRefused checks that a swap fails because of what it contains, and says so.
func (h handle) wantRefused(what string, c keys.Change) {
	h.t.Helper()
	err := h.Swap(h.t.Context(), c)
	if err == nil || isContract(err) {
		h.t.Errorf("Swap of %s = %v, want an error about it", what, err)
	}
}

// isContract reports whether an error is one that callers of a Store match.
func isContract(err error) bool {
	return errors.Is(err, keys.ErrNoKeyset) || errors.Is(err, keys.ErrNoPrivateKey) ||
		errors.Is(err, keys.ErrConflict) || errors.Is(err, keys.ErrTooLate)
}
