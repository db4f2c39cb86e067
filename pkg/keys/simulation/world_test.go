package simulation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// world is one keyset in one store, and the hosts and processes that use it. It runs a
// scenario in a single goroutine.
//
// A call that takes time (a slow read, a delayed write, the generation of a key) calls
// advance, which carries out the actions that fall into that time before the call
// returns. So the processes interleave by nested calls.
//
// World time is the correct time. It is also the verifiers' time, because L includes
// their clock error. A host's clock is wrong by at most e/4, so two clocks differ by at
// most e/2; a write may use the other half of e. A clock that jumped is wrong by so much
// that the process must notice it.
type world struct {
	scenario  scenario
	now       time.Duration // since epoch
	clockSkew time.Duration // the e that the hosts' clocks stay within
	next      int           // index of the scenario's next action
	due       time.Duration // when that action is due, negative if its wait has not begun
	depth     int           // of nested calls of advance
	hosts     []*host
	store     *simStore
	checker   *checker
	keys      *keySource
	counters  counters
	tracing   bool
	trace     []string
	operation int // number of operations so far

	sealingKeys int // number of sealing keys that were added to the first one
}

var epoch = time.Date(2030, time.March, 4, 12, 0, 0, 0, time.UTC)

// maxDepth limits how many calls may be waiting at once.
const maxDepth = 4

// host is a machine: a clock, a connection to the store, and one server or none.
type host struct {
	world        *world
	id           int
	clockOffset  float64       // how far the clock is wrong, as a fraction of e/4 from -1 to 1
	clockJump    time.Duration // how far it is wrong in addition
	repairAt     time.Duration // when the jump is corrected, 0 for never
	disconnected bool          // from the store
	server       *process
	hadServer    bool

	sealingKeys   []string // the names in its source
	sourceChanges int      // how often that changed
}

func (h *host) wallClock() time.Time {
	return epoch.Add(h.world.now + time.Duration(h.clockOffset*float64(h.world.clockSkew/4)) + h.clockJump)
}

func (h *host) clock() keys.Clock {
	return keys.Clock{Now: h.wallClock, Uptime: func() time.Duration { return h.world.now }}
}

// until returns how long it takes until the host's clock reads t.
func (h *host) until(t time.Time) time.Duration { return t.Sub(h.wallClock()) }

// process is a Ring and what the checker needs to know about it.
type process struct {
	name        string
	host        *host
	ring        *keys.Ring
	operation   action // the one that runs, or ran last
	busy        bool   // an operation runs
	faults      faults
	privateKeys map[string]bool // kids of the private keys that the store returned intact
	served      *keys.Publication
	servedKeys  keySet // the keys of served
	version     uint64 // the newest version that it acted on

	confirmations map[uint64]time.Time // when it confirmed each version last, by the store's clock or the host's

	loadStarted, confirmed clockReading // when the last Load began, and the last successful one

	sealingKeys []string // as of the last read of the host's source
	began       struct { // when the operation began
		versions      int // that were committed
		sourceChanges int // of the host
		sealingKey    string
	}
}

// clockReading is the time by both clocks of a host.
type clockReading struct {
	wall   time.Time
	uptime time.Duration
}

func (h *host) readClocks() clockReading { return clockReading{h.wallClock(), h.world.now} }

// crash is the panic value that ends a process within a call to the store.
type crash struct{}

// violation is the panic value that ends a world when an invariant is broken.
type violation struct {
	invariant invariant
	text      string
}

func (w *world) violate(broken invariant, format string, args ...any) {
	w.logf("VIOLATION of %s: %s", broken, fmt.Sprintf(format, args...))
	panic(violation{broken, fmt.Sprintf(format, args...)})
}

func (w *world) logf(format string, args ...any) {
	if w.tracing {
		w.trace = append(w.trace, fmt.Sprintf("%10.4fs  ", w.now.Seconds())+fmt.Sprintf(format, args...))
	}
}

// runScenario returns the finished world, and the broken invariant if there is one.
func runScenario(s scenario, tracing bool) (w *world, broken *violation) {
	w = &world{scenario: s, clockSkew: s.policy.ClockSkew, keys: &keySource{keyPool: sharedKeys()}, counters: counters{}, tracing: tracing}
	w.store = &simStore{world: w, privateKeys: map[string][]byte{}}
	w.checker = newChecker(w, s.policy.Leeway)
	for i, offset := range s.clockOffsets {
		w.hosts = append(w.hosts, &host{world: w, id: i, clockOffset: offset, sealingKeys: []string{"seal-0"}})
	}
	if s.storeClock {
		w.store.clock = &host{world: w, id: -1, clockOffset: s.storeClockOffset}
	}
	defer func() {
		switch p := recover().(type) {
		case nil:
		case violation:
			broken = &p
		default:
			panic(p)
		}
	}()
	w.logf("policy %+v, clock offsets %.2f, store has a clock: %v, offset %.2f", s.policy, s.clockOffsets, s.storeClock, s.storeClockOffset)
	for w.next < len(s.actions) {
		w.due = w.now + w.duration(s.actions[w.next].wait)
		w.advance(w.due)
	}
	return w, nil
}

// advance moves the world's time to the given time. On the way it carries out the
// actions and the delayed writes that fall due, and checks every process whenever its
// behavior may change.
func (w *world) advance(to time.Duration) {
	w.depth++
	defer func() { w.depth-- }()
	for {
		at, event := w.nextEvent(to)
		w.pass(max(at, w.now))
		if event == nil {
			return
		}
		event()
	}
}

// nextEvent returns the first event that is due by the given time. The event is nil if
// there is none.
func (w *world) nextEvent(to time.Duration) (at time.Duration, event func()) {
	at = to
	if w.next < len(w.scenario.actions) && w.depth <= maxDepth {
		if a := w.scenario.actions[w.next]; a.meanwhile || w.depth == 1 {
			if w.due < 0 {
				w.due = w.now + w.duration(a.wait)
			}
			if w.due <= at {
				at, event = w.due, w.act
			}
		}
	}
	if write := w.store.firstDelayed(); write != nil && write.at <= at {
		at, event = write.at, func() { w.store.applyDelayed(write) }
	}
	for _, h := range w.hosts {
		if h.clockJump != 0 && h.repairAt != 0 && h.repairAt <= at {
			at, event = h.repairAt, h.repairDue
		}
	}
	return at, event
}

// repairDue corrects a clock when its time has come. Some servers first try a step, at
// the last time at which they must notice that the clock is wrong.
func (h *host) repairDue() {
	h.repairAt = 0
	if s := h.server; s != nil && s.ring != nil && !s.busy && h.clockOffset < 0 && h.world.depth <= maxDepth {
		h.world.do(action{kind: doRotate, host: h.id, force: true})
	}
	h.repairClock()
}

// repairClock undoes a jump.
func (h *host) repairClock() {
	if h.clockJump != 0 {
		h.clockJump, h.repairAt = 0, 0
		h.world.logf("host %d: the clock is corrected", h.id)
	}
}

// pass lets time pass without an event. It checks all processes at the times at which
// the clock alone changes what they may do: when the fence stops a process, and when a
// key expires by the process's clock.
func (w *world) pass(to time.Duration) {
	if to > w.now {
		var times []time.Duration
		for _, h := range w.hosts {
			if h.server == nil || h.server.ring == nil {
				continue
			}
			status := h.server.ring.Status()
			times = append(times, w.now+status.Keyset.Policy.MaxStaleness-status.Age)
			for _, k := range status.Keyset.Keys {
				if !k.RetiredAt.IsZero() {
					times = append(times, w.now+h.until(k.ExpiresAt), w.now+h.until(k.ExpiresAt)+h.clockJump)
				}
			}
		}
		slices.Sort(times)
		for _, at := range slices.Compact(times) {
			if at > w.now && at < to {
				w.now = at
				w.checkAll()
			}
		}
		w.now = to
	}
	w.checkAll()
}

// checkAll checks what every server would do now.
func (w *world) checkAll() {
	w.checker.raiseLeeway()
	if c := w.checker; c.clockSkew > w.clockSkew && w.now > c.clockSkewFrom {
		w.clockSkew = c.clockSkew // no stamp that was computed from a lower one counts any more
	}
	for _, h := range w.hosts {
		if h.server != nil && h.server.ring != nil {
			w.checker.check(h.server)
		}
	}
}

// lowerClockSkew makes the clocks stay within a lower clock_skew. They must do so before
// the policy says so.
func (w *world) lowerClockSkew(to time.Duration) {
	if to != 0 {
		w.clockSkew, w.checker.clockSkew = min(w.clockSkew, to), min(w.checker.clockSkew, to)
	}
}

// act carries out the next action.
func (w *world) act() {
	a := w.scenario.actions[w.next]
	w.next++
	w.due = -1
	w.do(a)
	w.checkAll()
}

// sleep makes a call of p take time. Meanwhile its host may be disconnected, or the
// host's clock may change.
func (p *process) sleep(d time.Duration) {
	p.host.world.advance(p.host.world.now + max(d, 0))
}

// operate runs an operation of p. A crash of p ends it.
func (p *process) operate(a action, op func(context.Context) error) (err error) {
	w := p.host.world
	w.operation++
	a.operation = w.operation
	p.operation, p.busy, p.faults = a, true, a.faults
	if p.ring != nil {
		p.began.sealingKey = p.ring.Keyset().SealingKey
	}
	p.began.versions, p.began.sourceChanges = len(w.checker.versions), p.host.sourceChanges
	w.logf("%s: %s", p.name, a)
	defer func() {
		p.busy = false
		switch r := recover().(type) {
		case nil:
			w.logf("%s: %s: %v", p.name, a.kind, errText(err))
			w.checker.checkError(p, err)
			w.checker.checkSealingError(p, err)
		case crash:
			w.counters["crashes"]++
			w.logf("%s crashes", p.name)
			p.ring, err = nil, errCrashed
			if p.host.server == p {
				p.host.server = nil
			}
		default:
			panic(r)
		}
	}()
	return op(context.Background())
}

var errCrashed = errors.New("crashed")

func errText(err error) string {
	if err == nil {
		return "done"
	}
	return err.Error()
}

func (w *world) newProcess(h *host, name string) *process {
	return &process{
		name: name, host: h, privateKeys: map[string]bool{}, confirmations: map[uint64]time.Time{},
		sealingKeys: slices.Clone(h.sealingKeys),
	}
}

// open opens the keyset. With create, it creates the keyset if there is none.
func (p *process) open(a action, create bool) error {
	o := keys.Options{Store: storeClient{p}, Sealer: simSealer{p}, Clock: p.host.clock(), Generate: p.generate}
	return p.operate(a, func(ctx context.Context) (err error) {
		if create {
			p.ring, err = keys.Create(ctx, o, p.host.world.scenario.policy)
		} else {
			p.ring, err = keys.Open(ctx, o)
		}
		if err != nil {
			p.ring = nil
		}
		return err
	})
}

// generate takes a key from the pool and lets the time pass that generation may take.
func (p *process) generate(alg jwk.Algorithm, _ int) (jwk.PrivateKey, error) {
	if p.operation.kind != doServe { // Create generates two keys in two goroutines
		p.sleep(p.faults.generation)
	}
	return p.host.world.keys.take(alg)
}
