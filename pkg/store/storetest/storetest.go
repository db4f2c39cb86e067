// Package storetest is the conformance suite of keys.Store. Every engine runs it:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) storetest.Fixture {
//			url := createDatabase(t)
//			return storetest.Fixture{Open: func() keys.Store { return open(t, url) }}
//		})
//	}
//
// An engine with a server also runs RunFaults, which puts a Proxy between the engine
// and its server.
//
// The tests use nothing but the interface, and what the Fixture offers.
package storetest

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// Engine creates an empty store.
type Engine func(t *testing.T) Fixture

// Fixture is an empty store, and what a test can do to it. Its functions are called by
// the goroutine of the test, and end the test if they fail.
type Fixture struct {
	// Open opens the store. Each call returns a new handle, as another process would
	// have, or always the same one if the engine has only one. The suite closes each
	// handle that a call returned, once.
	Open func() keys.Store

	// Restart kills the server and starts it again, while handles are open. It is nil if
	// the engine has no server.
	Restart func()

	// Backup makes a backup by the engine's own means. The function that it returns
	// restores it, while no handle is open.
	Backup func() (restore func())

	// TooLarge is the size of a document in bytes that the engine refuses; 0 if the
	// engine has no such limit.
	TooLarge int

	// Network is how a test gets between the handle and the server. It is nil if the
	// engine has no server.
	Network *Network

	t *testing.T
}

// Network is the connection between an engine and its server.
type Network struct {
	Network, Address string // of the server, as in package net
	Framing          Framing

	// Open opens the store of the Fixture, through a proxy that listens at address.
	Open func(ctx context.Context, address string) (keys.Store, error)

	// Disconnect has the server end the connection of one client. It is nil if the
	// server cannot do that.
	Disconnect func(client net.Addr)

	// Lateness is how long after its deadline a change may become visible.
	Lateness time.Duration
}

// recovery is how long a handle may need until it works again after its server is back.
const recovery = 20 * time.Second

// Run runs each test of the suite on an empty store.
func Run(t *testing.T, engine Engine) {
	t.Helper()
	for _, tt := range []struct {
		name string
		test func(t *testing.T, f *Fixture)
	}{
		{"EmptyStore", testEmptyStore},
		{"SwapReplacesTheDocument", testSwap},
		{"SwapStoresPrivateKeys", testPrivateKeys},
		{"PutAndDelete", testPutAndDelete},
		{"FirstVersion", testFirstVersion},
		{"ConflictWritesNothing", testConflict},
		{"EmptyDocumentIsRefused", testEmptyDocument},
		{"DeadlineIsChecked", testDeadline},
		{"DeadlineNow", testDeadlineNow},
		{"MinClockSkew", testMinClockSkew},
		{"AnyBytes", testAnyBytes},
		{"LargeChange", testLargeChange},
		{"TooLargeChange", testTooLargeChange},
		{"BytesAreCopied", testBytesAreCopied},
		{"CancelledContext", testCancelledContext},
		{"ContextEndsDuringSwap", testContextEndsDuringSwap},
		{"ContextEndsDuringRead", testContextEndsDuringRead},
		{"ReadsSeeEveryWrite", testReadsSeeEveryWrite},
		{"OneProcessCreates", testOneProcessCreates},
		{"NoLostUpdate", testNoLostUpdate},
		{"Linearizable", testLinearizable},
		{"SwapEndsWait", testSwapEndsWait},
		{"ContextEndsWait", testContextEndsWait},
		{"WaitForAnotherVersion", testWaitForAnotherVersion},
		{"ManyWaiters", testManyWaiters},
		{"Close", testClose},
		{"Restart", testRestart},
		{"RestoredBackupIsRefused", testRestoredBackup},
		{"RingsCreateOneKeyset", testRingsCreate},
		{"RingsRotateOnce", testRingsRotate},
		{"RingsRevokeOnce", testRingsRevoke},
		{"RingsRotateAndRevoke", testRingsRotateAndRevoke},
		{"RingsSetTheSealingKey", testRingsSetSealingKey},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, newFixture(t, engine)) })
	}
}

func newFixture(t *testing.T, engine Engine) *Fixture {
	t.Helper()
	f := engine(t)
	f.t = t
	return &f
}

// open opens the store until the end of the test.
func (f *Fixture) open() handle { return newHandle(f.t, f.Open()) }

// openThrough opens the store through a proxy.
func (f *Fixture) openThrough(p *Proxy) handle {
	f.t.Helper()
	s, err := f.Network.Open(f.t.Context(), p.Addr())
	if err != nil {
		f.t.Fatalf("open through the proxy: %v", err)
	}
	return newHandle(f.t, s)
}

func newHandle(t *testing.T, s keys.Store) handle {
	h := handle{s, t, new(sync.Once)}
	t.Cleanup(h.close)
	return h
}

// handle is an open store with methods that fail the test.
type handle struct {
	keys.Store
	t      *testing.T
	closed *sync.Once
}

// close closes the handle if it is open.
func (h handle) close() {
	h.t.Helper()
	h.closed.Do(func() {
		h.t.Helper()
		if err := h.Close(); err != nil {
			h.t.Errorf("Close: %v", err)
		}
	})
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
	if got.Version == version && string(got.Document) == document {
		return // cmp.Diff takes seconds for a large document
	}
	if diff := cmp.Diff(keys.Record{Version: version, Document: []byte(document)}, got); diff != "" {
		h.t.Errorf("Load (-want +got):\n%s", diff)
	}
}

func (h handle) wantNoKeyset() {
	h.t.Helper()
	got, err := h.Load(h.t.Context())
	if !errors.Is(err, keys.ErrNoKeyset) || errors.Is(err, keys.ErrNoPrivateKey) {
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
	got, err := h.PrivateKey(h.t.Context(), kid)
	if !errors.Is(err, keys.ErrNoPrivateKey) || errors.Is(err, keys.ErrNoKeyset) {
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
