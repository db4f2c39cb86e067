package keys

import (
	"context"
	"fmt"
)

// documentID identifies one document.
type documentID struct {
	keyset         string
	epoch, version uint64
}

// loadWitness returns the keyset that the witness has under an id. ok is false if it
// has none.
func loadWitness(w Witness, id string) (seen Keyset, ok bool, err error) {
	if w == nil {
		return Keyset{}, false, nil
	}
	document, err := w.Load(id)
	if err != nil || document == nil {
		return Keyset{}, false, err
	}
	seen, err = decodeWitness(document, id)
	if err != nil {
		return Keyset{}, false, fmt.Errorf("%w: %v", ErrWitness, err)
	}
	return seen, true, nil
}

func decodeWitness(document []byte, id string) (Keyset, error) {
	ks, err := parseKeyset(document)
	if err == nil && ks.ID != id {
		err = fmt.Errorf("it is of keyset %s, not of %s", ks.ID, id)
	}
	return ks, err
}

// checkWitness checks a keyset against what the witness has.
func (ks Keyset) checkWitness(w Witness) error {
	seen, ok, err := loadWitness(w, ks.ID)
	if err != nil || !ok {
		return err
	}
	return ks.checkNotRestored(seen)
}

// checkSeen checks a keyset against what this process and this machine have seen.
func (r *Ring) checkSeen(ks Keyset, old *view) error {
	if old != nil && old.ks.ID == ks.ID {
		return ks.checkNotRestored(old.ks) // which is not older than what the witness had
	}
	return ks.checkWitness(r.witness)
}

// recordInWitness writes a keyset to the witness, unless it lacks something that the
// witness has: it is older by now, or was written to a restored store, which this
// process could not detect.
func (r *Ring) recordInWitness(ctx context.Context, ks Keyset) {
	id := documentID{ks.ID, ks.Epoch, ks.Version}
	if r.witness == nil || r.recorded == id {
		return
	}
	document, err := ks.encode()
	if err == nil {
		err = r.witness.Update(ks.ID, func(old []byte) []byte {
			if seen, err := decodeWitness(old, ks.ID); err == nil && ks.checkNotRestored(seen) != nil {
				return nil
			}
			return document
		})
	}
	if err == nil {
		r.recorded = id
	}
	switch failed := err != nil; {
	case failed && !r.witnessFailing:
		// Nothing depends on the update now, but a restored backup may go undetected.
		r.log.WarnContext(ctx, "witness update failed", "error", err.Error())
	case !failed && r.witnessFailing:
		r.log.InfoContext(ctx, "witness update recovered")
	}
	r.witnessFailing = err != nil
}
