package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// loadWitness returns the keyset that the witness has, and its document, if it is
// another document than that of v. The zero keyset is nothing to compare v with. The
// error matches ErrWitness if the document is damaged.
func loadWitness(w Witness, v *view) (seen Keyset, document []byte, err error) {
	if w == nil {
		return Keyset{}, nil, nil
	}
	document, err = w.Load(v.ks.ID)
	if err != nil || document == nil || bytes.Equal(document, v.document) {
		return Keyset{}, document, err
	}
	seen, err = parseKeyset(document)
	if err == nil && seen.ID != v.ks.ID {
		err = fmt.Errorf("it is of keyset %s", seen.ID)
	}
	if err != nil {
		return Keyset{}, nil, fmt.Errorf("%w: the document of keyset %s is damaged: %v: move it away, and this machine accepts the store as it is",
			ErrWitness, v.ks.ID, err)
	}
	return seen, document, nil
}

// loadChecked reads the document, and refuses it if it lacks something that this
// process or this machine has seen.
func (r *Ring) loadChecked(ctx context.Context) (*view, error) {
	v, err := r.loadUsable(ctx)
	if err != nil {
		return nil, err
	}
	old := r.view.Load()
	seen, _, err := loadWitness(r.witness, v)
	switch {
	case errors.Is(err, ErrWitness) && (old == nil || old.ks.ID != v.ks.ID):
		return nil, err
	case err != nil: // this process, or this machine, knows no more than the store
		r.witnessFailed(ctx, err)
	}
	if v.ks.checkNotRestored(seen) != nil {
		// Another process may have changed the store and recorded that since the store
		// was read. Then the store has it now.
		if v, err = r.loadUsable(ctx); err != nil {
			return nil, err
		}
		if v.ks.ID != seen.ID {
			return nil, errChangedDuringRead
		}
		if err := v.ks.checkNotRestored(seen); err != nil {
			return nil, err
		}
	}
	if old == nil {
		return v, nil
	}
	return v, v.ks.checkNotRestored(old.ks)
}

// recordInWitness writes a document to the witness, unless the witness has something
// that the document lacks, because another process has recorded a newer one.
func (r *Ring) recordInWitness(ctx context.Context, v *view) {
	if r.witness == nil {
		return
	}
	seen, document, err := loadWitness(r.witness, v)
	if errors.Is(err, ErrWitness) { // this process has the newest document: it replaces the damaged one
		err = nil
	}
	if err == nil && !bytes.Equal(document, v.document) && v.ks.checkNotRestored(seen) == nil {
		err = r.witness.Store(v.ks.ID, v.document)
	}
	if err != nil {
		r.witnessFailed(ctx, err)
		return
	}
	if r.witnessFailing {
		r.log.InfoContext(ctx, "witness recovered")
	}
	r.witnessFailing = false
}

// witnessFailed logs that the witness could not be read or written, once until it
// recovers. The process goes on, because the witness protects only against a restored
// backup.
func (r *Ring) witnessFailed(ctx context.Context, err error) {
	if !r.witnessFailing {
		r.log.WarnContext(ctx, "the witness cannot be used, and a restored backup may go unnoticed", "error", err.Error())
	}
	r.witnessFailing = true
}
