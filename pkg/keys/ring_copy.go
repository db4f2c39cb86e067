package keys

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// copyTimeout limits the part of a copy that is not interrupted. It is two swaps and the
// reads that check them.
const copyTimeout = time.Minute

// Copy moves the keyset of one store to another store, which must be empty. It needs no
// sealing key. The processes that use the old store change nothing any more, and go on
// for max_staleness. target is the name of the other store, which they report.
//
// If a copy is interrupted, the same copy goes on where that one ended. The result is the
// keyset in the new store.
func Copy(ctx context.Context, from, to Options, target string) (Keyset, error) {
	source, dest := newRing(from), newRing(to)
	for range maxAttempts {
		b, err := source.readBackup(ctx, func(r *Ring, ctx context.Context) (*view, error) { return r.loadToCopy(ctx, target) })
		if err != nil {
			return Keyset{}, fmt.Errorf("the store to copy from: %w", err)
		}
		if err := b.keyset.checkEngine(dest.store, "run %s once on the store to copy from, and copy again"); err != nil {
			return Keyset{}, fmt.Errorf("the store to copy to: %w", err)
		}
		// What this machine has seen before dest is read was there already.
		lost := checkNotLost(ctx, source, dest, b.keyset)
		v, err := dest.findCopy(ctx, b.keyset)
		if err != nil {
			return Keyset{}, fmt.Errorf("the store to copy to: %w", err)
		}
		if v == nil && lost != nil {
			return Keyset{}, lost
		}
		if v == nil {
			v, err = source.move(ctx, dest, b, target)
		}
		if err == nil { // this machine refuses the old store also if a backup without the mark is restored there
			source.recordInWitness(ctx, v)
			dest.recordInWitness(ctx, v)
			return v.ks, nil
		}
		if !errors.Is(err, errChangedDuringRead) {
			return Keyset{}, err
		}
	}
	return Keyset{}, fmt.Errorf("%w: %w", ErrUnavailable, errChangedDuringRead)
}

// loadToCopy reads the document. It may be marked by an earlier copy to the same target.
func (r *Ring) loadToCopy(ctx context.Context, target string) (*view, error) {
	v, err := r.loadDocument(ctx)
	switch {
	case err != nil || v.ks.MovedTo == "":
		return r.loadChecked(ctx)
	case v.ks.MovedTo != target:
		return nil, &Refusal{Guard: GuardMoved, Text: fmt.Sprintf("its keyset was moved to %s: copy from there; "+
			"if that copy was interrupted, finish it with the same command, or undo it with --undo", v.ks.MovedTo)}
	}
	return v, nil
}

// findCopy returns what an earlier copy of ks has brought here, and nil if the store is
// empty. It refuses any other keyset.
func (r *Ring) findCopy(ctx context.Context, ks Keyset) (*view, error) {
	v, err := r.loadUsable(ctx)
	switch {
	case errors.Is(err, ErrNoKeyset):
		return nil, nil
	case errors.Is(err, ErrUnavailable):
		return nil, err
	case err == nil && ks.MovedTo != "" && v.ks.ID == ks.ID && v.ks.Epoch > ks.Epoch:
		return v, nil
	}
	return nil, errOccupied()
}

// checkNotLost refuses to copy a keyset again, or to undo the copy, if this machine has
// seen a version in the target, which is empty now. A key that was revoked there would
// come back.
func checkNotLost(ctx context.Context, source, dest *Ring, ks Keyset) error {
	if ks.MovedTo == "" {
		return nil
	}
	for _, r := range []*Ring{source, dest} {
		seen, _, err := loadWitness(r.witness, &view{ks: ks})
		switch {
		case errors.Is(err, ErrWitness):
			return err
		case err != nil:
			r.witnessFailed(ctx, err)
		case seen.ID == ks.ID && ks.older(seen):
			return &Refusal{Guard: GuardRestored, Text: fmt.Sprintf("%s has lost the keyset: this machine has seen version %d of it, and what was changed there, "+
				"such as a revocation, would come undone: restore a backup of that store with 'jwksctl store restore', "+
				"then run 'jwksctl keys accept-restore'", ks.MovedTo, seen.Version)}
		}
	}
	return nil
}

// move marks the keyset in the store of r as moved, and creates it in that of dest. It is
// not interrupted, because an interrupt in between would leave a keyset that no process
// can use.
//
// It marks the keyset again if an earlier copy has. Then an undo that has read the earlier
// mark fails, and one that reads this mark waits until the write to dest is too late.
func (r *Ring) move(ctx context.Context, dest *Ring, b Backup, target string) (*view, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), copyTimeout)
	defer cancel()
	marked := b.keyset.marked(target)
	deadline := r.deadline(marked)
	if err := r.replace(ctx, b.keyset, marked, deadline); err != nil {
		return nil, fmt.Errorf("the store to copy from: %w; run the same command again", err)
	}
	ks := marked.arrived()
	document, err := ks.encode()
	if err != nil {
		return nil, err
	}
	if err := dest.writeBackup(ctx, Backup{ks, document, b.privateKeys}, deadline); err != nil {
		return r.notCopied(ctx, dest, marked, err)
	}
	// Another command may have undone the copy meanwhile, if the write to dest landed late.
	switch v, err := r.loadDocument(ctx); {
	case err != nil:
		return nil, fmt.Errorf("%w: the store to copy from: %w; run the same command again", ErrUnavailable, err)
	case v.ks.MovedTo != target:
		return nil, fmt.Errorf("%w: the store to copy from: its keyset was changed: stop every server of the target and empty it", ErrUnavailable)
	}
	return &view{ks: ks, document: document}, nil
}

// notCopied removes the mark after a copy that failed, if dest certainly has no copy. It
// returns what failed, or the copy that another command has made at the same time.
func (r *Ring) notCopied(ctx context.Context, dest *Ring, marked Keyset, failed error) (*view, error) {
	failed = fmt.Errorf("the store to copy to: %w", failed)
	if errors.Is(failed, errNotWritten) {
		found, err := dest.findCopy(ctx, marked)
		if found != nil {
			return found, nil
		}
		if !errors.Is(err, ErrUnavailable) && r.replace(ctx, marked, marked.marked(""), r.deadline(marked)) == nil {
			return nil, fmt.Errorf("%w; the store to copy from is in use as before", failed)
		}
	}
	return nil, fmt.Errorf("%w; the keyset is marked as moved, and its servers stop within max_staleness (%v): "+
		"run the same command again to finish the copy, or undo it with --undo", failed, marked.Policy.MaxStaleness)
}

// deadline is that of a write which is decided now.
func (r *Ring) deadline(ks Keyset) time.Time {
	return r.clock.readUnchecked().wall.Add(ks.Policy.ClockSkew / 2)
}

// replace swaps a document that has no new private keys and no new stamps.
func (r *Ring) replace(ctx context.Context, ks, next Keyset, deadline time.Time) error {
	document, err := next.encode()
	if err != nil {
		return err
	}
	err = r.commit(ctx, Change{Version: ks.Version, Document: document, Deadline: deadline})
	switch {
	case errors.Is(err, ErrConflict):
		return fmt.Errorf("%w: %w", errChangedDuringRead, err)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// UndoCopy removes the mark that a copy has left in a store, if the target of that copy
// is empty. The processes that use the store go on.
func UndoCopy(ctx context.Context, from, to Options, target string) error {
	source, dest := newRing(from), newRing(to)
	v, err := source.loadDocument(ctx)
	if err != nil {
		return fmt.Errorf("the store to copy from: %w", err)
	}
	refuse := func(text string) error { return &Refusal{Guard: GuardMoved, Text: text} }
	switch v.ks.MovedTo {
	case "":
		return refuse("no copy was begun: there is nothing to undo")
	case target:
	default:
		return refuse("the copy was to " + v.ks.MovedTo + ", not to " + target)
	}
	// What this machine has seen before dest is read was there already.
	lost := checkNotLost(ctx, source, dest, v.ks)
	for _, wait := range []time.Duration{0, v.ks.Policy.ClockSkew} { // no write of that copy lands later than that
		sleep(ctx, wait)
		other, err := dest.loadDocument(ctx)
		switch {
		case errors.Is(err, ErrNoKeyset), err == nil && other.ks.ID != v.ks.ID:
			if lost != nil {
				return lost
			}
		case err == nil:
			return refuse("the copy is complete: use " + target)
		default:
			return fmt.Errorf("the store to copy to: %w", err)
		}
	}
	if err := source.replace(ctx, v.ks, v.ks.marked(""), source.deadline(v.ks)); err != nil {
		return fmt.Errorf("%w: the store to copy from: %w; run the same command again", ErrUnavailable, err)
	}
	return nil
}
