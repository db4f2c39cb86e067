package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// ReadBackup reads the keyset and its sealed private keys as of one version. It needs no
// sealing key: it uses only the Store, the Witness and the Log of the options.
func ReadBackup(ctx context.Context, o Options) (Backup, error) {
	return newRing(o).readBackup(ctx, (*Ring).loadChecked)
}

// readBackup is ReadBackup with the document that load returns.
func (r *Ring) readBackup(ctx context.Context, load func(*Ring, context.Context) (*view, error)) (Backup, error) {
	for range maxAttempts {
		v, err := load(r, ctx)
		if err != nil {
			return Backup{}, err
		}
		b, err := r.readPrivateKeys(ctx, v)
		if !errors.Is(err, errChangedDuringRead) {
			return b, err
		}
	}
	return Backup{}, fmt.Errorf("%w: %w", ErrUnavailable, errChangedDuringRead)
}

// readPrivateKeys reads the sealed private keys of a document. A retired key may lack
// its private key, because it does not sign.
func (r *Ring) readPrivateKeys(ctx context.Context, v *view) (Backup, error) {
	b := Backup{keyset: v.ks, document: v.document, privateKeys: map[string][]byte{}}
	for _, kid := range v.ks.privateKeys() {
		sealed, err := r.sealedKey(ctx, kid)
		if errors.Is(err, ErrNoPrivateKey) {
			continue
		}
		if err != nil {
			return b, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		b.privateKeys[kid] = sealed
	}
	// A private key changes only together with the version.
	again, err := r.load(ctx)
	if err != nil {
		return b, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if again.Version != v.ks.Version || !bytes.Equal(again.Document, v.document) {
		return b, errChangedDuringRead
	}
	for _, k := range v.ks.signers() {
		if b.privateKeys[k.KeyID()] == nil {
			return b, fmt.Errorf("%w: the store lacks that of key %s: replace the key with 'jwksctl keys rotate' or 'jwksctl keys revoke'",
				ErrUnreadable, k.KeyID())
		}
	}
	return b, nil
}

// Restore creates the keyset of a backup in an empty store, with the same version, and
// reads it back. Whether the store lacks something that this machine has seen since the
// backup, and what, is found by MissingSince. It needs no sealing key.
func Restore(ctx context.Context, o Options, b Backup) error {
	r := newRing(o)
	if err := b.keyset.checkEngine(r.store, "restore it in a store of another engine, run %s there once, and copy that store"); err != nil {
		return err
	}
	if err := r.checkEmpty(ctx); err != nil {
		return err
	}
	return r.writeBackup(ctx, b, r.deadline(b.keyset))
}

func (r *Ring) checkEmpty(ctx context.Context) error {
	_, err := r.load(ctx)
	switch {
	case err == nil:
		return errOccupied()
	case !errors.Is(err, ErrNoKeyset):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// errNotWritten says that a store has no keyset after all.
var errNotWritten = errors.New("nothing was written")

// writeBackup creates the keyset of b in an empty store, and reads it back. If the error
// does not match errNotWritten, the keyset may have been created.
func (r *Ring) writeBackup(ctx context.Context, b Backup, deadline time.Time) error {
	c := Change{First: b.keyset.Version, Document: b.document, Put: b.privateKeys, Deadline: deadline}
	failed := r.commit(ctx, c)
	switch {
	case failed == nil:
	case errors.Is(failed, ErrConflict):
		return fmt.Errorf("%w: %w", errNotWritten, errOccupied())
	case errors.Is(failed, ErrTooLate):
		return fmt.Errorf("%w: %w: %w", ErrUnavailable, errNotWritten, failed)
	default:
		sleep(ctx, b.keyset.Policy.ClockSkew) // no write lands later than that
	}
	switch err := r.checkWritten(ctx, b); {
	case err == nil:
		return nil
	case failed == nil:
		return fmt.Errorf("%w: the keyset was written, but could not be read back: %w", ErrUnavailable, err)
	case errors.Is(err, ErrNoKeyset):
		return fmt.Errorf("%w: %w: %w", ErrUnavailable, errNotWritten, failed)
	default:
		return fmt.Errorf("%w: the keyset may have been written: %w; then: %w", ErrUnavailable, failed, err)
	}
}

// checkWritten compares the store with b, byte for byte.
func (r *Ring) checkWritten(ctx context.Context, b Backup) error {
	rec, err := r.load(ctx)
	if err != nil {
		return err
	}
	if rec.Version != b.keyset.Version || !bytes.Equal(rec.Document, b.document) {
		return errors.New("the store has another document than was written")
	}
	for kid, written := range b.privateKeys {
		sealed, err := r.sealedKey(ctx, kid)
		if err == nil && !bytes.Equal(sealed, written) {
			err = errors.New("the store has another one than was written")
		}
		if err != nil {
			return fmt.Errorf("the private key of %s: %w", kid, err)
		}
	}
	return nil
}

// MissingSince lists what a restored store lacks: the keys that this machine has seen and
// the store does not have, and those that the store publishes although this machine has
// seen them leave. Each is as this machine has seen it. The error is why the store is
// refused, nil if it lacks nothing that matters.
func MissingSince(ctx context.Context, o Options) ([]Key, error) {
	r := newRing(o)
	v, err := r.loadUsable(ctx)
	if err != nil {
		return nil, err
	}
	seen, _, err := loadWitness(r.witness, v)
	if err != nil {
		return nil, err
	}
	refused := v.ks.checkNotRestored(seen)
	if refused == nil {
		return nil, nil
	}
	var missing []Key
	for _, k := range seen.allKeys() {
		if !v.ks.contains(k.KeyID()) {
			missing = append(missing, k)
		}
	}
	for _, k := range v.ks.Keys {
		for _, gone := range seen.History {
			if gone.KeyID() == k.KeyID() {
				missing = append(missing, gone)
			}
		}
	}
	return missing, refused
}
