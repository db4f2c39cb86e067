package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
)

// Witness keeps the newest document that a machine has seen, outside of the
// store. A store that was restored from a backup has forgotten which keys have
// left since, and cannot know it: with a witness, such a store is refused until
// an operator accepts it, and then the witness says what was forgotten.
//
// What it cannot do: a machine that has no witness yet believes what it finds;
// a change that no machine with a witness has read is not in one; and a store
// that was wiped and founded anew is another keyset, with a witness of its own.
type Witness interface {
	// Load returns the document that was kept of the keyset id, nil if there is
	// none.
	Load(id string) ([]byte, error)

	// Update replaces that document by what decide makes of it, durably and so
	// that no other process's update comes between; nil leaves it as it is.
	Update(id string, decide func(document []byte) []byte) error
}

// ErrWitness says that what the witness holds is of no use.
var ErrWitness = errors.New("the witness cannot be used; if it is damaged, move it away, and this machine believes the store as it is")

// older tells whether ks comes before other in the life of one keyset.
func (ks Keyset) older(other Keyset) bool {
	if ks.Epoch != other.Epoch {
		return ks.Epoch < other.Epoch
	}
	return ks.Version < other.Version
}

// forgets says what ks has forgotten that was seen before, if anything: it is
// older, is another document of the same version, publishes a key that has left,
// or does not know a key or a change of the policy. Both are of one keyset.
func (ks Keyset) forgets(seen Keyset) error {
	refuse := func(format string, args ...any) error {
		return &Refusal{Guard: GuardRestored, Text: fmt.Sprintf(format, args...) +
			": was the store restored from a backup? 'jwksctl keys accept-restore' puts back what is missing"}
	}
	if ks.older(seen) {
		return refuse("the store holds version %d of the keyset, this machine has seen version %d", ks.Version, seen.Version)
	}
	if ks.Epoch == seen.Epoch && ks.Version == seen.Version {
		a, errA := ks.encode()
		b, errB := seen.encode()
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			return refuse("the store holds another version %d of the keyset than this machine has seen", ks.Version)
		}
	}
	for _, k := range ks.Keys {
		left := func(gone Key) bool { return gone.KeyID() == k.KeyID() && !gone.unused() }
		if slices.ContainsFunc(seen.History, left) {
			return refuse("the store publishes key %s, which has left", k.KeyID())
		}
	}
	for _, k := range seen.Keys { // while nothing was dropped from the history, every key must be somewhere
		if !ks.holds(k.KeyID()) && len(ks.History) < maxHistory {
			return refuse("the store does not know key %s, which was published", k.KeyID())
		}
	}
	if ks.ActsUntil.Before(seen.ActsUntil) || ks.DocsUntil.Before(seen.DocsUntil) || ks.TokensUntil.Before(seen.TokensUntil) {
		return refuse("the store does not know of a change of the policy")
	}
	return nil
}

// testimony is what a witness has kept of the keyset id, if it has.
func testimony(w Witness, id string) (Keyset, bool, error) {
	if w == nil {
		return Keyset{}, false, nil
	}
	document, err := w.Load(id)
	if err != nil || document == nil {
		return Keyset{}, false, err
	}
	seen, err := decodeTestimony(document, id)
	if err != nil {
		return Keyset{}, false, fmt.Errorf("%w: %v", ErrWitness, err)
	}
	return seen, true, nil
}

func decodeTestimony(document []byte, id string) (Keyset, error) {
	var ks Keyset
	if err := decodeStrict(document, &ks); err != nil {
		return ks, err
	}
	if ks.ID != id {
		return ks, fmt.Errorf("it is of keyset %s, not of %s", ks.ID, id)
	}
	return ks, ks.validate()
}

// agrees holds a keyset against the witness.
func (ks Keyset) agrees(w Witness) error {
	seen, ok, err := testimony(w, ks.ID)
	if err != nil || !ok {
		return err
	}
	return ks.forgets(seen)
}

// remembers holds a document against what this process and this machine have
// seen before.
func (r *Ring) remembers(ks Keyset, old *view) error {
	if old != nil && old.ks.ID == ks.ID {
		return ks.forgets(old.ks) // the witness has kept what is in old
	}
	return ks.agrees(r.witness)
}

// testify has the witness keep a document, unless that has forgotten what the
// witness has: it is older by now, or grew on a restored store that this process
// had no way to tell.
func (r *Ring) testify(ctx context.Context, ks Keyset) {
	if r.witness == nil || r.testified == (mark{ks.ID, ks.Epoch, ks.Version}) {
		return
	}
	document, err := ks.encode()
	if err == nil {
		err = r.witness.Update(ks.ID, func(old []byte) []byte {
			if seen, err := decodeTestimony(old, ks.ID); err == nil && ks.forgets(seen) != nil {
				return nil
			}
			return document
		})
	}
	if err == nil {
		r.testified = mark{ks.ID, ks.Epoch, ks.Version}
	} else if !r.speechless {
		// Nothing depends on it now; but a restored backup may pass unnoticed.
		r.log.WarnContext(ctx, "the witness could not be written", "error", err.Error())
	}
	r.speechless = err != nil
}

// mark names one document.
type mark struct {
	id             string
	epoch, version uint64
}
