package simulation

import (
	"math/rand/v2"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// scenario decides everything that happens in a world.
type scenario struct {
	policy           keys.Policy
	clockOffsets     []float64 // of the hosts, as fractions of e/4
	storeClock       bool      // whether the store has a clock
	storeClockOffset float64
	actions          []action
}

// random draws the parts of a scenario. It prefers extremes, because mistakes show when
// clocks have their largest offset, writes land at their deadline, and steps happen as
// soon as a guard allows them.
type random struct{ *rand.Rand }

func oneOf[T any](r random, from ...T) T { return from[r.IntN(len(from))] }

func (r random) chance(p float64) bool { return r.Float64() < p }

func (r random) clockOffset() float64 {
	if r.chance(0.8) {
		return oneOf(r, -1.0, 1.0)
	}
	return 2*r.Float64() - 1
}

// newSettings returns settings without a rotation interval and without a specimen.
func newSettings(ttl, maxAge, staleness, leeway, skew time.Duration) keys.Settings {
	return keys.Settings{
		TokenTTL: ttl, JWKSMaxAge: maxAge, MaxStaleness: staleness, Leeway: leeway, ClockSkew: skew,
		Algorithm: jwk.EdDSA, Issuer: "https://issuer.example", ExpiredTokens: new(bool),
	}
}

func (r random) settings() keys.Settings {
	return newSettings(
		time.Second*oneOf[time.Duration](r, 1, 2, 5, 11, 30),
		time.Second*oneOf[time.Duration](r, 1, 1, 2, 5, 9),
		time.Second*oneOf[time.Duration](r, 1, 1, 3, 6, 14),
		time.Second*oneOf[time.Duration](r, 1, 1, 3, 8),
		time.Millisecond*oneOf[time.Duration](r, 100, 400, 1000, 3000))
}

// rotationInterval draws an interval that the settings allow: often the shortest.
func (r random) rotationInterval(s keys.Settings) time.Duration {
	return time.Duration(oneOf(r, 1, 1, 1.3, 2.0) * float64(shortestInterval(s)))
}

func shortestInterval(s keys.Settings) time.Duration {
	return max(4*time.Second, s.MaxStaleness+2*s.JWKSMaxAge+2*s.ClockSkew,
		(s.MaxStaleness+s.TokenTTL+s.Leeway+2*s.ClockSkew+7)/8)
}

// newScenario draws the scenario of a seed.
func newScenario(seed uint64) scenario {
	r := random{rand.New(rand.NewPCG(seed, 0x6a776b73))}
	s := scenario{storeClock: r.chance(0.5), storeClockOffset: r.clockOffset()}
	settings := r.settings()
	settings.RotationInterval = r.rotationInterval(settings)
	settings.ExpiredTokens = new(r.chance(0.2))
	policy, err := keys.NewPolicy(settings)
	if err != nil {
		panic(err)
	}
	s.policy = policy
	for range 3 {
		s.clockOffsets = append(s.clockOffsets, r.clockOffset())
	}
	w := scenarioWriter{random: r, hosts: len(s.clockOffsets), settings: settings, disconnected: map[int]bool{}, faultRate: oneOf(r, 0, 0.1, 0.4)}
	w.start()
	for len(w.out) < 45 {
		w.scene()
	}
	if seal := (random{rand.New(rand.NewPCG(seed, 0x7365616c))}); seal.chance(0.3) { // drawn apart, and last, so that the scenario is the same until then
		w.random = seal
		w.replaceSealingKeys()
	}
	s.actions = w.out
	if late := (random{rand.New(rand.NewPCG(seed, 0x6c617465))}); late.chance(0.5) { // drawn apart, so that the scenario is the same otherwise
		late.makeWritesLate(s.actions, len(s.clockOffsets))
	}
	return s
}

// makeWritesLate makes some writes land late.
func (r random) makeWritesLate(actions []action, hosts int) {
	for i := range actions {
		a := &actions[i]
		if len(a.swap) == 0 || !r.chance(0.3) {
			continue
		}
		f := &a.swap[0]
		f.late = lateness{by: oneOf(r, 0.2, 1, 3, 3*r.Float64()), early: r.IntN(1 << hosts), detectors: r.IntN(1 << hosts)}
		if f.readers&^f.late.early == 0 {
			f.readers, f.late.early = 1<<hosts-1, 0
		}
		if r.chance(0.4) {
			f.late.between = &action{kind: oneOf(r, doRotate, doStep, doSetPolicy), host: r.IntN(hosts), cli: true}
			drawn := r.settings()
			f.late.between.policy = oneOf(r, keys.Settings{TokenTTL: drawn.TokenTTL}, keys.Settings{MaxStaleness: drawn.MaxStaleness}, keys.Settings{JWKSMaxAge: drawn.JWKSMaxAge})
		}
	}
}

// scenarioWriter writes the actions of a scenario in scenes, which are a few actions
// that belong together.
type scenarioWriter struct {
	random
	hosts        int
	settings     keys.Settings // after the actions so far, if every policy change succeeds
	faultRate    float64       // how often a call to the store meets a fault
	disconnected map[int]bool  // hosts, after the actions so far
	out          []action
}

func (w *scenarioWriter) add(a action) {
	a.meanwhile = a.kind != doDisconnect && w.chance(0.5)
	w.out = append(w.out, a)
}

func (w *scenarioWriter) host() int { return w.IntN(w.hosts) }

// connectedHost draws a host that is connected to the store, rarely another one.
func (w *scenarioWriter) connectedHost() int {
	for {
		if h := w.host(); !w.disconnected[h] || w.chance(0.02) {
			return h
		}
	}
}

// disconnect disconnects a host, unless it is the last connected one.
func (w *scenarioWriter) disconnect(h int, after wait) {
	if len(w.disconnected) < w.hosts-1 {
		w.disconnected[h] = true
		w.add(action{kind: doDisconnect, host: h, wait: after})
	}
}

// reconnect reconnects some hosts, often after their fence has stopped them.
func (w *scenarioWriter) reconnect() {
	for h := range w.hosts {
		if w.disconnected[h] && w.chance(0.5) {
			delete(w.disconnected, h)
			after := w.shortWait()
			if w.chance(0.3) {
				after = w.waitFor(untilFence, h)
			}
			w.add(action{kind: doReconnect, host: h, wait: after})
			w.add(action{kind: doServe, host: h})
		}
	}
}

// start starts the servers, usually all of them.
func (w *scenarioWriter) start() {
	for h := range w.hosts {
		if h == 0 || w.chance(0.9) {
			w.add(action{kind: doServe, host: h, faults: w.faults()})
		}
	}
}

func (w *scenarioWriter) shortWait() wait {
	return wait{unit: oneOf(w.random, ofE, ofE, ofD, ofM), factor: oneOf(w.random, 0, 0, 0.25, 0.5, 1), host: w.host()}
}

// waitFor waits until something is due by a host's clock, rarely a little longer.
func (w *scenarioWriter) waitFor(u unit, host int) wait {
	return wait{unit: u, host: host, factor: oneOf(w.random, 0, 0, 0, 0, 0.1, 0.5)}
}

// swapFault draws what happens to a write. Often it lands at its deadline, just after
// another process read the store.
func (w *scenarioWriter) swapFault(by int) fault {
	f := fault{before: oneOf(w.random, 0, 1, 1, 0.5, w.Float64())}
	if w.chance(0.7) {
		f.readers = (1 + w.IntN(1<<w.hosts-1)) &^ (1 << by)
	}
	if w.chance(w.faultRate) {
		f.outcome = oneOf(w.random, requestLost, answerLost, answerLost, writeDelayed, writeDelayed, crashesBefore, crashesAfter)
		f.after = oneOf(w.random, 0, 0.5, 2)
		if w.chance(0.2) {
			f.before = 1 + w.Float64()
		}
	}
	return f
}

// readFault draws what happens to a read.
func (w *scenarioWriter) readFault() fault {
	f := fault{}
	if w.chance(w.faultRate) {
		f.outcome = oneOf(w.random, success, success, success, success, requestLost, answerLost, crashesBefore, crashesAfter, oldVersion)
		f.before, f.after = oneOf(w.random, 0, 0.3, 1), oneOf(w.random, 0, 0.5, 2, 5)
	}
	return f
}

// faults draws the faults of an operation, without those of its writes.
func (w *scenarioWriter) faults() (f faults) {
	for range w.IntN(3) {
		f.load = append(f.load, w.readFault())
	}
	for range w.IntN(3) {
		f.privateKey = append(f.privateKey, w.readFault())
	}
	if w.chance(w.faultRate / 2) {
		f.generation = w.settings.ClockSkew * time.Duration(w.IntN(4))
	}
	return f
}

// write adds an operation that writes. A host that reads the store just before the write
// takes effect is often disconnected then, so that it acts on the old version for long.
func (w *scenarioWriter) write(a action) {
	a.host = w.connectedHost()
	if a.wait == (wait{}) {
		a.wait = w.shortWait()
	}
	if a.wait.unit >= untilDue {
		a.wait.host = a.host
	}
	a.faults = w.faults()
	a.swap = append(a.swap, w.swapFault(a.host))
	if w.chance(w.faultRate) {
		a.swap = append(a.swap, w.swapFault(a.host))
	}
	a.cli = a.kind != doStep && w.chance(0.3)
	w.add(a)
	for h := range w.hosts {
		if a.swap[0].readers&(1<<h) != 0 && w.chance(0.7) {
			w.disconnect(h, wait{})
		}
	}
}

// scene adds one scene.
func (w *scenarioWriter) scene() {
	if w.chance(0.4) {
		w.reconnect()
	}
	switch n := w.IntN(100); {
	case n < 20:
		w.write(action{kind: doStep, wait: w.waitFor(untilDue, 0)})
	case n < 50:
		w.write(action{kind: doRotate, wait: w.waitFor(untilReady, 0), force: w.chance(0.03)})
	case n < 62:
		w.changePolicy()
	case n < 67:
		w.write(action{kind: doRevoke, key: w.IntN(24), force: w.chance(0.1)})
	case n < 75:
		w.add(action{kind: doStepAll, wait: w.waitFor(oneOf(w.random, untilExpired, untilDue, untilReady), w.host())})
	case n < 80:
		w.add(action{kind: doRefresh, host: w.host(), wait: w.shortWait(), faults: w.faults()})
	case n < 84:
		w.disconnect(w.host(), w.shortWait())
	case n < 88:
		w.add(action{kind: doMoveClock, host: w.host(), amount: w.clockOffset(), wait: w.shortWait()})
	case n < 91:
		w.jump()
	case n < 94:
		h := w.host()
		w.add(action{kind: doKill, host: h, wait: w.shortWait()})
		w.add(action{kind: doServe, host: h, wait: w.shortWait(), faults: w.faults()})
	case n < 95:
		w.add(action{wait: wait{unit: oneOf(w.random, ofD, ofR, ofT), factor: w.Float64()}})
	case n < 96:
		if w.chance(0.5) {
			w.write(action{kind: doImport, key: w.IntN(24)})
		} else {
			w.add(action{kind: doMint, host: w.connectedHost(), amount: oneOf(w.random, 0.5, 1, 1, 1.1), wait: w.shortWait(), faults: w.faults()})
		}
	case n < 97:
		w.add(action{kind: doDamage, key: w.IntN(24), force: w.chance(0.5), wait: w.shortWait()})
		w.write(action{kind: doRotate, force: w.chance(0.3)})
	case n < 98 && w.chance(0.2):
		for range 20 { // more keys than a JWK Set may have
			w.add(action{kind: doRotate, host: w.connectedHost(), force: true, wait: wait{unit: ofE, factor: 0.1}})
		}
	default:
		for h := range w.hosts {
			w.add(action{kind: doServe, host: h})
		}
	}
}

// changePolicy changes the policy once or twice, and often rotates afterwards.
func (w *scenarioWriter) changePolicy() {
	for range 1 + w.IntN(2) {
		drawn, next := w.random.settings(), w.settings
		for range oneOf(w.random, 1, 1, 2, 6) {
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
				next.Algorithm = oneOf(w.random, jwk.EdDSA, jwk.ES256)
			case 6:
				next.ExpiredTokens = new(w.chance(0.5))
			case 7:
				next.RotationInterval = 0
			}
		}
		if next.RotationInterval < shortestInterval(next) || w.chance(0.4) {
			next.RotationInterval = w.rotationInterval(next)
		}
		w.settings = next
		next.Issuer = ""
		w.write(action{kind: doSetPolicy, policy: next})
	}
	if w.chance(0.7) {
		w.write(action{kind: doRotate, wait: oneOf(w.random, w.shortWait(), w.waitFor(untilReady, 0))})
	}
	if w.chance(0.5) {
		w.write(action{kind: doRotate, wait: w.waitFor(untilReady, 0)})
	}
}

// jump makes a clock jump, lets processes on that host try a step, and corrects the
// clock.
func (w *scenarioWriter) jump() {
	h := w.host()
	by := oneOf(w.random, -1.0, 1.0) * w.Float64() * oneOf(w.random, 0.3, 1, 10, 100)
	w.add(action{kind: doJump, host: h, amount: by, wait: w.shortWait()})
	if w.chance(0.3) {
		w.add(action{kind: doJump, host: h, amount: -2 * by, wait: w.shortWait()})
	}
	var slow faults // reads that take so long that the process may fail to notice the jump
	for range w.IntN(4) {
		slow.load = append(slow.load, fault{before: oneOf(w.random, 0, 1, 2, 3.0), after: oneOf(w.random, 0, 1, 2, 3.0)})
	}
	w.add(action{kind: doRotate, host: h, cli: w.chance(0.7), faults: slow})
	w.add(action{kind: doStep, host: h, wait: w.shortWait(), faults: slow})
	if w.chance(0.5) {
		w.add(action{kind: doNothing, wait: w.waitFor(oneOf(w.random, untilExpired, untilDue), w.host())})
	}
	w.add(action{kind: doJump, host: h, wait: w.shortWait()}) // by 0, which corrects the clock
}
