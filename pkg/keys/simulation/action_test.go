package simulation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// An action is one thing that happens in a world, after a wait. It says nothing
// about what came before, so that any action can be dropped from a scenario and
// the rest still makes sense: that is how a failing scenario is made short.
type action struct {
	wait wait
	kind kind
	host int

	meanwhile bool // may happen while an operation before it is still under way

	cli   bool          // by a process of its own, which ends with it
	force bool          // of an order
	pick  int           // of the keys to revoke or to corrupt
	by    float64       // how far a clock moves: a share of e/4, or seconds for a jump
	to    keys.Settings // of a policy
	order int           // which operation this is, counted by the world
	faults
}

type kind int

const (
	doNothing kind = iota
	doServe        // start a server on the host
	doCrash        // and end it
	doRefresh
	doStep
	doTick // every server that can be reached refreshes, and takes its steps
	doRotate
	doRevoke
	doPolicy
	doImport
	doMint    // by a process of its own, which waits for a while first
	doCut     // the host from the store
	doMend    // the cut
	doLean    // move a clock within its share of e
	doJump    // move it beyond
	doCorrupt // a private half in the store
)

func (k kind) String() string {
	return [...]string{
		"nothing", "serve", "crash", "refresh", "step", "tick", "rotate", "revoke", "policy", "import", "mint",
		"cut", "mend", "lean", "jump", "corrupt",
	}[k]
}

// writes tells whether an operation may change the keyset.
func (k kind) writes() bool {
	return k == doServe || k == doStep || k == doRotate || k == doRevoke || k == doPolicy || k == doImport
}

func (a action) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s on host %d", a.kind, a.host)
	if a.force {
		b.WriteString(" --force")
	}
	if a.kind == doPolicy {
		fmt.Fprintf(&b, " %+v", a.to)
	}
	for _, f := range []struct {
		of string
		fs []fault
	}{{"load", a.load}, {"half", a.half}, {"swap", a.swap}} {
		if len(f.fs) > 0 {
			fmt.Fprintf(&b, ", %s meets %+v", f.of, f.fs)
		}
	}
	return b.String()
}

// agrees tells whether a policy is what the action asked for.
func (a action) agrees(p keys.Policy) bool {
	q, err := p.With(a.to)
	return err == nil && q == p
}

// A wait is a share of a duration of the policy, or the moment at which, by a
// host's clock, something falls due, and then that share of e.
type wait struct {
	unit  unit
	share float64
	host  int
}

type unit int

const (
	ofE unit = iota
	ofD
	ofM
	ofT
	ofR
	tillDue     // the next timed step
	tillReady   // the pending key may sign
	tillExpired // the next retired key leaves
	tillFence   // the host's server may not act any more
)

// pause is how long a wait is as things stand.
func (w *world) pause(x wait) time.Duration {
	v, h := w.check.newest(), w.hosts[x.host]
	p := w.scenario.policy
	if v != nil {
		p = v.Policy
	}
	share := func(d time.Duration) time.Duration { return time.Duration(x.share * float64(d)) }
	var at time.Time
	switch x.unit {
	case ofE:
		return share(p.ClockSkew)
	case ofD:
		return share(p.MaxStaleness)
	case ofM:
		return share(p.JWKSMaxAge)
	case ofT:
		return share(p.TokenTTL)
	case ofR:
		return share(p.RotationInterval)
	case tillFence:
		if h.server != nil && h.server.ring != nil {
			return share(p.ClockSkew) + p.MaxStaleness - h.server.ring.Status().Age
		}
	case tillDue:
		if v != nil {
			at = v.Next()
		}
	case tillReady:
		if v != nil {
			k, _ := v.Pending()
			at = k.ReadyAt
		}
	case tillExpired:
		if v != nil {
			for _, e := range v.Upcoming() {
				if e.Step == keys.StepExpire {
					at = e.At
					break
				}
			}
		}
	}
	if at.IsZero() {
		return 0
	}
	return min(max(0, h.until(at)), 3*p.RotationInterval) + share(p.ClockSkew)
}

// do carries an action out, if it can be done as things stand.
func (w *world) do(a action) {
	h := w.hosts[a.host]
	switch a.kind {
	case doNothing:
	case doServe:
		w.serve(h, a)
	case doCrash:
		if h.server != nil && !h.server.busy {
			h.server = nil
			w.seen["kills"]++
			w.logf("the server of host %d is killed", h.id)
		}
	case doTick:
		for _, h := range w.hosts {
			if !h.cut {
				w.do(action{kind: doStep, host: h.id, faults: a.faults})
			}
		}
	case doRefresh, doStep, doRotate, doRevoke, doPolicy, doImport:
		w.operate(h, a)
	case doMint:
		w.mint(h, a)
	case doCut, doMend:
		if a.kind == doCut && !h.cut {
			w.seen["cuts"]++
		}
		h.cut = a.kind == doCut
		w.logf("host %d: %s", h.id, a.kind)
	case doLean:
		if h.server == nil || !h.server.busy { // no clock of a write on its way: its deadline is the writer's time
			h.lean = a.by
			if a.by == 1 || a.by == -1 {
				w.seen["clocks at the ends of their share"]++
			}
			w.logf("host %d: the clock now leans %.2f", h.id, h.lean)
		}
	case doJump:
		w.jump(h, time.Duration(a.by*float64(time.Second)))
	case doCorrupt:
		w.corrupt(a)
	}
}

func (w *world) serve(h *host, a action) {
	if h.server != nil {
		return
	}
	w.trustClock(h, false)
	h.server = w.newProcess(h, fmt.Sprintf("server %d", h.id))
	if err := h.server.open(a, true); err != nil {
		h.server = nil
		return
	}
	if h.ran {
		w.seen["restarts"]++
	}
	h.ran = true
}

// mint has a process open the keyset, and sign by it a while later.
func (w *world) mint(h *host, a action) {
	w.trustClock(h, false)
	p := w.newProcess(h, fmt.Sprintf("minter %d on host %d", w.orders, h.id))
	if err := p.open(a, false); err != nil {
		return
	}
	_ = p.operate(action{kind: doMint, host: h.id}, func(context.Context) error {
		p.sleep(time.Duration(a.by * float64(p.ring.Keyset().Policy.MaxStaleness)))
		w.check.process(p)
		w.seen["minters"]++
		return nil
	})
}

// trustClock sets a host's clock right before a process starts on it where
// nothing could tell that process that it is wrong: the store has no clock. A
// command still sees that the keyset was changed in its future, if it does not
// take so long that this passes.
func (w *world) trustClock(h *host, command bool) {
	v := w.check.newest()
	seen := command && v != nil && v.ChangedAt.Sub(h.wall()) > 15*v.Policy.ClockSkew
	if w.store.clock == nil && !seen {
		h.setRight()
	}
}

// operate has a server, or a command, do what the action says.
func (w *world) operate(h *host, a action) {
	p := h.server
	if a.cli {
		w.trustClock(h, true)
		p = w.newProcess(h, fmt.Sprintf("command %d on host %d", w.orders, h.id))
		if err := p.open(action{kind: doNothing, host: h.id, faults: faults{load: a.load, half: a.half}}, false); err != nil {
			return
		}
	}
	if p == nil || p.ring == nil || p.busy {
		return
	}
	before := *w.check.newest()
	from := p.ring.Keyset().Active().KeyID() // what the order says of itself, in its own words
	kid := from
	var key jwk.PrivateKey
	if a.kind == doRevoke {
		kid = w.pick(a)
	}
	if a.kind == doImport {
		imported, err := w.foreign(a)
		if err != nil {
			return
		}
		key, kid = imported, imported.KeyID()
	}
	if a.kind == doPolicy {
		w.check.lowerLeeway(a.to.Leeway)
		w.lowerSkew(a.to.ClockSkew)
	}
	err := p.operate(a, func(ctx context.Context) error {
		switch a.kind {
		case doStep:
			return p.ring.Step(ctx)
		case doRotate:
			return p.ring.Rotate(ctx, keys.StepRequest{Reason: "asked for", Force: a.force})
		case doRevoke:
			return p.ring.Revoke(ctx, kid, keys.StepRequest{Reason: "stolen", Force: a.force})
		case doPolicy:
			_, err := p.ring.SetPolicy(ctx, a.to)
			return err
		case doImport:
			return p.ring.Import(ctx, key)
		default:
			return p.ring.Refresh(ctx)
		}
	})
	if r, ok := errors.AsType[*keys.Refusal](err); ok {
		w.seen["refused: "+string(r.Guard)]++
	}
	if a.kind.writes() && a.kind != doStep {
		w.check.done(p, p.doing, before, kid, err)
	}
}

// pick chooses a key to revoke or to corrupt: the active one, the pending one,
// or any.
func (w *world) pick(a action) string {
	v := w.check.newest()
	if p, ok := v.Pending(); ok && a.pick%4 == 1 {
		return p.KeyID()
	}
	if a.pick%4 == 0 {
		return v.Active().KeyID()
	}
	return w.check.order[a.pick%len(w.check.order)].KeyID()
}

// foreign is a key to import: a new one, or one that the keyset knows.
func (w *world) foreign(a action) (jwk.PrivateKey, error) {
	if a.pick%2 == 0 {
		return w.keys.take(jwk.EdDSA)
	}
	kid := w.pick(a)
	all := slices.Concat(w.keys.eddsa, w.keys.es256)
	return all[slices.IndexFunc(all, func(k jwk.PrivateKey) bool { return k.KeyID() == kid })], nil
}

// settle is the longest that a jump of a host's clock may last where the store
// has no clock: after that, the watch takes the clock's word.
func settle(ks keys.Keyset) time.Duration {
	p := ks.Policy
	return max(p.MaxStaleness+2*p.JWKSMaxAge+p.TokenTTL+p.Leeway+2*p.ClockSkew,
		ks.DocsUntil.Sub(ks.ChangedAt), ks.TokensUntil.Add(p.Leeway).Sub(ks.ChangedAt))
}

// jump moves a clock by so much that the fence must notice, and once more.
func (w *world) jump(h *host, by time.Duration) {
	v := w.check.newest()
	switch {
	case v == nil || (h.server != nil && h.server.busy):
		return
	case by == 0:
		if h.mend == 0 || h.lean >= 0 { // some are left to their time
			h.setRight()
		}
		return
	}
	least := 2 * max(v.Policy.ClockSkew, w.scenario.policy.ClockSkew, w.highestSkew())
	if by < 0 {
		least = -least
	}
	if h.jump != 0 {
		if (by + least - h.jump).Abs() < least.Abs() {
			return
		}
		w.seen["second jumps"]++
	}
	h.jump = by + least
	if w.store.clock == nil {
		h.mend = w.now + settle(v.Keyset)
		if h.server != nil && h.server.ring != nil {
			h.mend = w.now + settle(h.server.ring.Keyset())
		}
	}
	w.seen["jumps of a clock"]++
	w.logf("host %d: the clock jumps by %v", h.id, h.jump)
}

// highestSkew is the largest clock_skew that any process may go by.
func (w *world) highestSkew() (e time.Duration) {
	for _, v := range w.check.versions {
		e = max(e, v.Policy.ClockSkew)
	}
	return e
}

// corrupt garbles a private half in the store, or deletes it.
func (w *world) corrupt(a action) {
	if w.check.newest() == nil {
		return
	}
	kid := w.pick(a)
	if w.store.halves[kid] == nil {
		return
	}
	w.check.corrupted[kid] = true
	if a.force {
		delete(w.store.halves, kid)
	} else {
		w.store.halves[kid] = []byte("garbled")
	}
	w.logf("the private half of %s is lost", w.check.lives[kid])
}

func isRefusal(err error) bool {
	_, ok := errors.AsType[*keys.Refusal](err)
	return ok
}
