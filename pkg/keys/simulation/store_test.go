package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// simStore is the store of a world. It keeps every version of the document, so that a
// read can return an old one.
type simStore struct {
	world       *world
	clock       *host // nil for an engine without a clock
	records     []keys.Record
	privateKeys map[string][]byte
	delayed     []*delayedWrite
	lateBy      time.Duration // how late the write lands that is being committed
}

// delayedWrite is a write that takes effect after its process got an error.
type delayedWrite struct {
	at        time.Duration
	change    keys.Change
	by        *process
	operation action
	fault     fault
}

func (s *simStore) firstDelayed() *delayedWrite {
	var first *delayedWrite
	for _, write := range s.delayed {
		if first == nil || write.at < first.at {
			first = write
		}
	}
	return first
}

func (s *simStore) applyDelayed(write *delayedWrite) {
	s.delayed = slices.DeleteFunc(s.delayed, func(other *delayedWrite) bool { return other == write })
	var err error
	if write.fault.late.by > 0 {
		err = s.landLate(write.by, write.operation, write.change, write.fault)
	} else {
		s.world.refreshReaders(write.fault.readers, write.by)
		err = s.commit(write.by, write.operation, write.change)
	}
	s.world.logf("a delayed write of %s takes effect: %v", write.by.name, errText(err))
	if err == nil {
		s.world.counters["delayed writes"]++
	}
}

func (s *simStore) version() uint64 { return uint64(len(s.records)) }

// commit is the compare-and-swap without faults.
func (s *simStore) commit(by *process, operation action, c keys.Change) error {
	if c.Version != s.version() {
		s.world.counters["lost swaps"]++
		return keys.ErrConflict
	}
	s.records = append(s.records, keys.Record{Version: c.Version + 1, Document: bytes.Clone(c.Document)})
	for kid, sealed := range c.Put {
		s.privateKeys[kid] = bytes.Clone(sealed)
	}
	for _, kid := range c.Delete {
		delete(s.privateKeys, kid)
	}
	var ks keys.Keyset
	if err := json.Unmarshal(c.Document, &ks); err != nil {
		s.world.violate(validDocument, "%s commits a document that cannot be read: %v", by.name, err)
	}
	s.world.checker.checkCommit(by, operation, ks, c)
	return nil
}

// fault is what happens to one call to the store. The zero value succeeds at once.
type fault struct {
	before  float64 // time until it takes effect, as a multiple of e; for a Swap, of the time until its deadline
	after   float64 // time from then until the answer arrives, as a multiple of e
	outcome outcome
	readers int // bit set of the hosts that read the store just before a Swap takes effect
	late    lateness
}

type outcome int

const (
	success       outcome = iota
	requestLost           // an error, and no effect
	answerLost            // an error, although it takes effect
	writeDelayed          // an error at once, and it takes effect later
	crashesBefore         // the process crashes before it sends the request
	crashesAfter          // the process crashes before it gets the answer
	oldVersion            // a Load returns the version before the one that the process has
)

func (f fault) String() string {
	name := [...]string{
		"success", "request lost", "answer lost", "write delayed", "process crashes before", "process crashes after", "old version",
	}[f.outcome]
	text := fmt.Sprintf("%s, before %.2f, after %.2f, readers %03b", name, f.before, f.after, f.readers)
	if f.late.by > 0 {
		text += fmt.Sprintf(", late by %.2f e, early readers %03b, detectors %03b", f.late.by, f.late.early, f.late.detectors)
	}
	return "{" + text + "}"
}

// faults are those of an operation's calls to the store, in order. Further calls succeed.
type faults struct {
	load, privateKey, swap []fault
	generation             time.Duration // how long the generation of a key takes
}

func takeFirst(fs *[]fault) fault {
	if len(*fs) == 0 {
		return fault{}
	}
	f := (*fs)[0]
	*fs = (*fs)[1:]
	return f
}

// storeClient is a process's connection to the store. It implements keys.Store.
type storeClient struct{ *process }

var errNoConnection = errors.New("no connection to the store")

// send simulates the request of a call.
func (p storeClient) send(f fault, before time.Duration) error {
	if f.outcome == crashesBefore {
		panic(crash{})
	}
	disconnected := p.host.disconnected
	p.sleep(before)
	if f.outcome == requestLost {
		p.host.world.counters["lost requests"]++
	}
	if disconnected || f.outcome == requestLost {
		return errNoConnection
	}
	return nil
}

// receive simulates the answer to a call.
func (p storeClient) receive(f fault) error {
	p.sleep(p.skews(f.after))
	if f.outcome == crashesAfter {
		panic(crash{})
	}
	if p.host.disconnected || f.outcome == answerLost {
		return errNoConnection
	}
	return nil
}

// skews returns a multiple of e.
func (p storeClient) skews(factor float64) time.Duration {
	return time.Duration(factor * float64(p.host.world.clockSkew))
}

func (p storeClient) Load(context.Context) (keys.Record, error) {
	f, s := takeFirst(&p.faults.load), p.host.world.store
	p.loadStarted = p.host.readClocks()
	if err := p.send(f, p.skews(f.before)); err != nil {
		return keys.Record{}, err
	}
	if s.version() == 0 {
		return keys.Record{}, keys.ErrNoKeyset
	}
	r := s.records[s.version()-1]
	if f.outcome == oldVersion && p.ring != nil && p.ring.Keyset().Version > 1 {
		r = s.records[p.ring.Keyset().Version-2]
		p.host.world.counters["reads of an old version"]++
	}
	if s.clock != nil {
		r.Now = s.clock.wallClock()
	}
	err := p.receive(f)
	if err == nil {
		p.confirmed = p.loadStarted
		if p.confirmations[r.Version] = p.loadStarted.wall; s.clock != nil {
			p.confirmations[r.Version] = r.Now
		}
	}
	return r, err
}

func (p storeClient) PrivateKey(_ context.Context, kid string) ([]byte, error) {
	f, s := takeFirst(&p.faults.privateKey), p.host.world.store
	if err := p.send(f, p.skews(f.before)); err != nil {
		return nil, err
	}
	sealed, ok := s.privateKeys[kid]
	intact := ok && !p.host.world.checker.damaged[kid]
	if err := p.receive(f); err != nil {
		return nil, err
	}
	p.privateKeys[kid] = p.privateKeys[kid] || intact
	if !ok {
		return nil, keys.ErrNoPrivateKey
	}
	return sealed, nil
}

// PrivateKeyIDs is for commands. No simulated process lists the private keys.
func (p storeClient) PrivateKeyIDs(context.Context) ([]string, error) {
	return slices.Collect(maps.Keys(p.host.world.store.privateKeys)), nil
}

func (p storeClient) Swap(_ context.Context, c keys.Change) error {
	f, w := takeFirst(&p.faults.swap), p.host.world
	p.checkMayWrite(c)
	if f.outcome == crashesBefore {
		w.counters["crashes before a swap"]++
	}
	left, start := 4*w.clockSkew, w.now
	if !c.Deadline.IsZero() {
		left = w.store.deadlineClock(p.host).until(c.Deadline)
	}
	if f.late.by > 0 && c.Version > 0 && !c.Deadline.IsZero() {
		return p.swapLate(c, f, left)
	}
	delay := time.Duration(f.before * float64(left))
	if f.outcome == writeDelayed && delay <= left {
		w.store.delayed = append(w.store.delayed, &delayedWrite{w.now + delay, c, p.process, p.operation, f})
		return errNoConnection
	}
	if err := p.send(f, min(delay, left)); err != nil {
		return err
	}
	w.refreshReaders(f.readers, p.process)
	if delay > left || w.now-start > left {
		w.counters["writes after their deadline"]++
		return keys.ErrTooLate
	}
	if err := w.store.commit(p.process, p.operation, c); err != nil {
		return err
	}
	w.logf("%s commits version %d: %s", p.name, c.Version+1, w.checker.describe())
	if f.outcome == answerLost {
		w.counters["ambiguous commits"]++
	}
	if f.before > 0.9 {
		w.counters["slow commits"]++
	}
	if f.outcome == crashesAfter {
		w.counters["crashes after a swap"]++
	}
	return p.receive(f)
}

// checkMayWrite checks that the process may try to write at all.
func (p storeClient) checkMayWrite(c keys.Change) {
	kind := p.operation.kind
	if p.host.clockJump != 0 && kind != doServe && kind != doRevoke && !isCorrection(c) {
		p.host.world.violate(clockFence, "%s tries to write although its clock is wrong by %v", p.name, p.host.clockJump)
	}
	if !kind.writes() || (c.Version == 0 && kind != doServe) {
		p.host.world.violate(readsDoNotWrite, "%s tries to write version %d, although its operation is only %q", p.name, c.Version+1, kind)
	}
}

// refreshReaders makes the servers of some hosts read the store now, as a process may at
// any time.
func (w *world) refreshReaders(hosts int, except *process) {
	for _, h := range w.hosts {
		if hosts&(1<<h.id) != 0 && h.server != nil && h.server != except && !h.server.busy {
			w.do(action{kind: doRefresh, host: h.id})
		}
	}
	w.checkAll()
}

func (p storeClient) Wait(ctx context.Context, _ uint64) error { return ctx.Err() }

func (storeClient) MinClockSkew() time.Duration { return 0 }

func (p storeClient) Close() error { return nil }

// keyPool is a list of generated keys for each algorithm. All worlds share one, because
// nothing in a world depends on the bits of a key.
type keyPool struct{ eddsa, es256 []jwk.PrivateKey }

var sharedKeys = sync.OnceValue(func() *keyPool {
	generate := func(alg jwk.Algorithm, n int) []jwk.PrivateKey {
		out := make([]jwk.PrivateKey, n)
		for i := range out {
			var err error
			if out[i], err = jwk.Generate(alg, 0); err != nil {
				panic(err)
			}
		}
		return out
	}
	return &keyPool{generate(jwk.EdDSA, 150), generate(jwk.ES256, 40)}
})

// keySource returns each key of a pool once.
type keySource struct {
	mu sync.Mutex
	*keyPool
	taken [2]int
}

var errNoMoreKeys = errors.New("the pool has no more keys")

func (s *keySource) take(alg jwk.Algorithm) (jwk.PrivateKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, i := s.eddsa, 0
	if alg == jwk.ES256 {
		from, i = s.es256, 1
	}
	if s.taken[i] == len(from) {
		return jwk.PrivateKey{}, errNoMoreKeys
	}
	s.taken[i]++
	return from[s.taken[i]-1], nil
}
