package keys

import (
	"context"
	"fmt"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// SigningKey is the key that signs now, the time that a token minted with it must
// have as its iat, and the latest exp that the token may have. It satisfies
// token.Signer. The error is ErrStale, ErrUnreadable or ErrReader.
func (r *Ring) SigningKey(context.Context) (key jwk.PrivateKey, now, latest time.Time, err error) {
	if r.reader {
		return jwk.PrivateKey{}, time.Time{}, time.Time{}, ErrReader
	}
	v, at := r.view.Load(), r.clock.read()
	if err := v.fence(at); err != nil {
		return jwk.PrivateKey{}, time.Time{}, time.Time{}, err
	}
	if err := v.active.err; err != nil {
		return jwk.PrivateKey{}, time.Time{}, time.Time{}, fmt.Errorf("%w: active key %s: %v", ErrUnreadable, v.ks.Active().KeyID(), err)
	}
	// The earlier time, if the wall clock may be wrong: verifiers reject a token from the future.
	now = at.safe
	return v.active.key, now, now.Add(v.ks.Policy.TokenTTL), nil
}

// Keys finds public keys by kid; it satisfies token.KeySource.
func (r *Ring) Keys(_ context.Context, kid string) ([]jwk.PublicKey, error) {
	v, at := r.view.Load(), r.clock.read()
	if err := v.fence(at); err != nil {
		return nil, err
	}
	return v.ks.Find(kid, at.safe)
}

// Publication is the JWK Set as a process serves it. It is never modified: as long as
// Published returns the same pointer, the content is the same.
type Publication struct {
	Keys   []jwk.PublicKey
	MaxAge time.Duration // whole seconds
	until  time.Time     // when a key leaves although the document stays the same; zero if none does
}

// Published is the JWK Set to serve now. The error is ErrStale.
func (r *Ring) Published() (*Publication, error) {
	v, at := r.view.Load(), r.clock.read()
	if err := v.fence(at); err != nil {
		return nil, err
	}
	if until := v.publication.until; until.IsZero() || at.safe.Before(until) {
		return v.publication, nil
	}
	updated := *v
	updated.publication = newPublication(v.ks, at.safe)
	r.view.CompareAndSwap(v, &updated) // if it fails there is a newer view, and the next call updates that
	return updated.publication, nil
}

func newPublication(ks Keyset, now time.Time) *Publication {
	return &Publication{Keys: ks.Public(now), MaxAge: ks.Policy.JWKSMaxAge, until: ks.publicUntil(now)}
}

// opened reports whether this process can sign with a key.
func (v *view) opened(kid string) bool {
	k, ok := v.privateKeys[kid]
	return ok && k.err == nil
}

// unreadable lists the private keys that could not be opened, by kid.
func (v *view) unreadable() map[string]error {
	out := map[string]error{}
	for kid, k := range v.privateKeys {
		if k.err != nil {
			out[kid] = k.err
		}
	}
	return out
}

// fence refuses to act on a view that was not confirmed for D.
func (v *view) fence(at reading) error {
	if age := at.since(v.confirmedAt); age > v.ks.Policy.MaxStaleness {
		return fmt.Errorf("%w: %v ago, max_staleness is %v", ErrStale, age.Round(time.Second), v.ks.Policy.MaxStaleness)
	}
	return nil
}
