package storetest_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/memory"
	"github.com/jwksctl/jwksctl/pkg/store/storetest"
)

// brokenName is the variable with the name of the broken engine that TestBrokenEngine
// runs in a process of its own, because the suite has to fail there.
const brokenName = "STORETEST_BROKEN"

// faulty is a store in memory with a fault.
type faulty struct {
	keys.Store
	load       func(s keys.Store, ctx context.Context) (keys.Record, error)
	privateKey func(s keys.Store, ctx context.Context, kid string) ([]byte, error)
	kids       func(s keys.Store, ctx context.Context) ([]string, error)
	swap       func(s keys.Store, ctx context.Context, c keys.Change) error
	wait       func(s keys.Store, ctx context.Context, version uint64) error
	close      func(s keys.Store) error
}

func (f *faulty) Load(ctx context.Context) (keys.Record, error) {
	if f.load != nil {
		return f.load(f.Store, ctx)
	}
	return f.Store.Load(ctx)
}

func (f *faulty) PrivateKey(ctx context.Context, kid string) ([]byte, error) {
	if f.privateKey != nil {
		return f.privateKey(f.Store, ctx, kid)
	}
	return f.Store.PrivateKey(ctx, kid)
}

func (f *faulty) PrivateKeyIDs(ctx context.Context) ([]string, error) {
	if f.kids != nil {
		return f.kids(f.Store, ctx)
	}
	return f.Store.PrivateKeyIDs(ctx)
}

func (f *faulty) Swap(ctx context.Context, c keys.Change) error {
	if f.swap != nil {
		return f.swap(f.Store, ctx, c)
	}
	return f.Store.Swap(ctx, c)
}

func (f *faulty) Wait(ctx context.Context, version uint64) error {
	if f.wait != nil {
		return f.wait(f.Store, ctx, version)
	}
	return f.Store.Wait(ctx, version)
}

func (f *faulty) Close() error {
	if f.close != nil {
		return f.close(f.Store)
	}
	return f.Store.Close()
}

// every reports true at each n-th call.
func every(n int64) func() bool {
	var calls atomic.Int64
	return func() bool { return calls.Add(1)%n == 0 }
}

// broken are engines that the suite has to refuse, and the tests that do it. The tests of
// RunFaults have a name that begins with Faults.
var broken = map[string]struct {
	store func() *faulty // in memory
	bugs  bugs           // of a remote engine, if store is nil
	tests []string
}{
	"a read is stale": {store: func() *faulty {
		var last atomic.Pointer[keys.Record]
		stale := every(5)
		return &faulty{load: func(s keys.Store, ctx context.Context) (keys.Record, error) {
			record, err := s.Load(ctx)
			old := last.Swap(&record)
			if err == nil && old != nil && old.Version > 0 && stale() {
				return *old, nil
			}
			return record, err
		}}
	}, tests: []string{"Linearizable"}},
	"an update is lost": {store: func() *faulty {
		return &faulty{swap: func(s keys.Store, ctx context.Context, c keys.Change) error {
			for {
				err := s.Swap(ctx, c)
				if !errors.Is(err, keys.ErrConflict) {
					return err
				}
				record, _ := s.Load(ctx)
				c.Version = record.Version
			}
		}}
	}, tests: []string{"Linearizable", "ConflictWritesNothing", "OneProcessCreates", "RingsCreateOneKeyset"}},
	"a conflict was written": {store: func() *faulty {
		twice := every(5)
		return &faulty{swap: func(s keys.Store, ctx context.Context, c keys.Change) error {
			err := s.Swap(ctx, c)
			if err == nil && twice() {
				return s.Swap(ctx, c) // the first one was sent again
			}
			return err
		}}
	}, tests: []string{"Linearizable", "SwapReplacesTheDocument"}},
	"a success was not written": {store: func() *faulty {
		skip := every(5)
		return &faulty{swap: func(s keys.Store, ctx context.Context, c keys.Change) error {
			if c.Version > 0 && skip() {
				if record, err := s.Load(ctx); err == nil && record.Version == c.Version {
					return nil
				}
			}
			return s.Swap(ctx, c)
		}}
	}, tests: []string{"Linearizable"}},
	"a private key lags": {store: func() *faulty {
		return &faulty{swap: func(s keys.Store, ctx context.Context, c keys.Change) error {
			put := c.Put
			c.Put = nil
			if err := s.Swap(ctx, c); err != nil || len(put) == 0 {
				return err
			}
			record, err := s.Load(ctx)
			if err != nil {
				return err
			}
			return s.Swap(ctx, keys.Change{Version: record.Version, Document: record.Document, Put: put})
		}}
	}, tests: []string{"SwapStoresPrivateKeys", "Linearizable"}},
	"nothing is deleted": {store: func() *faulty {
		return &faulty{swap: func(s keys.Store, ctx context.Context, c keys.Change) error {
			c.Delete = nil
			return s.Swap(ctx, c)
		}}
	}, tests: []string{"SwapStoresPrivateKeys", "PutAndDelete", "Linearizable", "RingsRevokeOnce"}},
	"the deadline is ignored": {store: func() *faulty {
		return &faulty{swap: func(s keys.Store, ctx context.Context, c keys.Change) error {
			c.Deadline = time.Time{}
			return s.Swap(ctx, c)
		}}
	}, tests: []string{"DeadlineIsChecked", "DeadlineNow"}},
	"the first version is ignored": {store: func() *faulty {
		return &faulty{swap: func(s keys.Store, ctx context.Context, c keys.Change) error {
			c.First = 0
			return s.Swap(ctx, c)
		}}
	}, tests: []string{"FirstVersion"}},
	"the errors are mixed up": {store: func() *faulty {
		return &faulty{privateKey: func(s keys.Store, ctx context.Context, kid string) ([]byte, error) {
			key, err := s.PrivateKey(ctx, kid)
			if errors.Is(err, keys.ErrNoPrivateKey) {
				err = keys.ErrNoKeyset
			}
			return key, err
		}}
	}, tests: []string{"EmptyStore"}},
	"a large change is cut": {store: func() *faulty {
		return &faulty{swap: func(s keys.Store, ctx context.Context, c keys.Change) error {
			c.Document = c.Document[:min(len(c.Document), 64<<10)]
			return s.Swap(ctx, c)
		}}
	}, tests: []string{"LargeChange", "AnyBytes"}},
	"the list of private keys is short": {store: func() *faulty {
		return &faulty{kids: func(s keys.Store, ctx context.Context) ([]string, error) {
			kids, err := s.PrivateKeyIDs(ctx)
			return kids[:min(len(kids), 50)], err
		}}
	}, tests: []string{"LargeChange"}},
	"a context is ignored": {store: func() *faulty {
		return &faulty{
			load: func(s keys.Store, ctx context.Context) (keys.Record, error) {
				return s.Load(context.WithoutCancel(ctx))
			},
			swap: func(s keys.Store, ctx context.Context, c keys.Change) error {
				return s.Swap(context.WithoutCancel(ctx), c)
			},
		}
	}, tests: []string{"CancelledContext"}},
	"the end of a context looks like a conflict": {store: func() *faulty {
		return &faulty{swap: func(s keys.Store, ctx context.Context, c keys.Change) error {
			err := s.Swap(ctx, c)
			if ctx.Err() != nil {
				return keys.ErrConflict
			}
			return err
		}, load: func(s keys.Store, ctx context.Context) (keys.Record, error) {
			if ctx.Err() != nil {
				return keys.Record{}, keys.ErrNoKeyset
			}
			return s.Load(ctx)
		}}
	}, tests: []string{"CancelledContext", "ContextEndsDuringRead"}},
	"wait does not end": {store: func() *faulty {
		return &faulty{wait: func(_ keys.Store, ctx context.Context, _ uint64) error {
			<-ctx.Done()
			return ctx.Err()
		}}
	}, tests: []string{"WaitForAnotherVersion", "SwapEndsWait", "ManyWaiters"}},
	"wait returns at once": {store: func() *faulty {
		return &faulty{wait: func(keys.Store, context.Context, uint64) error { return nil }}
	}, tests: []string{"ContextEndsWait"}},
	"wait takes the only connection": {store: func() *faulty {
		var only sync.Mutex
		return &faulty{
			wait: func(s keys.Store, ctx context.Context, version uint64) error {
				only.Lock()
				defer only.Unlock()
				return s.Wait(ctx, version)
			},
			load: func(s keys.Store, ctx context.Context) (keys.Record, error) {
				only.Lock()
				defer only.Unlock()
				return s.Load(ctx)
			},
		}
	}, tests: []string{"ManyWaiters"}},
	"a closed handle is an empty store": {store: func() *faulty {
		var closed atomic.Bool
		return &faulty{
			close: func(keys.Store) error { closed.Store(true); return nil },
			load: func(s keys.Store, ctx context.Context) (keys.Record, error) {
				if closed.Load() {
					return keys.Record{}, keys.ErrNoKeyset
				}
				return s.Load(ctx)
			},
		}
	}, tests: []string{"Close", "Restart"}},
	"a restored backup is taken for newer": {store: func() *faulty {
		var newest atomic.Uint64
		return &faulty{load: func(s keys.Store, ctx context.Context) (keys.Record, error) {
			record, err := s.Load(ctx)
			if record.Version < newest.Load() {
				record.Version = newest.Load()
			}
			newest.Store(record.Version)
			return record, err
		}}
	}, tests: []string{"RestoredBackupIsRefused"}},

	"a swap is sent again":                 {bugs: bugs{retriesSwap: true}, tests: []string{"Faults/Swap"}},
	"a lost connection is success":         {bugs: bugs{ignoresErrors: true}, tests: []string{"Faults/Swap", "Faults/Linearizable"}},
	"a lost connection is an empty store":  {bugs: bugs{emptyOnError: true}, tests: []string{"Faults/Read", "Faults/Wait"}},
	"a connection is never replaced":       {bugs: bugs{neverReconnects: true}, tests: []string{"Faults/Read", "Faults/LostHints"}},
	"a hanging connection is waited for":   {bugs: bugs{ignoresContext: true}, tests: []string{"Faults/Read"}},
	"a change has two steps":               {bugs: bugs{twoSteps: true}, tests: []string{"Faults/Swap"}},
	"a late change lands":                  {bugs: bugs{ignoresDeadline: true}, tests: []string{"Faults/Swap"}},
	"a lost connection is an old document": {bugs: bugs{oldOnError: true}, tests: []string{"Faults/Linearizable"}},
	"a lost hint is waited for in a loop":  {bugs: bugs{tightLoop: true}, tests: []string{"Faults/NoTightLoop"}},
}

// The suite refuses each broken engine, by the tests that are meant for it. Most of them
// wait, so that several can run at the same time.
func TestBrokenEnginesAreRefused(t *testing.T) {
	slots := make(chan struct{}, 8)
	var group sync.WaitGroup
	for _, name := range slices.Sorted(maps.Keys(broken)) {
		for _, test := range broken[name].tests {
			group.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				t.Run(name+"/"+test, func(t *testing.T) {
					var out string
					var err error
					for range brokenRuns {
						var refused bool
						if refused, out, err = runBroken(t, name, test); refused {
							return
						}
					}
					t.Errorf("%s does not refuse this engine in %d runs: %v\n%s", test, brokenRuns, err, out)
				})
			})
		}
	}
	group.Wait()
}

// brokenRuns is how often a test may run until it refuses a broken engine. Some faults show
// only in a race of two processes, and a race needs luck.
const brokenRuns = 5

// runBroken runs one test of the suite on a broken engine in another process. It reports
// whether that test failed.
func runBroken(t *testing.T, name, test string) (refused bool, output string, err error) {
	t.Helper()
	pattern := "^TestBrokenEngine$/^" + strings.ReplaceAll(test, "/", "$/^") + "$"
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+pattern, "-test.timeout=2m")
	cmd.Env = append(os.Environ(), brokenName+"="+name)
	out, err := cmd.CombinedOutput()
	_, failed := errors.AsType[*exec.ExitError](err)
	return failed && strings.Contains(string(out), "--- FAIL: TestBrokenEngine/"+test+" "), string(out), err
}

// TestBrokenEngine is what runBroken runs.
func TestBrokenEngine(t *testing.T) {
	name := os.Getenv(brokenName)
	if name == "" {
		return
	}
	b := broken[name]
	if b.store == nil {
		t.Run("Faults", func(t *testing.T) { storetest.RunFaults(t, remoteEngine(b.bugs)) })
		return
	}
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		f := b.store()
		f.Store = memory.New(time.Now)
		return storetest.Fixture{Open: func() keys.Store { return f }, Backup: func() func() {
			backup := copyStore(t, f.Store)
			return func() { f.Store = backup }
		}}
	})
}

// copyStore returns another store with the same content.
func copyStore(t *testing.T, s keys.Store) keys.Store {
	t.Helper()
	record, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := keys.Change{Document: record.Document, First: record.Version, Put: map[string][]byte{}}
	kids, err := s.PrivateKeyIDs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, kid := range kids {
		if c.Put[kid], err = s.PrivateKey(t.Context(), kid); err != nil {
			t.Fatal(err)
		}
	}
	backup := memory.New(time.Now)
	if err := backup.Swap(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return backup
}
