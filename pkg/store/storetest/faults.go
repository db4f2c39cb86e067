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

	// shortStep is the distance of the messages that meet faults in a short test.
	shortStep = 4

	// faultsAtOnce is the number of faults that are tested at the same time. Most of them
	// wait.
	faultsAtOnce = 32
)

// RunFaults tests an engine with a server through a Proxy. Each operation meets each
// kind of fault at each message of each direction. After that, a second handle, which
// does not use the proxy, sees a change as a whole or not at all, and as Swap said. Then
// the handle works again by itself. A short test has faults at some of the messages only.
func RunFaults(t *testing.T, engine Engine) {
	t.Helper()
	cut := []Action{CutBefore, CutInside, Hang}
	all := []Action{CutBefore, CutInside, CutAfter, Delay, Hang, HangInside, Call}
	for _, op := range []faultOperation{
		{name: "Open", created: true, toServer: []Action{CutBefore, Hang}, toClient: []Action{CutBefore, Hang}, do: (*faultRun).open},
		{name: "Create", changes: true, toServer: all, toClient: []Action{CutBefore, Hang}, do: (*faultRun).swap},
		{name: "Swap", created: true, changes: true, toServer: all, toClient: append(cut, Delay), do: (*faultRun).swap},
		{name: "Read", created: true, toServer: cut, toClient: cut, do: (*faultRun).read},
		{name: "Wait", created: true, toServer: cut, toClient: cut, do: (*faultRun).wait},
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

	toServer, toClient []Action // what is done to each message. (To the client, CutAfter is the same as CutBefore the next one.)

	do func(r *faultRun, ctx context.Context) error
}

// faultyStore is a store that is used through a proxy, and directly by a reader.
type faultyStore struct {
	f       *Fixture
	reader  handle
	tracker *tracker
}

func newFaultyStore(t *testing.T, engine Engine, op faultOperation) *faultyStore {
	t.Helper()
	f := newFixture(t, engine)
	s := &faultyStore{f, f.open(), newTracker(t)}
	if op.created {
		s.reader.swap(s.tracker.next(keys.Record{}))
	}
	return s
}

// faultRun is one run of an operation.
type faultRun struct {
	t       *testing.T
	network *Network
	proxy   *Proxy
	reader  handle // does not use the proxy
	handle  handle // uses the proxy
	tracker *tracker
	before  keys.Record // what the store has before the operation
	change  keys.Change // what the Swap of the operation tries
}

func newFaultRun(t *testing.T, s *faultyStore, op faultOperation) *faultRun {
	t.Helper()
	n := s.f.Network
	r := &faultRun{t: t, network: n, proxy: NewProxy(t, n.Network, n.Address, n.Framing), tracker: s.tracker.in(t)}
	r.reader = handle{s.reader.Store, t, nil} // s closes it
	r.before = r.tracker.read(r.reader)
	if op.name != "Open" {
		r.openHandle()
		r.tracker.read(r.handle)
	}
	return r
}

// openHandle opens the store through the proxy, if the operation did not.
func (r *faultRun) openHandle() {
	r.t.Helper()
	if r.handle.Store != nil {
		return
	}
	s, err := r.network.Open(r.t.Context(), r.proxy.Addr())
	if err != nil {
		r.t.Fatalf("open through the proxy: %v", err)
	}
	r.handle = newHandle(r.t, s)
}

// run counts the messages of the operation, and runs it again for each fault.
func (op faultOperation) run(t *testing.T, engine Engine) {
	toServer, toClient, faults := op.count(t, engine)
	slots := make(chan struct{}, faultsAtOnce)
	free := make(chan *faultyStore, faultsAtOnce)
	var group sync.WaitGroup
	var met atomic.Int64
	for _, f := range faults {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			t.Run(fmt.Sprintf("%v/%v/%d", f.Action, f.Direction, f.Message), func(sub *testing.T) {
				if !op.created { // each run needs an empty store
					if op.runFault(sub, newFaultyStore(sub, engine, op), f) {
						met.Add(1)
					}
					return
				}
				var s *faultyStore
				select {
				case s = <-free:
				default:
					s = newFaultyStore(t, engine, op)
				}
				if op.runFault(sub, s, f) {
					met.Add(1)
				}
				if !sub.Failed() {
					free <- s
				}
			})
		})
	}
	group.Wait()
	t.Logf("%d of %d faults were met, at %d messages to the server and %d to the client", met.Load(), len(faults), toServer, toClient)
	if int(met.Load()) < len(faults)*3/4 {
		t.Error("too many faults were not met: the number of messages varies")
	}
}

// count counts the messages of the operation in each direction. It returns the faults
// for them. A message of a change is delayed until the change must not become visible any
// more.
func (op faultOperation) count(t *testing.T, engine Engine) (toServer, toClient int, faults []Fault) {
	t.Helper()
	r := newFaultRun(t, newFaultyStore(t, engine, op), op)
	toServerBefore, toClientBefore, _ := r.proxy.Count()
	ctx, cancel := context.WithTimeout(t.Context(), recovery)
	defer cancel()
	if err := op.do(r, ctx); err != nil {
		t.Fatalf("%s without a fault: %v", op.name, err)
	}
	toServer, toClient, _ = r.proxy.Count()
	toServer, toClient = toServer-toServerBefore, toClient-toClientBefore
	template := Fault{Delay: faultDeadline + r.network.Lateness + faultDeadline/2, Call: r.network.Disconnect}
	for _, each := range []struct {
		direction Direction
		messages  int
		actions   []Action
	}{{ToServer, toServer, op.toServer}, {ToClient, toClient, op.toClient}} {
		if each.messages == 0 {
			t.Fatalf("%s has no message %v", op.name, each.direction)
		}
		for _, message := range faultyMessages(t, each.direction, each.messages) {
			for _, action := range each.actions {
				f := template
				f.Direction, f.Message, f.Action = each.direction, message, action
				if action != Call || f.Call != nil {
					faults = append(faults, f)
				}
			}
		}
	}
	return toServer, toClient, faults
}

// faultyMessages returns the numbers of the messages that meet faults: all of them, or
// every fourth one and the last one in a short test.
func faultyMessages(t *testing.T, direction Direction, count int) (messages []int) {
	t.Helper()
	for message := 1; message <= count; message++ {
		if !testing.Short() || message%shortStep == 0 || message == count {
			messages = append(messages, message)
		}
	}
	if len(messages) < count {
		t.Logf("short: faults %v at the messages %v of %d", direction, messages, count)
	}
	return messages
}

// runFault runs the operation with a fault. It reports whether the fault was met: the
// number of messages is not always the same.
func (op faultOperation) runFault(t *testing.T, s *faultyStore, f Fault) (met bool) {
	r := newFaultRun(t, s, op)
	fired := r.proxy.Order(f)
	ctx, cancel := context.WithTimeout(t.Context(), faultTimeout)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = op.do(r, ctx) // it checks its error
	}()
	if op.changes && f.Action == Delay {
		r.wantNotLate(f)
	}
	select {
	case <-done:
	case <-time.After(faultTimeout + overtime):
		t.Errorf("%s does not return %v after the end of its context", op.name, overtime)
		r.proxy.Heal()
		<-done
	}
	select {
	case <-fired:
		met = true
	default:
	}
	r.openHandle()
	r.tracker.recover(r.handle, r.reader)
	return met
}

// wantNotLate checks that the change does not become visible after its deadline, when the
// delayed message arrives.
func (r *faultRun) wantNotLate(f Fault) {
	r.t.Helper()
	start := time.Now() // the deadline of the change is at most a little later
	waitUntil(r.t.Context(), start.Add(faultDeadline+r.network.Lateness+faultDeadline/10))
	inTime := r.tracker.read(r.reader)
	waitUntil(r.t.Context(), start.Add(f.Delay+faultDeadline))
	if later := r.tracker.read(r.reader); later.Version != inTime.Version {
		r.t.Errorf("%q became visible after its deadline, by more than %v", later.Document, r.network.Lateness)
	}
}

func waitUntil(ctx context.Context, at time.Time) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(at)):
	}
}

// open opens the store and reads it.
func (r *faultRun) open(ctx context.Context) error {
	s, err := r.network.Open(ctx, r.proxy.Addr())
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
