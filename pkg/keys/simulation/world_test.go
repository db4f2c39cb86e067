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

// A world is a small universe with one true time: a store, some hosts with
// clocks of their own, and the processes on them, which are real Rings. It runs
// a scenario in a single goroutine, so that the same scenario always takes the
// same course.
//
// Whatever takes time (a slow read, a commit on its way, a key being made) is a
// nested run: the world carries out the actions that fall into that time before
// the call returns. So every interleaving of processes is one nesting of calls.
//
// True time is also the verifiers' time: how far their clocks are off is inside
// of L. A host's clock is off by at most e/4 either way, so that two of them
// differ by at most e/2; the other half of e is for a write to land. A clock
// that jumps is off by more than the fence lets pass.
type world struct {
	scenario scenario
	now      time.Duration // true time since epoch
	e        time.Duration // the clock_skew that the clocks keep to
	next     int           // of the scenario's actions
	due      time.Duration // when that action is due
	depth    int           // of nested runs
	hosts    []*host
	store    *simStore
	check    *checker
	keys     *supply
	seen     tally
	tracing  bool
	trace    []string
	orders   int // operations so far
}

var epoch = time.Date(2030, time.March, 4, 12, 0, 0, 0, time.UTC)

// deepest is how many calls may be waiting at once.
const deepest = 4

// host is a machine: a clock, a link to the store, and a server if one runs.
type host struct {
	world  *world
	id     int
	lean   float64       // where in its share of e the clock stands, from -1 to 1
	jump   time.Duration // how far the clock is wrong beyond that
	mend   time.Duration // when somebody sets it right, 0 for never
	cut    bool          // from the store
	server *process
	ran    bool // a server
}

func (h *host) wall() time.Time {
	return epoch.Add(h.world.now + time.Duration(h.lean*float64(h.world.e/4)) + h.jump)
}

func (h *host) clock() keys.Clock {
	return keys.Clock{Now: h.wall, Uptime: func() time.Duration { return h.world.now }}
}

// until is how long it takes until the host's clock says t.
func (h *host) until(t time.Time) time.Duration { return t.Sub(h.wall()) }

// process is a Ring with what the world must know of it.
type process struct {
	name    string
	host    *host
	ring    *keys.Ring
	doing   action // the operation that it is in
	busy    bool
	faults  faults
	opened  map[string]bool // the halves that the store gave it intact
	served  *keys.Publication
	set     kidset // what served holds
	highest uint64 // the newest version that it acted on

	asked, confirmed moment // when it asked the store, the last time and the last time with success
}

// moment is the time by both clocks of a host.
type moment struct {
	wall time.Time
	up   time.Duration
}

func (h *host) moment() moment { return moment{h.wall(), h.world.now} }

// A crash unwinds a process out of a call to the store.
type crash struct{}

// A violation unwinds the world: an invariant, by its number, or a
// rule by its name, is broken.
type violation struct{ rule, text string }

func (w *world) violate(rule, format string, args ...any) {
	w.logf("VIOLATION of %s: %s", rule, fmt.Sprintf(format, args...))
	panic(violation{rule, fmt.Sprintf(format, args...)})
}

func (w *world) logf(format string, args ...any) {
	if w.tracing {
		w.trace = append(w.trace, fmt.Sprintf("%10.4fs  ", w.now.Seconds())+fmt.Sprintf(format, args...))
	}
}

// run carries a scenario out and returns what it broke, if anything.
func run(s scenario, pool *pool, tracing bool) (w *world, broken *violation) {
	w = &world{scenario: s, e: s.policy.ClockSkew, keys: &supply{pool: pool}, seen: tally{}, tracing: tracing}
	w.store = &simStore{world: w, halves: map[string][]byte{}}
	w.check = newChecker(w, s.policy.Leeway)
	for i, lean := range s.leans {
		w.hosts = append(w.hosts, &host{world: w, id: i, lean: lean})
	}
	if s.storeClock {
		w.store.clock = &host{world: w, id: -1, lean: s.storeLean}
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
	w.logf("policy %+v, clocks %.2f, store clock %v %.2f", s.policy, s.leans, s.storeClock, s.storeLean)
	for w.next < len(s.actions) {
		w.due = w.now + w.pause(s.actions[w.next].wait)
		w.advance(w.due)
	}
	return w, nil
}

// advance lets true time pass until to. On the way it carries out the actions
// and lets the writes land that fall due, and looks at every process at each
// moment that matters.
func (w *world) advance(to time.Duration) {
	w.depth++
	defer func() { w.depth-- }()
	for {
		at, event := w.upcoming(to)
		w.pass(max(at, w.now))
		if event == nil {
			return
		}
		event()
	}
}

// upcoming is the first thing that happens by itself until to, if anything does.
func (w *world) upcoming(to time.Duration) (at time.Duration, event func()) {
	at = to
	if w.next < len(w.scenario.actions) && w.depth <= deepest {
		if a := w.scenario.actions[w.next]; a.meanwhile || w.depth == 1 {
			if w.due < 0 {
				w.due = w.now + w.pause(a.wait)
			}
			if w.due <= at {
				at, event = w.due, w.act
			}
		}
	}
	if f := w.store.firstInFlight(); f != nil && f.at <= at {
		at, event = f.at, func() { w.store.land(f) }
	}
	for _, h := range w.hosts {
		if h.jump != 0 && h.mend != 0 && h.mend <= at {
			at, event = h.mend, h.mended
		}
	}
	return at, event
}

// mended is when somebody sets a clock right. Some processes try a step by it in
// the last moment at which they must see that it jumped.
func (h *host) mended() {
	h.mend = 0
	if s := h.server; s != nil && s.ring != nil && !s.busy && h.lean < 0 && h.world.depth <= deepest {
		h.world.do(action{kind: doRotate, host: h.id, force: true})
	}
	h.setRight()
}

// setRight mends a clock that jumped.
func (h *host) setRight() {
	if h.jump != 0 {
		h.jump, h.mend = 0, 0
		h.world.logf("host %d: the clock is set right", h.id)
	}
}

// pass lets time pass in which nobody does anything, but looks at every process
// at the moments when what it may do changes by the clock alone: when its fence
// falls, and when a key expires by its clock.
func (w *world) pass(to time.Duration) {
	if to > w.now {
		var moments []time.Duration
		for _, h := range w.hosts {
			if h.server == nil || h.server.ring == nil {
				continue
			}
			status := h.server.ring.Status()
			moments = append(moments, w.now+status.Keyset.Policy.MaxStaleness-status.Age)
			for _, k := range status.Keyset.Keys {
				if !k.RetiredAt.IsZero() {
					moments = append(moments, w.now+h.until(k.ExpiresAt), w.now+h.until(k.ExpiresAt)+h.jump)
				}
			}
		}
		slices.Sort(moments)
		for _, m := range slices.Compact(moments) {
			if m > w.now && m < to {
				w.now = m
				w.look()
			}
		}
		w.now = to
	}
	w.look()
}

// look has the checker see what every process would do now.
func (w *world) look() {
	w.check.adoptLeeway()
	w.settleSkew()
	for _, h := range w.hosts {
		if h.server != nil && h.server.ring != nil {
			w.check.process(h.server)
		}
	}
}

// settleSkew lets the clocks stray as far as a raised clock_skew allows, once
// nothing that was stamped under the lower one is left.
func (w *world) settleSkew() {
	if e := w.check.skew; e > w.e && w.now > w.check.skewFrom {
		w.e = e
	}
}

// lowerSkew has the clocks keep to a lower clock_skew, which they must before
// the policy says so.
func (w *world) lowerSkew(to time.Duration) {
	if to != 0 {
		w.e, w.check.skew = min(w.e, to), min(w.check.skew, to)
	}
}

// act carries out the next action.
func (w *world) act() {
	a := w.scenario.actions[w.next]
	w.next++
	w.due = -1
	w.do(a)
	w.look()
}

// sleep is time that a call of p takes. The process may find itself cut off, or
// its host's clock changed, when it wakes up.
func (p *process) sleep(d time.Duration) {
	p.host.world.advance(p.host.world.now + max(d, 0))
}

// operate runs an operation of p, which ends early if p crashes.
func (p *process) operate(a action, op func(context.Context) error) (err error) {
	w := p.host.world
	w.orders++
	a.order = w.orders
	p.doing, p.busy, p.faults = a, true, a.faults
	w.logf("%s: %s", p.name, a)
	defer func() {
		p.busy = false
		switch r := recover().(type) {
		case nil:
			w.logf("%s: %s: %v", p.name, a.kind, errText(err))
			w.check.reported(p, err)
		case crash:
			w.seen["crashes"]++
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
	return &process{name: name, host: h, opened: map[string]bool{}}
}

// open starts the process: a server founds the keyset if there is none.
func (p *process) open(a action, found bool) error {
	o := keys.Options{Store: port{p}, Sealer: simSealer{}, Clock: p.host.clock(), Generate: p.generate}
	return p.operate(a, func(ctx context.Context) (err error) {
		if found {
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

// generate takes a ready-made key, which may take as long as making one.
func (p *process) generate(alg jwk.Algorithm, _ int) (jwk.PrivateKey, error) {
	if p.doing.kind != doServe { // founding makes two keys in two goroutines
		p.sleep(p.faults.making)
	}
	return p.host.world.keys.take(alg)
}
