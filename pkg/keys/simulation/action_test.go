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

// action is one thing that happens in a world, after a wait. It does not refer to
// earlier actions, so a scenario stays meaningful when one of its actions is dropped.
// That is how a failing scenario is shortened.
type action struct {
	wait wait
	kind kind
	host int

	meanwhile bool // may happen while an earlier operation still runs

	cli       bool          // by a command, a process of its own that ends afterwards
	force     bool          // the operator's --force; for doDamage, whether to delete the key
	key       int           // selects the key to revoke, import or damage; see chooseKey; for doAddSealingKey, a bit set of hosts
	amount    float64       // for doMoveClock the new offset, for doJump seconds, for doMint a fraction of D
	policy    keys.Settings // for doSetPolicy
	operation int           // the number of the operation, set by the world
	faults
}

type kind int

const (
	doNothing kind = iota
	doServe        // start a server
	doKill         // end it
	doRefresh
	doStep
	doStepAll // every connected server takes its timed steps
	doRotate
	doRevoke
	doSetPolicy
	doImport
	doMint // a process of its own opens the keyset and signs later
	doDisconnect
	doReconnect
	doMoveClock // change the clock's offset within e/4
	doJump      // move the clock further, or correct it if amount is 0
	doDamage    // damage or delete a private key in the store
	doAddSealingKey
	doSeal // seal the private keys again, under the newest key in the host's source
	doRemoveSealingKeys
)

func (k kind) String() string {
	return [...]string{
		"nothing", "serve", "kill", "refresh", "step", "step on all hosts", "rotate", "revoke", "set policy", "import", "mint",
		"disconnect", "reconnect", "move clock", "clock jump", "damage a private key",
		"add a sealing key", "seal again", "remove sealing keys",
	}[k]
}

// writes reports whether an operation may change the keyset.
func (k kind) writes() bool {
	return k == doServe || k == doStep || k == doRotate || k == doRevoke || k == doSetPolicy || k == doImport || k == doSeal
}

func (a action) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s on host %d", a.kind, a.host)
	if a.force {
		b.WriteString(" --force")
	}
	if a.kind == doSetPolicy {
		fmt.Fprintf(&b, " %+v", a.policy)
	}
	for _, f := range []struct {
		call string
		fs   []fault
	}{{"Load", a.load}, {"PrivateKey", a.privateKey}, {"Swap", a.swap}} {
		if len(f.fs) > 0 {
			fmt.Fprintf(&b, ", %s: %v", f.call, f.fs)
		}
	}
	return b.String()
}

// wait is the time before an action: a multiple of a duration of the policy, or until
// something falls due by a host's clock and then a multiple of e.
type wait struct {
	unit   unit
	factor float64
	host   int
}

type unit int

const (
	ofE unit = iota
	ofD
	ofM
	ofT
	ofR
	untilDue     // the next timed step
	untilReady   // the pending key may sign
	untilExpired // the next retired key expires
	untilFence   // the host's server must stop
)

// duration returns how long a wait is in the present state of the world.
func (w *world) duration(x wait) time.Duration {
	v, h := w.checker.newest(), w.hosts[x.host]
	p := w.scenario.policy
	if v != nil {
		p = v.Policy
	}
	times := func(d time.Duration) time.Duration { return time.Duration(x.factor * float64(d)) }
	switch x.unit {
	case ofE:
		return times(p.ClockSkew)
	case ofD:
		return times(p.MaxStaleness)
	case ofM:
		return times(p.JWKSMaxAge)
	case ofT:
		return times(p.TokenTTL)
	case ofR:
		return times(p.RotationInterval)
	case untilFence:
		if h.server != nil && h.server.ring != nil {
			return times(p.ClockSkew) + p.MaxStaleness - h.server.ring.Status().Age
		}
	}
	at := v.dueAt(x.unit)
	if at.IsZero() {
		return 0
	}
	return min(max(0, h.until(at)), 3*p.RotationInterval) + times(p.ClockSkew)
}

// dueAt returns when the event of a unit falls due, the zero time for never.
func (v *version) dueAt(u unit) time.Time {
	switch {
	case v == nil:
	case u == untilDue:
		return v.Next()
	case u == untilReady:
		k, _ := v.Pending()
		return k.ReadyAt
	case u == untilExpired:
		for _, e := range v.Upcoming() {
			if e.Step == keys.StepExpire {
				return e.At
			}
		}
	}
	return time.Time{}
}

// do carries out an action if that is possible in the present state of the world.
func (w *world) do(a action) {
	h := w.hosts[a.host]
	switch a.kind {
	case doNothing:
	case doServe:
		w.serve(h, a)
	case doKill:
		if h.server != nil && !h.server.busy {
			h.server = nil
			w.counters["kills"]++
			w.logf("the server of host %d is killed", h.id)
		}
	case doStepAll:
		for _, h := range w.hosts {
			if !h.disconnected {
				w.do(action{kind: doStep, host: h.id, faults: a.faults})
			}
		}
	case doRefresh, doStep, doRotate, doRevoke, doSetPolicy, doImport, doSeal:
		w.operate(h, a)
	case doMint:
		w.mint(h, a)
	case doDisconnect, doReconnect:
		if a.kind == doDisconnect && !h.disconnected {
			w.counters["disconnects"]++
		}
		h.disconnected = a.kind == doDisconnect
		w.logf("host %d: %s", h.id, a.kind)
	case doMoveClock:
		if h.server == nil || !h.server.busy { // the deadline of a write is a time of the writer's clock
			h.clockOffset = a.amount
			if a.amount == 1 || a.amount == -1 {
				w.counters["clocks at their largest offset"]++
			}
			w.logf("host %d: the clock offset is now %.2f", h.id, h.clockOffset)
		}
	case doJump:
		w.jump(h, time.Duration(a.amount*float64(time.Second)))
	case doDamage:
		w.damage(a)
	case doAddSealingKey:
		w.addSealingKey(a)
	case doRemoveSealingKeys:
		w.removeSealingKeys()
	}
}

func (w *world) serve(h *host, a action) {
	if h.server != nil {
		return
	}
	w.repairUnnoticeable(h, false)
	h.server = w.newProcess(h, fmt.Sprintf("server %d", h.id))
	if err := h.server.open(a, true); err != nil {
		h.server = nil
		return
	}
	if h.hadServer {
		w.counters["restarts"]++
	}
	h.hadServer = true
}

// mint opens the keyset in a process of its own, which signs later.
func (w *world) mint(h *host, a action) {
	w.repairUnnoticeable(h, false)
	p := w.newProcess(h, fmt.Sprintf("minter %d on host %d", w.operation, h.id))
	if err := p.open(a, false); err != nil {
		return
	}
	_ = p.operate(action{kind: doMint, host: h.id}, func(context.Context) error {
		p.sleep(time.Duration(a.amount * float64(p.ring.Keyset().Policy.MaxStaleness)))
		w.checker.check(p)
		w.counters["minters"]++
		return nil
	})
}

// repairUnnoticeable corrects a host's clock before a process starts on it if the
// process could not notice that the clock is wrong, because the store has no clock. A
// command still notices that the keyset was changed far in the clock's future.
func (w *world) repairUnnoticeable(h *host, command bool) {
	v := w.checker.newest()
	noticeable := command && v != nil && v.ChangedAt.Sub(h.wallClock()) > 15*v.Policy.ClockSkew
	if w.store.clock == nil && !noticeable {
		h.repairClock()
	}
}

// operate runs the action in the host's server or in a command.
func (w *world) operate(h *host, a action) {
	p := h.server
	if a.cli {
		w.repairUnnoticeable(h, true)
		p = w.newProcess(h, fmt.Sprintf("command %d on host %d", w.operation, h.id))
		if err := p.open(action{kind: doNothing, host: h.id, faults: faults{load: a.load, privateKey: a.privateKey}}, false); err != nil {
			return
		}
	}
	if p == nil || p.ring == nil || p.busy {
		return
	}
	before := w.checker.newest().Version
	kid := p.ring.Keyset().Active().KeyID() // a rotation means: this key no longer active
	var key jwk.PrivateKey
	if a.kind == doRevoke {
		kid = w.chooseKey(a)
	}
	if a.kind == doImport {
		imported, err := w.keyToImport(a)
		if err != nil {
			return
		}
		key, kid = imported, imported.KeyID()
	}
	if a.kind == doSeal {
		kid = h.newestSealingKey()
	}
	if a.kind == doSetPolicy {
		w.checker.lowerLeeway(a.policy.Leeway)
		w.lowerClockSkew(a.policy.ClockSkew)
	}
	err := p.operate(a, func(ctx context.Context) error {
		switch a.kind {
		case doStep:
			return p.ring.Step(ctx)
		case doRotate:
			return p.ring.Rotate(ctx, keys.StepRequest{Reason: "asked for", Force: a.force})
		case doRevoke:
			return p.ring.Revoke(ctx, kid, keys.StepRequest{Reason: "stolen", Force: a.force})
		case doSetPolicy:
			_, err := p.ring.SetPolicy(ctx, a.policy)
			return err
		case doImport:
			return p.ring.Import(ctx, key)
		case doSeal:
			return p.ring.SetSealingKey(ctx, kid)
		default:
			return p.ring.Refresh(ctx)
		}
	})
	if r, ok := errors.AsType[*keys.Refusal](err); ok {
		w.counters["refused: "+string(r.Guard)]++
	}
	if a.kind.writes() && a.kind != doStep {
		w.checker.checkResult(p, before, kid, err)
	}
}

// chooseKey returns the kid of the active key, of the pending key, or of any key.
func (w *world) chooseKey(a action) string {
	v := w.checker.newest()
	if p, ok := v.Pending(); ok && a.key%4 == 1 {
		return p.KeyID()
	}
	if a.key%4 == 0 {
		return v.Active().KeyID()
	}
	return w.checker.inOrder[a.key%len(w.checker.inOrder)].KeyID()
}

// keyToImport returns a new key, or one that is or was in the keyset.
func (w *world) keyToImport(a action) (jwk.PrivateKey, error) {
	if a.key%2 == 0 {
		return w.keys.take(jwk.EdDSA)
	}
	kid := w.chooseKey(a)
	all := slices.Concat(w.keys.eddsa, w.keys.es256)
	return all[slices.IndexFunc(all, func(k jwk.PrivateKey) bool { return k.KeyID() == kid })], nil
}

// longestJump returns how long a host's clock may stay wrong if the store has no clock.
// After that time the Ring trusts the clock again.
func longestJump(ks keys.Keyset) time.Duration {
	p := ks.Policy
	return max(p.MaxStaleness+2*p.JWKSMaxAge+p.TokenTTL+p.Leeway+2*p.ClockSkew,
		ks.DocsUntil.Sub(ks.ChangedAt), ks.TokensUntil.Add(p.Leeway).Sub(ks.ChangedAt))
}

// jump moves a clock by so much that its process must notice it, also if the clock has
// already jumped. A jump by 0 corrects the clock.
func (w *world) jump(h *host, by time.Duration) {
	v := w.checker.newest()
	switch {
	case v == nil || (h.server != nil && h.server.busy):
		return
	case by == 0:
		if h.repairAt == 0 || h.clockOffset >= 0 { // the other clocks stay wrong until repairAt
			h.repairClock()
		}
		return
	}
	least := 2 * max(v.Policy.ClockSkew, w.scenario.policy.ClockSkew, w.highestClockSkew())
	if by < 0 {
		least = -least
	}
	if h.clockJump != 0 {
		if (by + least - h.clockJump).Abs() < least.Abs() {
			return
		}
		w.counters["second clock jumps"]++
	}
	h.clockJump = by + least
	if w.store.clock == nil {
		h.repairAt = w.now + longestJump(v.Keyset)
		if h.server != nil && h.server.ring != nil {
			h.repairAt = w.now + longestJump(h.server.ring.Keyset())
		}
	}
	w.counters["clock jumps"]++
	w.logf("host %d: the clock jumps and is now wrong by %v", h.id, h.clockJump)
}

// highestClockSkew returns the largest clock_skew that a process may still use.
func (w *world) highestClockSkew() (e time.Duration) {
	for _, v := range w.checker.versions {
		e = max(e, v.Policy.ClockSkew)
	}
	return e
}

// damage overwrites a private key in the store, or deletes it.
func (w *world) damage(a action) {
	if w.checker.newest() == nil {
		return
	}
	kid := w.chooseKey(a)
	if w.store.privateKeys[kid] == nil {
		return
	}
	w.checker.damaged[kid] = true
	if a.force {
		delete(w.store.privateKeys, kid)
	} else {
		w.store.privateKeys[kid] = []byte("damaged")
	}
	w.logf("the private key of %s is damaged", w.checker.tracked[kid])
}
