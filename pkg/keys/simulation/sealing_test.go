package simulation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// The source of the sealing keys of a host is a list of names. An operator adds a new name
// to the sources of some hosts, has a process seal the private keys again, and removes the
// earlier names. A process knows the names as of its start, or of its last Reload.

// simSealer has the sealing keys of a process. It binds a private key to the name of a key
// and to its context, and does not encrypt it.
type simSealer struct{ *process }

func (s simSealer) Names() []string { return s.sealingKeys }

func (s simSealer) Reload(context.Context) error {
	s.host.world.counters["sources read again"]++
	s.sealingKeys = slices.Clone(s.host.sealingKeys)
	return nil
}

func (s simSealer) Source() string { return fmt.Sprintf("the source of host %d", s.host.id) }

func (s simSealer) Seal(name string, plain, context []byte) ([]byte, error) {
	if !slices.Contains(s.sealingKeys, name) {
		return nil, errors.New("there is no such sealing key")
	}
	return slices.Concat(sealedUnder(name), context, []byte{0}, plain), nil
}

func (s simSealer) Open(name string, sealed, context []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(sealed, slices.Concat(sealedUnder(name), context, []byte{0}))
	if !ok || !slices.Contains(s.sealingKeys, name) {
		return nil, errors.New("the sealed key is damaged, or sealed under another key")
	}
	return plain, nil
}

// sealedUnder is how every private key begins that is sealed under a key.
func sealedUnder(name string) []byte { return []byte(name + "\x00") }

// addSealingKey adds the name of a new sealing key to the sources of some hosts.
func (w *world) addSealingKey(a action) {
	w.sealingKeys++
	name := fmt.Sprintf("seal-%d", w.sealingKeys)
	for _, h := range w.hosts {
		if a.key&(1<<h.id) != 0 {
			h.sealingKeys = append(slices.Clone(h.sealingKeys), name)
			h.sourceChanges++
		}
	}
	w.logf("the sources of hosts %03b get the sealing key %s", a.key, name)
}

// removeSealingKeys removes the earlier names from every source, once the private keys are
// sealed under the newest one. A write that is under way may still move them to the newest
// one, and to no other.
func (w *world) removeSealingKeys() {
	v := w.checker.newest()
	if v == nil || v.SealingKey != fmt.Sprintf("seal-%d", w.sealingKeys) {
		return
	}
	for _, h := range w.hosts {
		h.sealingKeys = slices.DeleteFunc(slices.Clone(h.sealingKeys), func(name string) bool { return name != v.SealingKey })
		h.sourceChanges++
	}
	w.counters["sealing keys removed"]++
	w.logf("only %s is left in the sources", v.SealingKey)
}

// newestSealingKey is the name that an operator asks a host to seal under.
func (h *host) newestSealingKey() string {
	if len(h.sealingKeys) == 0 {
		return "none"
	}
	return h.sealingKeys[len(h.sealingKeys)-1]
}

// checkSealing checks that each private key in the store is sealed under the key that the
// new version names.
func (c *checker) checkSealing(by *process, was *version, ks keys.Keyset) {
	for kid, sealed := range c.world.store.privateKeys {
		if !c.damaged[kid] && !bytes.HasPrefix(sealed, sealedUnder(ks.SealingKey)) {
			c.world.violate(sealing, "%s commits version %d with the sealing key %s, and the private key of %v is sealed under another one",
				by.name, ks.Version, ks.SealingKey, c.tracked[kid])
		}
	}
	if was != nil && was.SealingKey != ks.SealingKey {
		c.world.counters["rotations of the sealing key"]++
	}
}

// checkSealingError checks that a process which misses a sealing key has read its source
// again: since the operation began, its host had every key that a version named.
func (c *checker) checkSealingError(p *process, err error) {
	if !errors.Is(err, keys.ErrSealingKey) {
		return
	}
	c.world.counters["processes without the sealing key"]++
	if p.host.sourceChanges != p.began.sourceChanges {
		return
	}
	for _, v := range c.versions[max(1, p.began.versions)-1:] {
		if !slices.Contains(p.host.sealingKeys, v.SealingKey) {
			return
		}
	}
	c.world.violate(sealing, "%s misses a sealing key (%v), and its source has %v", p.name, err, p.host.sealingKeys)
}

// checkSealed checks what a command reports that was asked to seal the private keys again.
func (c *checker) checkSealed(p *process, name string, err error) {
	if r, ok := errors.AsType[*keys.Refusal](err); ok && r.Guard == keys.GuardUnreadable && len(c.damaged) == 0 {
		c.world.violate(unreadableKeys, "%s cannot open a private key, and all are intact: %v", p.name, err)
	}
	if from := p.began.sealingKey; err == nil && name != from && c.newest().SealingKey == from {
		c.world.violate(intent, "%s reports that the private keys are sealed under %s, and they are under %s as before", p.name, name, from)
	}
}

// replaceSealingKeys adds scenes in which the sealing key is replaced, among other scenes.
func (w *scenarioWriter) replaceSealingKeys() {
	for range 1 + w.IntN(3) {
		all := 1<<w.hosts - 1
		w.add(action{kind: doAddSealingKey, key: oneOf(w.random, all, all, all, 1+w.IntN(all)), wait: w.shortWait()})
		for range w.IntN(2) {
			w.scene()
		}
		slow := fault{before: oneOf(w.random, 0.3, 1, 2), after: oneOf(w.random, 0, 0.5)}
		for range w.IntN(3) { // processes that read the private keys while they are sealed again
			w.add(action{kind: oneOf(w.random, doMint, doServe), host: w.connectedHost(), faults: faults{load: []fault{slow}, privateKey: []fault{slow, slow, slow}}})
		}
		for range 1 + w.IntN(2) {
			at := len(w.out)
			w.write(action{kind: doSeal})
			if w.out[at].meanwhile = w.chance(0.8); w.chance(0.5) { // the next one may be first
				w.out[at].privateKey = []fault{slow, slow}
			}
		}
		for range w.IntN(3) {
			w.scene()
		}
		if w.chance(0.8) {
			w.add(action{kind: doRemoveSealingKeys, wait: w.shortWait()})
		}
		if w.chance(0.5) {
			w.write(action{kind: doRotate, wait: w.waitFor(untilReady, 0)})
		}
		for h := range w.hosts {
			w.add(action{kind: doServe, host: h})
		}
	}
}
