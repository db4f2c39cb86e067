package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// checkTimeout is how long the check of a history may take. It takes milliseconds unless
// the history is wrong.
const checkTimeout = time.Minute

// historyOperations is how many operations each goroutine of a history does.
func historyOperations() int {
	if testing.Short() {
		return 15
	}
	return 40
}

// historyKids are the kids of the private keys in a history.
var historyKids = [...]string{"a", "b", "c"} //nolint:gochecknoglobals // a constant

// historyState is the state of a store in the model.
type historyState struct {
	version  uint64
	document string
	sealed   [len(historyKids)]string // private keys, "" if there is none
}

// operation is the input of one operation: a Load, a PrivateKey or a Swap.
type operation struct {
	method string
	kid    int          // of PrivateKey
	from   uint64       // of Swap: the version to replace
	to     historyState // of Swap: the document, and the private keys to put
	delete int          // of Swap: the kid to delete
}

// result is the output of an operation.
type result struct {
	state historyState // of Load: version and document; of PrivateKey: sealed[kid]
	err   error        // of Swap
}

// history records the operations of many goroutines.
type history struct {
	start time.Time

	mu         sync.Mutex
	operations []porcupine.Operation
	unknown    []porcupine.Operation // swaps whose error does not say whether they were committed
}

// do records an operation. A read that fails says nothing, and is left out, as is a swap
// that says that it wrote nothing because it was late.
func (hi *history) do(client int, op operation, run func() result) result {
	call := time.Since(hi.start)
	r := run()
	recorded := porcupine.Operation{
		ClientId: client, Input: op, Output: r, Call: int64(call), Return: int64(time.Since(hi.start)),
	}
	hi.mu.Lock()
	defer hi.mu.Unlock()
	switch {
	case r.err == nil, errors.Is(r.err, keys.ErrConflict):
		hi.operations = append(hi.operations, recorded)
	case op.method == "Swap" && !errors.Is(r.err, keys.ErrTooLate):
		hi.unknown = append(hi.unknown, recorded)
	}
	return r
}

// complete returns the operations, and the swaps with an unknown outcome that took effect,
// which may be at any time after their call. These are the swaps whose document was read:
// a client replaces only a version that it read or wrote itself, and the last version was
// read at the end. Therefore no other one took effect, and the check does not have to try.
func (hi *history) complete() []porcupine.Operation {
	read := map[string]bool{}
	for _, o := range hi.operations {
		r, _ := o.Output.(result)
		read[r.state.document] = true
	}
	all := slices.Clone(hi.operations)
	for _, o := range hi.unknown {
		if op, _ := o.Input.(operation); read[op.to.document] {
			o.Return = math.MaxInt64
			all = append(all, o)
		}
	}
	return all
}

// model is the contract of a store that one process uses, one operation after another.
func model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return historyState{} },
		Step: func(state, input, output any) (bool, any) {
			s, _ := state.(historyState)
			op, _ := input.(operation)
			r, _ := output.(result)
			return step(s, op, r)
		},
		DescribeOperation: func(input, output any) string {
			op, _ := input.(operation)
			r, _ := output.(result)
			return describe(op, r)
		},
	}
}

// step reports whether an operation may have this result in this state, and returns the
// state after it.
func step(s historyState, op operation, r result) (bool, historyState) {
	switch op.method {
	case "Load":
		return r.state.version == s.version && r.state.document == s.document, s
	case "PrivateKey":
		return r.state.sealed[op.kid] == s.sealed[op.kid], s
	}
	if errors.Is(r.err, keys.ErrConflict) {
		return s.version != op.from, s
	}
	return s.version == op.from, s.after(op)
}

func (s historyState) after(op operation) historyState {
	s.version, s.document = op.from+1, op.to.document
	for i, sealed := range op.to.sealed {
		if sealed != "" {
			s.sealed[i] = sealed
		}
	}
	s.sealed[op.delete] = ""
	return s
}

func describe(op operation, r result) string {
	switch op.method {
	case "Load":
		return fmt.Sprintf("Load: version %d, %q", r.state.version, r.state.document)
	case "PrivateKey":
		return fmt.Sprintf("PrivateKey(%s): %q", historyKids[op.kid], r.state.sealed[op.kid])
	}
	return fmt.Sprintf("Swap(version %d, %q, put %q, delete %s): %v", op.from, op.to.document, op.to.sealed, historyKids[op.delete], r.err)
}

// check fails the test if no order of the operations explains their results. It draws
// the history then.
func (hi *history) check(t *testing.T) {
	t.Helper()
	operations := hi.complete()
	verdict, info := porcupine.CheckOperationsVerbose(model(), operations, checkTimeout)
	if verdict == porcupine.Ok {
		return
	}
	path := filepath.Join(t.ArtifactDir(), "history.html")
	if err := porcupine.VisualizePath(model(), info, path); err != nil {
		t.Error(err)
	}
	what := "the history is not linearizable"
	if verdict == porcupine.Unknown {
		what = fmt.Sprintf("the check of the history did not end within %v", checkTimeout)
	}
	t.Errorf("%s: %d operations, drawn in %s (go test -artifacts keeps it)", what, len(operations), path)
}

// historyClient is a goroutine that uses a store at random.
type historyClient struct {
	id      int
	store   keys.Store
	history *history
	timeout time.Duration // of one operation
}

// work does a number of operations at random.
func (c *historyClient) work(ctx context.Context, operations int) {
	var known uint64
	for i := range operations {
		switch rand.N(5) { //nolint:gosec // a workload
		case 0, 1:
			if r := c.load(ctx); r.err == nil {
				known = r.state.version
			}
		case 2:
			c.privateKey(ctx, rand.N(len(historyKids))) //nolint:gosec // a workload
		default:
			if r := c.swap(ctx, known, fmt.Sprintf("%d-%d", c.id, i)); r.err == nil {
				known++
			} else if l := c.load(ctx); l.err == nil {
				known = l.state.version
			}
		}
	}
}

func (c *historyClient) load(ctx context.Context) result {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return c.history.do(c.id, operation{method: "Load"}, func() result {
		record, err := load(ctx, c.store)
		return result{historyState{version: record.Version, document: string(record.Document)}, err}
	})
}

func (c *historyClient) privateKey(ctx context.Context, kid int) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	c.history.do(c.id, operation{method: "PrivateKey", kid: kid}, func() (r result) {
		sealed, err := c.store.PrivateKey(ctx, historyKids[kid])
		if !errors.Is(err, keys.ErrNoPrivateKey) {
			r.err = err
		}
		r.state.sealed[kid] = string(sealed)
		return r
	})
}

// swap writes a document that no other swap writes, puts one private key and deletes
// another.
func (c *historyClient) swap(ctx context.Context, from uint64, document string) result {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	put := rand.N(len(historyKids)) //nolint:gosec // a workload
	op := operation{method: "Swap", from: from, delete: (put + 1) % len(historyKids)}
	op.to.document, op.to.sealed[put] = document, document
	return c.history.do(c.id, op, func() result {
		return result{err: c.store.Swap(ctx, change(from, document, sealed{historyKids[put]: document}, historyKids[op.delete]))}
	})
}

// recordHistory has one goroutine for each store. At the end, the last store makes one
// more change, after which no earlier one can take effect, and reads everything. The error
// says that it could not.
func recordHistory(ctx context.Context, stores []keys.Store, operations int, timeout time.Duration) (*history, error) {
	hi := &history{start: time.Now()}
	var group sync.WaitGroup
	clients := make([]*historyClient, len(stores))
	start := make(chan struct{})
	for i, s := range stores {
		clients[i] = &historyClient{i, s, hi, timeout}
		group.Go(func() {
			<-start
			clients[i].work(ctx, operations)
		})
	}
	close(start)
	group.Wait()
	last := clients[len(clients)-1]
	last.timeout = recovery
	ctx, cancel := context.WithTimeout(ctx, 2*recovery)
	defer cancel()
	for i := 0; ; i++ {
		r := last.load(ctx)
		if r = last.swap(ctx, r.state.version, fmt.Sprintf("last %d", i)); r.err == nil {
			break
		}
		if ctx.Err() != nil {
			return hi, fmt.Errorf("the store does not take changes any more: %w", r.err)
		}
	}
	last.load(ctx)
	for kid := range historyKids {
		last.privateKey(ctx, kid)
	}
	return hi, nil
}

// The results of many goroutines, over several handles, are those of some order of their
// operations in which each takes effect between its call and its return.
func testLinearizable(t *testing.T, f *Fixture) {
	const handles = 3
	var stores []keys.Store
	for range handles {
		stores = append(stores, f.open())
	}
	stores = slices.Repeat(stores, (goroutines+handles-1)/handles)
	hi, err := recordHistory(t.Context(), stores, historyOperations(), recovery)
	if err != nil {
		t.Fatal(err)
	}
	if len(hi.unknown) > 0 {
		t.Errorf("%d swaps failed although the store was there", len(hi.unknown))
	}
	hi.check(t)
}
