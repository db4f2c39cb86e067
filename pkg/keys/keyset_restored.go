package keys

import (
	"bytes"
	"fmt"
	"slices"
)

// older reports whether ks comes before other, another version of the same keyset.
func (ks Keyset) older(other Keyset) bool {
	if ks.Epoch != other.Epoch {
		return ks.Epoch < other.Epoch
	}
	return ks.Version < other.Version
}

// checkNotRestored refuses ks if it lacks something that was seen before, in another
// version of the same keyset: ks is older, is another document of the same version,
// publishes a key that has left, or lacks a key or a change of the policy. Another
// keyset says nothing about ks.
func (ks Keyset) checkNotRestored(seen Keyset) error {
	if ks.ID != seen.ID {
		return nil
	}
	refuse := func(format string, args ...any) error {
		return &Refusal{Guard: GuardRestored, Text: fmt.Sprintf(format, args...) +
			": was the store restored from a backup? 'jwksctl keys accept-restore' puts back what is missing"}
	}
	if ks.older(seen) {
		return refuse("the store has version %d of the keyset, this machine has seen version %d", ks.Version, seen.Version)
	}
	if ks.Epoch == seen.Epoch && ks.Version == seen.Version {
		a, errA := ks.encode()
		b, errB := seen.encode()
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			return refuse("the store has another version %d of the keyset than this machine has seen", ks.Version)
		}
	}
	for _, k := range ks.Keys {
		left := func(gone Key) bool { return gone.KeyID() == k.KeyID() && !gone.unused() }
		if slices.ContainsFunc(seen.History, left) {
			return refuse("the store still publishes key %s, which this machine has seen expire or be revoked", k.KeyID())
		}
	}
	for _, k := range seen.Keys { // a history that is not full has dropped no key, so every key must be in the document
		if !ks.contains(k.KeyID()) && len(ks.History) < maxHistory {
			return refuse("the store does not know key %s, which was published", k.KeyID())
		}
	}
	if ks.ClockEpoch > seen.ClockEpoch {
		return nil // an operator moved the stamps back
	}
	if ks.ActsUntil.Before(seen.ActsUntil) || ks.DocsUntil.Before(seen.DocsUntil) || ks.TokensUntil.Before(seen.TokensUntil) {
		return refuse("the store does not know a change of the policy that this machine has seen")
	}
	return nil
}
