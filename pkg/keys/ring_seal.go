package keys

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// hasSealingKey reports whether this machine has a sealing key. It reads the source again
// before it says no; the error says why it could not.
func (r *Ring) hasSealingKey(ctx context.Context, name string) (bool, error) {
	if slices.Contains(r.sealer.Names(), name) {
		return true, nil
	}
	err := r.sealer.Reload(ctx)
	return slices.Contains(r.sealer.Names(), name), err
}

// checkSealingKey returns an error unless this machine has the sealing key of ks.
func (r *Ring) checkSealingKey(ctx context.Context, ks Keyset) error {
	has, failed := r.hasSealingKey(ctx, ks.SealingKey)
	switch {
	case has:
		return nil
	case r.changedSince(ctx, ks): // a rotation may have ended since then, and the earlier key be gone from the source
		return errChangedDuringRead
	}
	return r.missingSealingKey(ks.SealingKey, failed)
}

// missingSealingKey is the error of a sealing key that this machine does not have. failed
// is why the source could not be read again, or nil.
func (r *Ring) missingSealingKey(name string, failed error) error {
	if failed != nil {
		return fmt.Errorf("%w: the private keys are sealed under %s, and %s could not be read again: %w", ErrSealingKey, name, r.sealer.Source(), failed)
	}
	return fmt.Errorf("%w: the private keys are sealed under %s, and %s has %s: put the line of %s there too; "+
		"after 'jwksctl seal rotate' the earlier key may be in a file beside the key file",
		ErrSealingKey, name, r.sealer.Source(), strings.Join(r.sealer.Names(), " and "), name)
}

// changedSince reports whether the store has another version than ks by now, or does not
// say. Then what was read since ks may belong to that one.
func (r *Ring) changedSince(ctx context.Context, ks Keyset) bool {
	rec, err := r.load(ctx)
	return err != nil || rec.Version != ks.Version
}

// SetSealingKey seals every private key of the keyset again, under the sealing key with
// that name, in one swap. Processes that have that key too go on. It is done when the
// private keys are no longer under the key that seals them now, also if another process
// moved them to a third one. It refuses if a private key cannot be opened. The errors are
// *Refusal, ErrSealingKey and ErrUnavailable.
func (r *Ring) SetSealingKey(ctx context.Context, name string) error {
	if r.reader {
		return ErrReader
	}
	switch has, failed := r.hasSealingKey(ctx, name); {
	case failed != nil:
		return fmt.Errorf("%w: %s does not have %s, and could not be read again: %w", ErrSealingKey, r.sealer.Source(), name, failed)
	case !has:
		return fmt.Errorf("%w: %s does not have %s", ErrSealingKey, r.sealer.Source(), name)
	}
	from := r.Keyset().SealingKey
	var stored map[string]jwk.PrivateKey
	open := func(ctx context.Context, ks Keyset) (keysToStore, error) {
		var err error
		stored, err = r.openStored(ctx, ks)
		return keysToStore{again: stored}, err
	}
	return r.change(ctx, open, clockTrusted, func(ks Keyset, now time.Time, _ StepInput) (Keyset, Effect, error) {
		if ks.SealingKey != from {
			return ks, Effect{}, nil
		}
		return ks.SetSealingKey(now, name, slices.Sorted(maps.Keys(stored)))
	})
}

// openStored opens each private key that the store has of the keyset, by kid. A retired
// key may lack its private key, because it does not sign.
func (r *Ring) openStored(ctx context.Context, ks Keyset) (map[string]jwk.PrivateKey, error) {
	opened := map[string]jwk.PrivateKey{}
	for _, k := range ks.allKeys() {
		kid := k.KeyID()
		if !slices.Contains(ks.privateKeys(), kid) {
			continue
		}
		key, err := r.openPrivateKey(ctx, k.JWK, ks.SealingKey)
		switch {
		case err == nil:
			opened[kid] = key
		case errors.Is(err, ErrUnavailable):
			return nil, err
		case r.changedSince(ctx, ks):
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, errChangedDuringRead)
		case errors.Is(err, ErrNoPrivateKey) && !slices.ContainsFunc(ks.signers(), func(s Key) bool { return s.KeyID() == kid }):
		default:
			return nil, r.countRefused(&Refusal{Guard: GuardUnreadable, Text: fmt.Sprintf("the private key of key %s cannot be opened (%v), "+
				"and nothing was sealed again: replace the key with 'jwksctl keys rotate' or 'jwksctl keys revoke'", kid, err)})
		}
	}
	return opened, nil
}
