package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

const (
	// faultTimeout is when the context of an operation ends that meets a fault.
	faultTimeout = 2 * time.Second

	// faultDeadline is the time from the start of a Swap to its deadline.
	faultDeadline = time.Second

	// overtime is how much longer than its context an operation may take.
	overtime = 5 * time.Second

	// faultsAtOnce is the number of faults that are tested at the same time. Most of them
	// wait.
	faultsAtOnce = 12
)

// RunFaults tests an engine with a server through a Proxy. Each operation meets each
// kind of fault at each message of each direction. After that, a second handle, which
// does not use the proxy, sees a change as a whole or not at all, and as Swap said. Then
// the handle works again by itself.
func RunFaults(t *testing.T, engine Engine) {
	t.Helper()
	for _, op := range []faultOperation{
		{name: "Open", created: true, do: (*faultRun).open},
		{name: "Create", changes: true, do: (*faultRun).swap},
		{name: "Swap", created: true, changes: true, do: (*faultRun).swap},
		{name: "Read", created: true, do: (*faultRun).read},
		{name: "Wait", created: true, do: (*faultRun).wait},
	} {
		t.Run(op.name, func(t *testing.T) { op.run(t, engine) })
	}
	t.Run("LostHints", func(t *testing.T) { testLostHints(t, engine) })
	t.Run("NoTightLoop", func(t *testing.T) { testNoTightLoop(t, engine) })
	t.Run("Linearizable", func(t *testing.T) { testFaultyHistory(t, engine) })
}

// faultOperation is what a handle does while its connection has a fault.
type faultOperation struct {
	name    string
	created bool // the store has a keyset before
	changes bool // it is a Swap
	do      func(r *faultRun, ctx context.Context) error
}

// faultRun is one run of an operation.
type faultRun struct {
	t       *testing.T
	f       *Fixture
	proxy   *Proxy
	reader  handle // does not use the proxy
	handle  handle // uses the proxy
	tracker *tracker
	before  keys.Record // what the store has before the operation
	change  keys.Change // what the Swap of the operation tries
}

func newFaultRun(t *testing.T, engine Engine, op faultOperation) *faultRun {
	t.Helper()
	f := newFixture(t, engine)
	n := f.Network
	r := &faultRun{t: t, f: f, proxy: NewProxy(t, n.Network, n.Address, n.Framing), reader: f.open(), tracker: newTracker(t)}
	if op.created {
		r.reader.swap(r.tracker.next(keys.Record{}))
	}
	r.before = r.tracker.read(r.reader)
	if op.name != "Open" {
		r.handle = f.openThrough(r.proxy)
		r.tracker.read(r.handle)
	}
	return r
}

func (f *Fixture) openThrough(p *Proxy) handle {
	f.t.Helper()
	s, err := f.Network.Open(f.t.Context(), p.Addr())
	if err != nil {
		f.t.Fatalf("open through the proxy: %v", err)
	}
	return newHandle(f.t, s)
}

// run counts the messages of the operation, and runs it again for each fault.
func (op faultOperation) run(t *testing.T, engine Engine) {
	messages, network := op.count(t, engine)
	slots := make(chan struct{}, faultsAtOnce)
	var group sync.WaitGroup
	var fired, all atomic.Int64
	for _, f := range op.faults(messages, network) {
		all.Add(1)
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			t.Run(fmt.Sprintf("%v/%v/%d", f.Action, f.Direction, f.Message), func(t *testing.T) {
				if op.runFault(t, engine, f) {
					fired.Add(1)
				}
			})
		})
	}
	group.Wait()
	t.Logf("%d of %d faults, at %d messages to the server and %d to the client", fired.Load(), all.Load(), messages[ToServer], messages[ToClient])
	if fired.Load() < all.Load()*3/4 {
		t.Errorf("only %d of %d faults were met", fired.Load(), all.Load())
	}
}

// count returns the number of messages of the operation in each direction.
func (op faultOperation) count(t *testing.T, engine Engine) (messages [2]int, network *Network) {
	t.Helper()
	r := newFaultRun(t, engine, op)
	toServer, toClient, _ := r.proxy.Count()
	ctx, cancel := context.WithTimeout(t.Context(), recovery)
	defer cancel()
	if err := op.do(r, ctx); err != nil {
		t.Fatalf("%s without a fault: %v", op.name, err)
	}
	messages[ToServer], messages[ToClient], _ = r.proxy.Count()
	messages[ToServer] -= toServer
	messages[ToClient] -= toClient
	if messages[ToServer] == 0 || messages[ToClient] == 0 {
		t.Fatalf("%s sends %d messages and receives %d", op.name, messages[ToServer], messages[ToClient])
	}
	return messages, r.f.Network
}

// faults lists each fault at each message. A message of a change is delayed until the
// change may not become visible any more.
func (op faultOperation) faults(messages [2]int, n *Network) (out []Fault) {
	delay := faultTimeout / 5
	if op.changes {
		delay = faultDeadline + n.Lateness + faultDeadline/2
	}
	actions := []Action{CutBefore, CutInside, CutAfter, Delay, Hang}
	if n.Disconnect != nil {
		actions = append(actions, Call)
	}
	for _, direction := range []Direction{ToServer, ToClient} {
		for message := 1; message <= messages[direction]; message++ {
			for _, action := range actions {
				out = append(out, Fault{Direction: direction, Message: message, Action: action, Delay: delay, Call: n.Disconnect})
			}
		}
	}
	return out
}

// runFault runs the operation with a fault. It reports whether the fault was met: the
// number of messages is not always the same.
func (op faultOperation) runFault(t *testing.T, engine Engine, f Fault) (met bool) {
	r := newFaultRun(t, engine, op)
	fired := r.proxy.Order(f)
	ctx, cancel := context.WithTimeout(t.Context(), faultTimeout)
	defer cancel()
	_ = op.do(r, ctx) // it checks its error
	end, _ := ctx.Deadline()
	if late := time.Since(end); late > overtime {
		t.Errorf("%s returned %v after its context ended", op.name, late)
	}
	select {
	case <-fired:
		met = true
	default:
	}
	if f.Action == Delay && op.changes {
		r.wantNotLate(f)
	}
	r.tracker.recover(r.openIfClosed(), r.reader)
	return met
}

// wantNotLate waits until the delayed message has arrived, and checks that the change
// did not become visible after its deadline.
func (r *faultRun) wantNotLate(f Fault) {
	r.t.Helper()
	waitUntil(r.t.Context(), r.change.Deadline.Add(r.f.Network.Lateness))
	inTime := r.tracker.read(r.reader)
	waitUntil(r.t.Context(), r.change.Deadline.Add(f.Delay))
	if later := r.tracker.read(r.reader); later.Version != inTime.Version {
		r.t.Errorf("%q became visible after its deadline, by more than %v", later.Document, r.f.Network.Lateness)
	}
}

func waitUntil(ctx context.Context, at time.Time) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(at)):
	}
}

// openIfClosed opens the handle if the operation did not.
func (r *faultRun) openIfClosed() handle {
	r.t.Helper()
	if r.handle.Store == nil {
		r.handle = r.f.openThrough(r.proxy)
	}
	return r.handle
}

// open opens the store and reads it.
func (r *faultRun) open(ctx context.Context) error {
	s, err := r.f.Network.Open(ctx, r.proxy.Addr())
	if err != nil {
		r.wantStoreError("Open", err)
		return err
	}
	r.handle = newHandle(r.t, s)
	return r.read(ctx)
}

// swap makes a change.
func (r *faultRun) swap(ctx context.Context) error {
	r.change = r.tracker.next(r.before)
	r.change.Deadline = time.Now().Add(faultDeadline)
	err := r.handle.Swap(ctx, r.change)
	r.tracker.judge(r.reader, r.change, err)
	return err
}

// read reads everything: it returns an error, or what the store has.
func (r *faultRun) read(ctx context.Context) error {
	var errs []error
	record, err := r.handle.Load(ctx)
	if errs = append(errs, err); err == nil && (record.Version != r.before.Version || string(record.Document) != string(r.before.Document)) {
		r.t.Errorf("Load = version %d, %q, want version %d, %q", record.Version, record.Document, r.before.Version, r.before.Document)
	}
	kid := string(r.before.Document)
	key, err := r.handle.PrivateKey(ctx, kid)
	if errs = append(errs, err); err == nil && string(key) != kid {
		r.t.Errorf("PrivateKey(%q) = %q", kid, key)
	}
	kids, err := r.handle.PrivateKeyIDs(ctx)
	if errs = append(errs, err); err == nil && (len(kids) != 1 || kids[0] != kid) {
		r.t.Errorf("PrivateKeyIDs = %q, want %q", kids, kid)
	}
	for _, err := range errs {
		r.wantStoreError("a read", err)
	}
	return errors.Join(errs...)
}

// wait waits for a change that the other handle makes.
func (r *faultRun) wait(ctx context.Context) error {
	waited := make(chan error, 1)
	go func() { waited <- r.handle.Wait(ctx, r.before.Version) }()
	waitUntil(ctx, time.Now().Add(faultTimeout/10)) // so that most messages of Wait come before the change
	r.reader.swap(r.tracker.next(r.before))
	err := <-waited
	r.wantStoreError("Wait", err)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // the hint was lost, which is lawful
	}
	return err
}

// wantStoreError checks that an error does not say anything of the keyset.
func (r *faultRun) wantStoreError(what string, err error) {
	r.t.Helper()
	if isContract(err) {
		r.t.Errorf("%s = %v, want an error about the connection", what, err)
	}
}
