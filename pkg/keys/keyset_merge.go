package keys

import (
	"slices"
	"time"
)

// merge is the keyset that continues both ks, a document restored from a backup, and
// seen, the newer document that this machine saw before. The active and the pending
// key are those of seen. A key that has left either document is gone, unless it left
// one unused and signed in the other. A key that signed in either stays until the
// tokens of both have expired.
func (ks Keyset) merge(seen Keyset, now time.Time, in StepInput) (Keyset, Effect) {
	d := seen.draft(now)
	d.ks.Epoch, d.ks.Version = max(ks.Epoch, seen.Epoch)+1, ks.Version
	d.ks.Writes = ks.Writes                                                     // of the versions before this one
	d.ks.MovedTo = ""                                                           // the operator uses this store
	d.ks.SealingKey, d.ks.SealingKeyBefore = ks.SealingKey, ks.SealingKeyBefore // of the private keys in it
	d.ks.ClockEpoch = max(ks.ClockEpoch, seen.ClockEpoch)
	d.ks.ChangedAt = latest(ks.ChangedAt, seen.ChangedAt)
	d.ks.ActsUntil = latest(latest(ks.ActsUntil, seen.ActsUntil), now.Add(ks.Policy.MaxStaleness+ks.Policy.ClockSkew))
	d.ks.DocsUntil = latest(latest(ks.DocsUntil, seen.DocsUntil), d.ks.ActsUntil.Add(2*ks.Policy.JWKSMaxAge))
	d.ks.TokensUntil = latest(latest(ks.TokensUntil, seen.TokensUntil), d.ks.ActsUntil.Add(ks.Policy.TokenTTL+ks.Policy.ClockSkew))
	for _, k := range slices.Concat(ks.specimens(), seen.specimens()) {
		d.effect.Delete = append(d.effect.Delete, k.KeyID()) // the schedule creates a new one
	}
	d.ks.Specimen = nil
	for _, k := range ks.History { // before ks.Keys, so that a key that became active in ks can become active here
		d.mergeGone(k, in)
	}
	for _, k := range ks.Keys {
		d.mergePublished(k)
	}
	d.trimHistory()
	d.ensurePending(in)
	d.addEvent(StepAcceptRestore, "")
	return d.finish()
}

// mergeGone merges a key that has left the restored document.
func (d *draft) mergeGone(gone Key, in StepInput) {
	kid := gone.KeyID()
	known := slices.IndexFunc(d.ks.History, func(k Key) bool { return k.KeyID() == kid })
	switch {
	case d.key(kid) != nil && gone.unused():
	case d.key(kid) != nil:
		if kid == d.ks.Active().KeyID() {
			_ = d.takeOver(&in, StepRequest{Force: true}, d.activate) // cannot be refused: it is forced and has a new key
		}
		*d.key(kid) = gone
		d.moveToHistory(kid) // its private key was deleted when it left the restored document
	case known < 0:
		d.ks.History = append(d.ks.History, gone)
	case d.ks.History[known].RevokedAt.IsZero() && !gone.RevokedAt.IsZero():
		d.ks.History[known] = gone
	}
}

// mergePublished merges a key that the restored document publishes.
func (d *draft) mergePublished(k Key) {
	kid, signed := k.KeyID(), !k.ActiveAt.IsZero()
	known := d.key(kid)
	if known != nil && known.RetiredAt.IsZero() && (!known.ActiveAt.IsZero() || !signed) {
		return // it is active or pending here
	}
	d.effect.Delete = append(d.effect.Delete, kid)
	if known == nil {
		gone := slices.IndexFunc(d.ks.History, func(h Key) bool { return h.KeyID() == kid })
		if gone >= 0 && (!signed || !d.ks.History[gone].unused()) {
			return // it has left here
		}
		if gone >= 0 {
			d.ks.History = slices.Delete(d.ks.History, gone, gone+1)
		}
		d.ks.Keys = append(d.ks.Keys, k)
		if !signed {
			d.discard(kid, "only the restored store had it")
			return
		}
		known = d.key(kid)
	}
	old := *known
	if signed && k.RetiredAt.IsZero() { // it signed until now
		d.retire(kid)
		k.RetiredAt, k.ExpiresAt = known.RetiredAt, known.ExpiresAt
	}
	known.ActiveAt = earliest(old.ActiveAt, k.ActiveAt)
	known.RetiredAt = latest(old.RetiredAt, k.RetiredAt)
	known.ExpiresAt = latest(old.ExpiresAt, k.ExpiresAt)
	if known.DestroyedAt.IsZero() {
		known.DestroyedAt = d.now
	}
}

// ensurePending leaves a pending key that can be opened, or a new one. A pending key
// that stays waits at the gate once more, because a process that acted on the backup
// did not publish it.
func (d *draft) ensurePending(in StepInput) {
	if p, ok := d.ks.Pending(); ok && in.checkOpened(p) != nil {
		d.discard(p.KeyID(), "its private key is not in the backup")
	}
	if p, ok := d.ks.Pending(); ok {
		k := d.key(p.KeyID())
		k.ReadyAt = latest(k.ReadyAt, d.readyAt())
		return
	}
	if in.Fresh.KeyID() != "" && !d.ks.contains(in.Fresh.KeyID()) {
		d.publish(in.Fresh)
	}
}
