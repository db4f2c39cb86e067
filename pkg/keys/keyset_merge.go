package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// AcceptRestore goes on with a store that was restored from a backup: with what
// the witness has kept, so that what has left stays away. A key whose private
// half the backup lacks cannot sign: a pending one is replaced, an active one
// stays unreadable, and a rotation is the way out.
//
// It is no error if there is nothing to accept.
func AcceptRestore(ctx context.Context, o Options) (*Ring, error) {
	r := newRing(o)
	var err error
	for range attempts { // a process that believes the restored store may go on with it meanwhile
		err = r.acceptOnce(ctx)
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrTooLate) && !errors.Is(err, errMoved) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return r, r.Refresh(ctx)
}

func (r *Ring) acceptOnce(ctx context.Context) error {
	restored, err := Read(ctx, r.store, nil)
	if err != nil {
		return err
	}
	seen, ok, err := testimony(r.witness, restored.ID)
	if err != nil || !ok || restored.forgets(seen) == nil {
		return err
	}
	return r.accept(ctx, restored, seen)
}

// accept commits the merged document over the restored one.
func (r *Ring) accept(ctx context.Context, restored, seen Keyset) error {
	known := view{ks: seen}
	known.ks.Version = restored.Version // what is looked for lies in the store as it was restored
	switch err := r.openHalves(ctx, &known, nil); {
	case errors.Is(err, errMoved):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case err != nil:
		return err
	}
	fresh, err := r.spare.take(seen.Policy, r.generate)
	if err != nil {
		return err
	}
	r.watch.obey(seen)
	now := r.watch.read()
	for _, ks := range []Keyset{restored, seen} {
		if refusal := r.watch.trouble(now, ks, sighting{}); refusal != nil {
			return refusal
		}
	}
	next, effect := restored.merge(seen, now.wall, StepInput{Fresh: fresh.Public(), Opened: known.openedHalf})
	if err := r.swap(ctx, restored, next, effect, map[string]jwk.PrivateKey{fresh.KeyID(): fresh}, now); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	r.committed(ctx, effect)
	return nil
}

// merge is the keyset that continues both a restored document and the newer one
// that was seen before. What was seen decides what is live; what is gone in
// either is gone, unless it left one unused and signed in the other; a key that
// signed in either stays for the tokens of both.
func (ks Keyset) merge(seen Keyset, now time.Time, m StepInput) (Keyset, Effect) {
	d := seen.draft(now)
	d.ks.Epoch, d.ks.Version = max(ks.Epoch, seen.Epoch)+1, ks.Version
	d.ks.ChangedAt = latest(ks.ChangedAt, seen.ChangedAt)
	d.ks.ActsUntil = latest(latest(ks.ActsUntil, seen.ActsUntil), now.Add(ks.Policy.MaxStaleness+ks.Policy.ClockSkew))
	d.ks.DocsUntil = latest(latest(ks.DocsUntil, seen.DocsUntil), d.ks.ActsUntil.Add(2*ks.Policy.JWKSMaxAge))
	d.ks.TokensUntil = latest(latest(ks.TokensUntil, seen.TokensUntil), d.ks.ActsUntil.Add(ks.Policy.TokenTTL+ks.Policy.ClockSkew))
	for _, k := range slices.Concat(ks.specimens(), seen.specimens()) {
		d.effect.Delete = append(d.effect.Delete, k.KeyID()) // a new one is quickly made
	}
	d.ks.Specimen = nil
	for _, k := range ks.History { // first, so that the successor of the restored line is the one that takes over
		d.recall(k, m)
	}
	for _, k := range ks.Keys {
		d.reconcile(k)
	}
	d.trim()
	d.readyPending(m)
	d.record(StepAcceptRestore, "")
	return d.done()
}

// recall takes in a key that is gone in the restored document.
func (d *draft) recall(gone Key, m StepInput) {
	kid := gone.KeyID()
	known := slices.IndexFunc(d.ks.History, func(k Key) bool { return k.KeyID() == kid })
	switch {
	case d.at(kid) != nil && gone.unused():
	case d.at(kid) != nil:
		if kid == d.ks.Active().KeyID() {
			_ = d.takeOver(&m, StepRequest{Force: true}, d.activate) // forced, and with a fresh key: it cannot be refused
		}
		*d.at(kid) = gone
		d.bury(kid) // its half went when it left there
	case known < 0:
		d.ks.History = append(d.ks.History, gone)
	case d.ks.History[known].RevokedAt.IsZero() && !gone.RevokedAt.IsZero():
		d.ks.History[known] = gone
	}
}

// reconcile takes in a key that is live in the restored document.
func (d *draft) reconcile(k Key) {
	kid, signed := k.KeyID(), !k.ActiveAt.IsZero()
	known := d.at(kid)
	if known != nil && known.RetiredAt.IsZero() && (!known.ActiveAt.IsZero() || !signed) {
		return // it signs, or will
	}
	d.effect.Delete = append(d.effect.Delete, kid)
	if known == nil {
		gone := slices.IndexFunc(d.ks.History, func(h Key) bool { return h.KeyID() == kid })
		if gone >= 0 && (!signed || !d.ks.History[gone].unused()) {
			return // it has left
		}
		if gone >= 0 {
			d.ks.History = slices.Delete(d.ks.History, gone, gone+1)
		}
		d.ks.Keys = append(d.ks.Keys, k)
		if !signed {
			d.discard(kid, "only the restored store had it")
			return
		}
		known = d.at(kid)
	}
	was := *known
	if signed && k.RetiredAt.IsZero() { // until now
		d.retire(kid)
		k.RetiredAt, k.ExpiresAt = known.RetiredAt, known.ExpiresAt
	}
	known.ActiveAt = earliest(was.ActiveAt, k.ActiveAt)
	known.RetiredAt = latest(was.RetiredAt, k.RetiredAt)
	known.ExpiresAt = latest(was.ExpiresAt, k.ExpiresAt)
	if known.DestroyedAt.IsZero() {
		known.DestroyedAt = d.now
	}
}

// readyPending sees to the next key: one that cannot be opened is replaced, and
// one that can waits at the gate once more, since whoever acted on the backup
// did not publish it.
func (d *draft) readyPending(m StepInput) {
	if p, ok := d.ks.Pending(); ok && m.openable(p) != nil {
		d.discard(p.KeyID(), "its private half is not in the backup")
	}
	if p, ok := d.ks.Pending(); ok {
		k := d.at(p.KeyID())
		k.ReadyAt = latest(k.ReadyAt, d.readyAt())
		return
	}
	if m.Fresh.KeyID() != "" && !d.ks.holds(m.Fresh.KeyID()) {
		d.publish(m.Fresh)
	}
}
