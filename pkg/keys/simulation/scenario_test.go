package simulation

import (
	"math/rand/v2"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// scenario is all that decides the course of a world.
type scenario struct {
	policy     keys.Policy
	leans      []float64 // of the hosts' clocks
	storeClock bool      // whether the engine has a clock of its own
	storeLean  float64
	actions    []action
}

// dice draws what a scenario is made of. It prefers extremes: the guarantee is
// broken by clocks at the ends of their share, by writes that land in the last
// moment, and by acts in the first moment that a guard allows.
type dice struct{ *rand.Rand }

func pickOf[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }

func (d dice) chance(p float64) bool { return d.Float64() < p }

func (d dice) lean() float64 {
	if d.chance(0.8) {
		return pickOf(d, -1.0, 1.0)
	}
	return 2*d.Float64() - 1
}

func (d dice) settings() keys.Settings {
	return keys.Settings{
		TokenTTL:     time.Second * pickOf[time.Duration](d, 1, 2, 5, 11, 30),
		JWKSMaxAge:   time.Second * pickOf[time.Duration](d, 1, 1, 2, 5, 9),
		MaxStaleness: time.Second * pickOf[time.Duration](d, 1, 1, 3, 6, 14),
		Leeway:       time.Second * pickOf[time.Duration](d, 1, 1, 3, 8),
		ClockSkew:    time.Millisecond * pickOf[time.Duration](d, 100, 400, 1000, 3000),
		Algorithm:    jwk.EdDSA,
		Issuer:       "https://issuer.example",
	}
}

// interval is a rotation interval that settings can have: often the shortest.
func (d dice) interval(s keys.Settings) time.Duration {
	return time.Duration(pickOf(d, 1, 1, 1.3, 2.0) * float64(shortest(s)))
}

func shortest(s keys.Settings) time.Duration {
	return max(4*time.Second, s.MaxStaleness+2*s.JWKSMaxAge+2*s.ClockSkew,
		(s.MaxStaleness+s.TokenTTL+s.Leeway+2*s.ClockSkew+7)/8)
}

// newScenario draws the scenario of a seed.
func newScenario(seed uint64) scenario {
	d := dice{rand.New(rand.NewPCG(seed, 0x6a776b73))}
	s := scenario{storeClock: d.chance(0.5), storeLean: d.lean()}
	settings := d.settings()
	settings.RotationInterval = d.interval(settings)
	specimen := d.chance(0.2)
	settings.ExpiredTokens = &specimen
	policy, err := keys.NewPolicy(settings)
	if err != nil {
		panic(err)
	}
	s.policy = policy
	for range 3 {
		s.leans = append(s.leans, d.lean())
	}
	w := writer{dice: d, hosts: len(s.leans), settings: settings, cut: map[int]bool{}, faulty: pickOf(d, 0, 0.1, 0.4)}
	w.start()
	for len(w.out) < 45 {
		w.scene()
	}
	s.actions = w.out
	return s
}

// writer writes the actions of a scenario, one short scene after another.
type writer struct {
	dice
	hosts    int
	settings keys.Settings // as they stand, if every change of policy goes through
	faulty   float64       // how often a call to the store meets a fault
	cut      map[int]bool  // hosts that are cut from the store, if nothing is dropped
	out      []action
}

func (w *writer) add(a action) {
	a.meanwhile = a.kind != doCut && w.chance(0.5)
	w.out = append(w.out, a)
}

func (w *writer) host() int { return w.IntN(w.hosts) }

// linked is a host that can reach the store.
func (w *writer) linked() int {
	for {
		if h := w.host(); !w.cut[h] || w.chance(0.02) {
			return h
		}
	}
}

// sever cuts a host off, unless it is the last one.
func (w *writer) sever(h int, after wait) {
	if len(w.cut) < w.hosts-1 {
		w.cut[h] = true
		w.add(action{kind: doCut, host: h, wait: after}) // once the write before has landed
	}
}

// mend ends a cut, often when the host has gone stale in the meantime.
func (w *writer) mend() {
	for h := range w.hosts {
		if w.cut[h] && w.chance(0.5) {
			delete(w.cut, h)
			after := w.short()
			if w.chance(0.3) {
				after = w.till(tillFence, h)
			}
			w.add(action{kind: doMend, host: h, wait: after})
			w.add(action{kind: doServe, host: h})
		}
	}
}

// start brings the servers up, usually all of them.
func (w *writer) start() {
	for h := range w.hosts {
		if h == 0 || w.chance(0.9) {
			w.add(action{kind: doServe, host: h, faults: w.faults()})
		}
	}
}

// short is a wait in which little happens.
func (w *writer) short() wait {
	return wait{unit: pickOf(w.dice, ofE, ofE, ofD, ofM), share: pickOf(w.dice, 0, 0, 0.25, 0.5, 1), host: w.host()}
}

// till is a wait until a host may just do something.
func (w *writer) till(u unit, host int) wait {
	return wait{unit: u, host: host, share: pickOf(w.dice, 0, 0, 0, 0, 0.1, 0.5)}
}

// swap is the fate of a write: often it lands in the last moment, just after
// somebody else read the store.
func (w *writer) swap(by int) fault {
	f := fault{before: pickOf(w.dice, 0, 1, 1, 0.5, w.Float64())}
	if w.chance(0.7) {
		f.witness = (1 + w.IntN(1<<w.hosts-1)) &^ (1 << by)
	}
	if w.chance(w.faulty) {
		f.fate = pickOf(w.dice, fails, ambiguous, ambiguous, zombie, zombie, crashFirst, crashLast)
		f.after = pickOf(w.dice, 0, 0.5, 2)
		if w.chance(0.2) {
			f.before = 1 + w.Float64()
		}
	}
	return f
}

func (w *writer) call() fault {
	f := fault{}
	if w.chance(w.faulty) {
		f.fate = pickOf(w.dice, well, well, well, well, fails, ambiguous, crashFirst, crashLast, goesBack)
		f.before, f.after = pickOf(w.dice, 0, 0.3, 1), pickOf(w.dice, 0, 0.5, 2, 5)
	}
	return f
}

func (w *writer) faults() (f faults) {
	for range w.IntN(3) {
		f.load = append(f.load, w.call())
	}
	for range w.IntN(3) {
		f.half = append(f.half, w.call())
	}
	if w.chance(w.faulty / 2) {
		f.making = w.settings.ClockSkew * time.Duration(w.IntN(4))
	}
	return f
}

// order adds an operation that writes. Who read the store just before it took
// effect often hears nothing more for a while.
func (w *writer) order(a action) {
	a.host = w.linked()
	if a.wait == (wait{}) {
		a.wait = w.short()
	}
	if a.wait.unit >= tillDue {
		a.wait.host = a.host
	}
	a.faults = w.faults()
	a.swap = append(a.swap, w.swap(a.host))
	if w.chance(w.faulty) {
		a.swap = append(a.swap, w.swap(a.host))
	}
	a.cli = a.kind != doStep && w.chance(0.3)
	w.add(a)
	for h := range w.hosts {
		if a.swap[0].witness&(1<<h) != 0 && w.chance(0.7) {
			w.sever(h, wait{})
		}
	}
}

// scene adds a few actions that belong together.
func (w *writer) scene() {
	if w.chance(0.4) {
		w.mend()
	}
	switch n := w.IntN(100); {
	case n < 20:
		w.order(action{kind: doStep, wait: w.till(tillDue, 0)})
	case n < 50:
		w.order(action{kind: doRotate, wait: w.till(tillReady, 0), force: w.chance(0.03)})
	case n < 62:
		w.policy()
	case n < 67:
		w.order(action{kind: doRevoke, pick: w.IntN(24), force: w.chance(0.1)})
	case n < 75:
		w.add(action{kind: doTick, wait: w.till(pickOf(w.dice, tillExpired, tillDue, tillReady), w.host())})
	case n < 80:
		w.add(action{kind: doRefresh, host: w.host(), wait: w.short(), faults: w.faults()})
	case n < 84:
		w.sever(w.host(), w.short())
	case n < 88:
		w.add(action{kind: doLean, host: w.host(), by: w.lean(), wait: w.short()})
	case n < 91:
		w.jump()
	case n < 94:
		h := w.host()
		w.add(action{kind: doCrash, host: h, wait: w.short()})
		w.add(action{kind: doServe, host: h, wait: w.short(), faults: w.faults()})
	case n < 95:
		w.add(action{wait: wait{unit: pickOf(w.dice, ofD, ofR, ofT), share: w.Float64()}})
	case n < 96:
		if w.chance(0.5) {
			w.order(action{kind: doImport, pick: w.IntN(24)})
		} else {
			w.add(action{kind: doMint, host: w.linked(), by: pickOf(w.dice, 0.5, 1, 1, 1.1), wait: w.short(), faults: w.faults()})
		}
	case n < 97:
		w.add(action{kind: doCorrupt, pick: w.IntN(24), force: w.chance(0.5), wait: w.short()})
		w.order(action{kind: doRotate, force: w.chance(0.3)})
	case n < 98 && w.chance(0.2):
		for range 20 { // more keys than the JWKS may hold
			w.add(action{kind: doRotate, host: w.linked(), force: true, wait: wait{unit: ofE, share: 0.1}})
		}
	default:
		for h := range w.hosts {
			w.add(action{kind: doServe, host: h})
		}
	}
}

// policy changes some of the policy, often twice, and often rotates at once.
func (w *writer) policy() {
	for range 1 + w.IntN(2) {
		drawn, next := w.dice.settings(), w.settings
		for range pickOf(w.dice, 1, 1, 2, 6) {
			switch w.IntN(8) {
			case 0:
				next.TokenTTL = drawn.TokenTTL
			case 1:
				next.JWKSMaxAge = drawn.JWKSMaxAge
			case 2:
				next.MaxStaleness = drawn.MaxStaleness
			case 3:
				next.Leeway = drawn.Leeway
			case 4:
				next.ClockSkew = drawn.ClockSkew
			case 5:
				next.Algorithm = pickOf(w.dice, jwk.EdDSA, jwk.ES256)
			case 6:
				next.ExpiredTokens = new(w.chance(0.5))
			case 7:
				next.RotationInterval = 0
			}
		}
		if next.RotationInterval < shortest(next) || w.chance(0.4) {
			next.RotationInterval = w.interval(next)
		}
		w.settings = next
		next.Issuer = ""
		w.order(action{kind: doPolicy, to: next})
	}
	if w.chance(0.7) {
		w.order(action{kind: doRotate, wait: pickOf(w.dice, w.short(), w.till(tillReady, 0))})
	}
	if w.chance(0.5) {
		w.order(action{kind: doRotate, wait: w.till(tillReady, 0)})
	}
}

// jump makes a clock jump, and has a process on that host try a step.
func (w *writer) jump() {
	h := w.host()
	by := pickOf(w.dice, -1.0, 1.0) * w.Float64() * pickOf(w.dice, 0.3, 1, 10, 100)
	w.add(action{kind: doJump, host: h, by: by, wait: w.short()})
	if w.chance(0.3) {
		w.add(action{kind: doJump, host: h, by: -2 * by, wait: w.short()})
	}
	var slow faults // reads that take so long that they may hide how wrong the clock is
	for range w.IntN(4) {
		slow.load = append(slow.load, fault{before: pickOf(w.dice, 0, 1, 2, 3.0), after: pickOf(w.dice, 0, 1, 2, 3.0)})
	}
	w.add(action{kind: doRotate, host: h, cli: w.chance(0.7), faults: slow})
	w.add(action{kind: doStep, host: h, wait: w.short(), faults: slow})
	if w.chance(0.5) {
		w.add(action{kind: doNothing, wait: w.till(pickOf(w.dice, tillExpired, tillDue), w.host())})
	}
	w.add(action{kind: doJump, host: h, wait: w.short()}) // by nothing: it is set right
}
