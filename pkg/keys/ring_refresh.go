package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// Refresh reads the keyset from the store and confirms or replaces the view. It does so too
// if the sealing key of the keyset is missing, and then returns ErrSealingKey: a running
// process goes on to publish, and to sign with the private keys that it has open.
func (r *Ring) Refresh(ctx context.Context) error {
	r.updates.Lock()
	defer r.updates.Unlock()
	_, err := r.refresh(ctx)
	return err
}

func (r *Ring) refresh(ctx context.Context) (*view, error) {
	v, err := r.replaceView(ctx)
	r.access.noteRead(v, err)
	return v, err
}

// replaceView makes what the store has now the current view.
func (r *Ring) replaceView(ctx context.Context) (*view, error) {
	for range maxAttempts {
		v, err := r.readView(ctx)
		if errors.Is(err, errChangedDuringRead) {
			continue
		}
		if err != nil {
			return nil, err
		}
		r.setView(ctx, v)
		r.recordInWitness(ctx, v)
		return v, v.sealingKey
	}
	return nil, fmt.Errorf("%w: %w", ErrUnavailable, errChangedDuringRead)
}

// errChangedDuringRead says that the keyset changed between two reads of one refresh.
var errChangedDuringRead = errors.New("the keyset changed while it was read")

// loadDocument reads the document into a view that has no private keys yet.
func (r *Ring) loadDocument(ctx context.Context) (*view, error) {
	at := r.clock.read() // before the request is sent: the response is at least this fresh
	rec, err := r.load(ctx)
	if errors.Is(err, ErrNoKeyset) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	v := &view{document: rec.Document, confirmedAt: at, storeTime: storeTime{rec.Now, at, r.clock.readUnchecked()}}
	if old := r.view.Load(); old != nil && bytes.Equal(v.document, old.document) {
		v.ks = old.ks
		return v, nil
	}
	v.ks, err = decodeKeyset(rec)
	return v, err
}

// loadUsable is loadDocument, except that it refuses a keyset that was moved to another
// store. The process then confirms its view no more, and stops after max_staleness.
func (r *Ring) loadUsable(ctx context.Context) (*view, error) {
	v, err := r.loadDocument(ctx)
	if err == nil {
		err = v.ks.checkMoved()
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// readView reads the document and makes a view of it.
func (r *Ring) readView(ctx context.Context) (*view, error) {
	next, err := r.loadChecked(ctx)
	if err != nil {
		return nil, err
	}
	old := r.view.Load()
	// The content and not the version shows that nothing changed, because a store that
	// was restored from a backup reaches the same versions again.
	if old != nil && bytes.Equal(next.document, old.document) && len(old.unreadable()) == 0 && old.sealingKey == nil {
		next.privateKeys, next.active, next.publication = old.privateKeys, old.active, old.publication
		r.clock.observe(next.ks, next.storeTime)
		return next, nil
	}
	if err := r.openPrivateKeys(ctx, next, old); err != nil {
		return nil, err
	}
	r.clock.observe(next.ks, next.storeTime)
	next.publication = newPublication(next.ks, r.clock.read().safe)
	return next, nil
}

// setView makes a view the current one.
func (r *Ring) setView(ctx context.Context, v *view) {
	r.spare.dropUsed(v.ks)
	old := r.view.Load()
	v.late = r.lateLandings(ctx, old, v)
	r.settleCommits(ctx, v)
	if old != nil && !bytes.Equal(old.document, v.document) {
		r.counters.countChanges(old.ks, v.ks)
		if old.ks.ClockEpoch < v.ks.ClockEpoch {
			r.log.WarnContext(ctx, "an operator moved stamps from the future back", "newest_was", formatTime(old.ks.ChangedAt), "newest_is", formatTime(v.ks.ChangedAt))
		}
	}
	r.view.Store(v)
	r.viewChanged.wake()
}

// openPrivateKeys opens the private keys that the process may sign with. A later step
// may have deleted one since the document was read, or sealed it under another key.
// Therefore, if one cannot be opened, the document is read again before the key counts as
// unreadable.
func (r *Ring) openPrivateKeys(ctx context.Context, v, old *view) error {
	if r.reader {
		return nil
	}
	err := r.checkSealingKey(ctx, v.ks)
	if errors.Is(err, ErrSealingKey) && old != nil { // a running process publishes without it
		v.sealingKey, err = err, nil
	}
	if err != nil {
		return err
	}
	if err := v.ks.checkEngine(r.store, raiseClockSkew); err != nil { // it was copied from a store of another kind
		return err
	}
	v.privateKeys = map[string]privateKey{}
	for _, k := range v.ks.signers() {
		kid := k.KeyID()
		if old != nil && !old.privateKeys[kid].key.IsZero() {
			v.privateKeys[kid] = old.privateKeys[kid]
			continue
		}
		if v.sealingKey != nil {
			v.privateKeys[kid] = privateKey{err: v.sealingKey}
			continue
		}
		key, err := r.openPrivateKey(ctx, k.JWK, v.ks.SealingKey)
		if errors.Is(err, ErrUnavailable) {
			return err
		}
		if err != nil && r.changedSince(ctx, v.ks) {
			return errChangedDuringRead
		}
		if err == nil {
			err = key.CheckSign()
		}
		if err != nil {
			key = jwk.PrivateKey{}
		}
		v.privateKeys[kid] = privateKey{key, err}
	}
	v.active = v.privateKeys[v.ks.Active().KeyID()]
	return nil
}

// openPrivateKey opens the private key that the store has, sealed under the sealing key
// with that name.
func (r *Ring) openPrivateKey(ctx context.Context, public jwk.PublicKey, sealingKey string) (jwk.PrivateKey, error) {
	sealed, err := r.sealedKey(ctx, public.KeyID())
	if errors.Is(err, ErrNoPrivateKey) {
		return jwk.PrivateKey{}, err
	}
	if err != nil {
		return jwk.PrivateKey{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	der, err := r.sealer.Open(sealingKey, sealed, sealingContext(public))
	if err != nil {
		return jwk.PrivateKey{}, err
	}
	key, err := jwk.ParsePKCS8(public.Algorithm(), der)
	if err != nil {
		return jwk.PrivateKey{}, err
	}
	if !key.Public().Equal(public) {
		return jwk.PrivateKey{}, errors.New("it belongs to another key")
	}
	return key, nil
}

// sealingContext binds a sealed private key to the schema, the algorithm and the kid,
// which is the thumbprint of the public key. The text is part of the stored format:
// with any other text, the private keys of existing stores could not be opened.
func sealingContext(k jwk.PublicKey) []byte {
	return fmt.Appendf(nil, "jwksctl private half %d\n%s\n%s", schema, k.Algorithm(), k.KeyID())
}
