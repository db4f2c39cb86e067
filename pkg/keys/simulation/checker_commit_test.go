package simulation

import (
	"errors"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// checkCommit checks and records a new version when it is committed.
func (c *checker) checkCommit(by *process, operation action, ks keys.Keyset, change keys.Change) {
	w, was := c.world, c.newest()
	if ks.Version != uint64(len(c.versions))+1 {
		w.violate(identity, "%s commits version %d after %d", by.name, ks.Version, len(c.versions))
	}
	c.checkCorrection(by, was, ks, change)
	c.checkKeys(by, ks, change)
	this := version{Keyset: ks}
	if was != nil {
		if this.policyChanges = was.policyChanges; was.Policy != ks.Policy {
			this.policyChanges++
		}
	}
	c.versions = append(c.versions, this)
	if was != nil {
		c.checkDocumentStamps(by, *was, ks)
		c.checkActivation(by, operation, *was, ks, change)
	}
	if _, ok := ks.Pending(); !ok && was == nil {
		w.violate(successor, "%s creates a keyset without a pending key", by.name)
	}
	c.checkRemovals(by, was, ks, change)
	c.checkPrivateKeys(by, ks)
	c.checkSealing(by, was, ks)
	c.policyChanged(was, ks)
}

// checkKeys checks and records the keys of a new version: invariants 2 and 6, the stamps
// and the specimen.
func (c *checker) checkKeys(by *process, ks keys.Keyset, change keys.Change) {
	w := c.world
	active, pending := 0, 0
	for _, key := range ks.Keys {
		kid := key.KeyID()
		k, ok := c.tracked[kid]
		if !ok {
			if change.Put[kid] == nil {
				w.violate(unreadableKeys, "%s publishes a key without storing its private key", by.name)
			}
			k = &trackedKey{index: len(c.inOrder)}
			c.tracked[kid] = k
			c.inOrder = append(c.inOrder, k)
		}
		if k.removed {
			w.violate(identity, "%s publishes %s again, which was removed", by.name, k)
		}
		c.checkStamps(by, k, key)
		k.Key = key
		switch {
		case !key.RevokedAt.IsZero():
			w.violate(revocation, "%s leaves the revoked %s in the JWK Set", by.name, k)
		case !key.RetiredAt.IsZero():
		case !key.ActiveAt.IsZero():
			active++
		default:
			pending++
		}
	}
	if active != 1 || pending > 1 {
		w.violate(oneActive, "version %d has %d active and %d pending keys", ks.Version, active, pending)
	}
	for _, key := range ks.History {
		if k, ok := c.tracked[key.KeyID()]; ok {
			c.checkStamps(by, k, key)
			k.Key = key
		}
	}
	if s := ks.Specimen; s != nil && c.tracked[s.KeyID()] != nil {
		w.violate(specimenOnly, "version %d publishes the specimen", ks.Version)
	}
}

// checkStamps checks that the stamps of a key are written once. The correction of a late
// landing may move those that fall due.
func (c *checker) checkStamps(by *process, k *trackedKey, now keys.Key) {
	for _, stamp := range []struct {
		name     string
		was, now time.Time
		moves    time.Duration // by how long it may move, at most
	}{
		{"created_at", k.CreatedAt, now.CreatedAt, 0},
		{"ready_at", k.ReadyAt, now.ReadyAt, c.moves},
		{"active_at", k.ActiveAt, now.ActiveAt, 0},
		{"retired_at", k.RetiredAt, now.RetiredAt, 0},
		{"destroy_at", k.DestroyAt, now.DestroyAt, c.moves},
		{"destroyed_at", k.DestroyedAt, now.DestroyedAt, 0},
		{"expires_at", k.ExpiresAt, now.ExpiresAt, c.moves},
		{"revoked_at", k.RevokedAt, now.RevokedAt, 0},
	} {
		moved := stamp.now.Sub(stamp.was)
		if !stamp.was.IsZero() && (moved < 0 || moved > stamp.moves) {
			c.world.violate(stamps, "%s moves %s of %s from %v to %v", by.name, stamp.name, k, since(stamp.was), since(stamp.now))
		}
	}
}

// checkDocumentStamps checks that the stamps of the document move to later times only.
func (c *checker) checkDocumentStamps(by *process, was version, ks keys.Keyset) {
	if ks.ActsUntil.Before(was.ActsUntil) || ks.DocsUntil.Before(was.DocsUntil) || ks.TokensUntil.Before(was.TokensUntil) || ks.ChangedAt.Before(was.ChangedAt) {
		c.world.violate(stamps, "%s moves a stamp of the document to an earlier time", by.name)
	}
}

// checkActivation checks a change of the active key: invariants 3 and 10, the rotation
// interval, and that no operation rotates twice.
func (c *checker) checkActivation(by *process, operation action, was version, ks keys.Keyset, change keys.Change) {
	w := c.world
	old, now := c.tracked[was.Active().KeyID()], c.tracked[ks.Active().KeyID()]
	if p, ok := was.Pending(); ok {
		c.checkReplacedPending(by, operation, was, ks, c.tracked[p.KeyID()])
	}
	if old == now {
		return
	}
	old.active, old.deactivatedAt, now.active = false, w.now, true
	c.activations[operation.operation]++
	switch kid := now.KeyID(); {
	case c.activations[operation.operation] > 1 && operation.kind == doRotate:
		w.violate(intent, "%s rotates twice in one operation", by.name)
	case now.Forced && !operation.force:
		w.violate(gate, "%s forces %s to be active without --force", by.name, now)
	case now.ActiveAt.Before(now.ReadyAt) && !now.Forced:
		w.violate(gate, "%s activates %s at %v, before its ready_at %v", by.name, now, since(now.ActiveAt), since(now.ReadyAt))
	case !by.privateKeys[kid] && change.Put[kid] == nil:
		w.violate(unreadableKeys, "%s activates %s, whose private key it could not open", by.name, now)
	case operation.kind == doStep && now.ActiveAt.Before(old.ActiveAt.Add(was.Policy.RotationInterval)):
		w.violate(interval, "the schedule of %s activates %s after %v; R is %v", by.name, now, now.ActiveAt.Sub(old.ActiveAt), was.Policy.RotationInterval)
	}
	if _, ok := ks.Pending(); !ok && operation.kind != doRevoke && !now.Forced {
		w.violate(successor, "%s activates %s and does not publish a new pending key in the same commit", by.name, now)
	}
	c.countActivation(operation.kind, now)
}

func (c *checker) countActivation(by kind, now *trackedKey) {
	count := c.world.counters
	if now.Forced {
		count["forced steps"]++
	}
	count["rotations"]++
	switch {
	case by == doStep:
		count["timed rotations"]++
	case by == doRotate && c.activatedBy == doRotate:
		count["two commands to rotate in a row"]++
	}
	c.activatedBy = by
}

// checkReplacedPending checks that a pending key is replaced only by a revocation, an
// import, a forced step or a change of the algorithm.
func (c *checker) checkReplacedPending(by *process, operation action, was version, ks keys.Keyset, pending *trackedKey) {
	if indexOf(ks.Keys, pending.KeyID()) >= 0 {
		return
	}
	if pending.RevokedAt.IsZero() && was.Policy.Algorithm == ks.Policy.Algorithm && !operation.force && operation.kind != doImport {
		c.world.violate(unreadableKeys, "%s replaces the pending %s without a request", by.name, pending)
	}
}

// checkRemovals checks and records the keys that left the JWK Set: invariants 4 and 5.
func (c *checker) checkRemovals(by *process, was *version, ks keys.Keyset, change keys.Change) {
	w := c.world
	if len(c.versions) == 1 {
		c.tracked[ks.Active().KeyID()].active = true
	}
	for _, k := range c.inOrder {
		if k.removed && k.revoked == !k.RevokedAt.IsZero() {
			continue
		}
		k.removed = indexOf(ks.Keys, k.KeyID()) < 0
		switch {
		case !k.removed:
		case !k.RevokedAt.IsZero():
			b := ks.RevocationBounds(c.revokedAt(k, change))
			late := w.store.lateBy // the bounds that an operator is told assume that the revocation lands in time
			k.revoked, k.bounds = true, revocationBounds{since(b.Served) + late, since(b.Cached) + late, since(b.CachedWithNoAge) + late}
			if was != nil {
				w.counters["revocations of "+string(w.stateIn(was.Keyset, k.KeyID()))+" keys"]++
			}
		case c.tokensValid(k):
			w.violate(noEarlyRemoval, "%s removes %s, whose tokens are valid until %v", by.name, k, k.tokensEnd+c.leeway)
		}
	}
}

// revokedAt returns the time from which the bounds of a revocation count: the stamp, or
// the true time if the process could not trust its clock, which the operator is told.
// Such a revocation has no deadline.
func (c *checker) revokedAt(k *trackedKey, change keys.Change) time.Time {
	if now := epoch.Add(c.world.now); change.Deadline.IsZero() {
		c.world.counters["revocations by a wrong clock"]++
		if now.After(k.RevokedAt) {
			return now
		}
	}
	return k.RevokedAt
}

// stateIn returns the present state of a key in a keyset.
func (w *world) stateIn(ks keys.Keyset, kid string) keys.State {
	now := epoch.Add(w.now)
	all := ks.Sorted(now)
	if i := indexOf(all, kid); i >= 0 {
		return all[i].State(now)
	}
	return ""
}

// checkPrivateKeys checks that the store has the private keys of the keys that may sign,
// and not those of revoked, removed and destroyed ones.
func (c *checker) checkPrivateKeys(by *process, ks keys.Keyset) {
	w := c.world
	for _, k := range c.inOrder {
		kid := k.KeyID()
		stored := w.store.privateKeys[kid] != nil
		switch {
		case stored && (k.revoked || k.removed || !k.DestroyedAt.IsZero()):
			w.violate(storedKeys, "%s leaves the private key of %s in the store, although that key has been revoked, removed or destroyed", by.name, k)
		case !stored && !k.removed && k.DestroyedAt.IsZero() && !c.damaged[kid]:
			w.violate(storedKeys, "%s deletes the private key of %s without setting destroyed_at", by.name, k)
		}
	}
	if n := len(ks.History); n > 64 {
		w.violate(keyLimit, "version %d has %d keys in its history", ks.Version, n)
	}
}

// policyChanged records the leeway and the clock_skew of a new version, and from when
// verifiers and clocks may use them.
func (c *checker) policyChanged(was *version, ks keys.Keyset) {
	c.lowerLeeway(ks.Policy.Leeway) // again, because two changes may have crossed
	c.world.lowerClockSkew(ks.Policy.ClockSkew)
	if l := ks.Policy.Leeway; l > c.leeway && l != c.nextLeeway {
		c.nextLeeway, c.leewayFrom = l, since(ks.LeewayValidFrom(ks.ChangedAt))
	}
	if c.moves > 0 && c.nextLeeway > c.leeway { // what an operator was told assumes that no rotation landed late
		c.leewayFrom = max(c.leewayFrom, since(ks.LeewayValidFrom(ks.ChangedAt)))
	}
	if was == nil || (was.Policy == ks.Policy && c.moves == 0) {
		return
	}
	if was.Policy != ks.Policy {
		c.world.counters.policyChange(was.Policy, ks.Policy)
		c.clockSkew, c.clockSkewFrom = ks.Policy.ClockSkew, c.world.now
	}
	for _, k := range ks.Keys {
		c.clockSkewFrom = max(c.clockSkewFrom, since(k.ReadyAt), since(k.ExpiresAt))
	}
	c.clockSkewFrom = max(c.clockSkewFrom, since(ks.ActsUntil), since(ks.DocsUntil), since(ks.TokensUntil.Add(ks.Policy.Leeway))) + ks.Policy.ClockSkew
	for _, h := range c.world.hosts {
		if h.clockJump.Abs() < 2*ks.Policy.ClockSkew { // under the new policy a process need not notice the jump
			h.repairClock()
		}
	}
}

// checkError checks that no operation fails because it made an invalid document.
func (c *checker) checkError(p *process, err error) {
	if err != nil && strings.Contains(err.Error(), "broken keyset") {
		c.world.violate(validDocument, "%s makes an invalid document: %v", p.name, err)
	}
}

// checkResult checks what a command reports. Success means that a version since before
// contains its effect; a refusal means that it changed nothing.
func (c *checker) checkResult(p *process, before uint64, kid string, err error) {
	w, a := c.world, p.operation
	if a.kind == doSeal {
		c.checkSealed(p, kid, err)
		return
	}
	if err != nil {
		if isRefusal(err) && c.activations[a.operation] > 0 {
			w.violate(intent, "%s reports a refusal (%v), although it activated a key", p.name, err)
		}
		return
	}
	switch a.kind {
	case doRotate:
		if c.newest().Active().KeyID() == kid {
			w.violate(intent, "%s reports a rotation that did not happen", p.name)
		}
	case doRevoke:
		if !c.tracked[kid].revoked {
			w.violate(revocation, "%s reports a revocation that did not happen", p.name)
		}
	case doImport:
		w.counters["imports"]++
		if c.tracked[kid] == nil {
			w.violate(intent, "%s reports an import that did not happen", p.name)
		}
	case doSetPolicy:
		for _, v := range c.versions[before-1:] {
			if wanted, err := v.Policy.With(a.policy); err == nil && wanted == v.Policy {
				return
			}
		}
		w.violate(intent, "%s reports a policy that no version has", p.name)
	default:
	}
}

func isRefusal(err error) bool {
	_, ok := errors.AsType[*keys.Refusal](err)
	return ok
}
