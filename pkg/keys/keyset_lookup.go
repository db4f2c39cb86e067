package keys

import (
	"cmp"
	"slices"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// Active is the one key that signs.
func (ks Keyset) Active() Key {
	for _, k := range ks.Keys {
		if !k.ActiveAt.IsZero() && k.RetiredAt.IsZero() {
			return k
		}
	}
	return Key{} // a valid keyset has an active key
}

// Pending is the successor of the active key, if there is one.
func (ks Keyset) Pending() (Key, bool) {
	for _, k := range ks.Keys {
		if k.ActiveAt.IsZero() && k.RetiredAt.IsZero() {
			return k, true
		}
	}
	return Key{}, false
}

// signers lists the keys whose private key a process needs.
func (ks Keyset) signers() []Key {
	out := ks.specimens()
	for _, k := range ks.Keys {
		if k.RetiredAt.IsZero() {
			out = append(out, k)
		}
	}
	return out
}

// Public lists the keys of the JWKS at now: the active key, the pending key, then
// the retired keys, newest first. A key that has left the document is not in it,
// also for a clock that is behind the time at which the key left.
func (ks Keyset) Public(now time.Time) []jwk.PublicKey {
	published := make([]*Key, 0, len(ks.Keys))
	for i := range ks.Keys {
		if k := &ks.Keys[i]; k.published(now) {
			published = append(published, k)
		}
	}
	slices.SortStableFunc(published, func(a, b *Key) int { return compareKeys(a, b, now) })
	out := make([]jwk.PublicKey, len(published))
	for i, k := range published {
		out[i] = k.JWK
	}
	return out
}

// publicUntil is the time at which the result of Public changes although the
// document does not; zero if there is none.
func (ks Keyset) publicUntil(now time.Time) time.Time {
	var until time.Time
	for _, k := range ks.Keys {
		if k.State(now) == Retired {
			until = earliest(until, k.ExpiresAt)
		}
	}
	return until
}

// Sorted lists every known key, the history and the specimen included: by state in
// the order of the JWKS, then the newest first.
func (ks Keyset) Sorted(now time.Time) []Key {
	all := ks.allKeys()
	slices.SortStableFunc(all, func(a, b Key) int { return compareKeys(&a, &b, now) })
	return all
}

// compareKeys orders keys by state in the order of the JWKS, then the newest first.
func compareKeys(a, b *Key, now time.Time) int {
	states := [...]State{Active, Pending, Retired, Expired, Revoked}
	rank := func(k *Key) int { return slices.Index(states[:], k.State(now)) }
	return cmp.Or(rank(a)-rank(b), b.CreatedAt.Compare(a.CreatedAt))
}

// Find returns the keys that may verify a token that names kid: all of the JWKS if
// kid is empty, none if it is unknown, and a *WithdrawnError if the key has left.
func (ks Keyset) Find(kid string, now time.Time) ([]jwk.PublicKey, error) {
	if kid == "" {
		return ks.Public(now), nil
	}
	for _, k := range ks.Keys {
		if k.KeyID() == kid && k.published(now) {
			return []jwk.PublicKey{k.JWK}, nil
		}
	}
	for _, k := range ks.Sorted(now) {
		if k.KeyID() == kid {
			return nil, k.withdrawnError()
		}
	}
	return nil, nil
}

// earliest is the earlier of two times. A zero time means that there is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
