package keys

import (
	"slices"
	"time"
)

// RevocationBounds says how long a revoked key may still be seen in the worst case,
// in which a process lost its connection to the store just before the revocation.
type RevocationBounds struct {
	Served          time.Time `json:"served_until"`              // no process serves the key after this time
	Cached          time.Time `json:"cached_until"`              // no compliant cache keeps it after this time
	CachedWithNoAge time.Time `json:"cached_until_ignoring_age"` // no client that ignores the Age header behind a shared cache keeps it after this time
}

// RevocationBounds returns the bounds for a key that is revoked at now.
func (ks Keyset) RevocationBounds(now time.Time) RevocationBounds {
	p := ks.Policy
	served := latest(now.Add(p.MaxStaleness+p.ClockSkew), ks.ActsUntil)
	return RevocationBounds{
		Served:          served,
		Cached:          latest(served.Add(p.JWKSMaxAge), ks.DocsUntil),
		CachedWithNoAge: latest(served.Add(2*p.JWKSMaxAge), ks.DocsUntil),
	}
}

// LeewayValidFrom is the time from which verifiers may allow the policy's leeway. A
// leeway that was raised must not reach the tokens of keys that retired under the
// shorter one, because those keys leave by the shorter one.
func (ks Keyset) LeewayValidFrom(now time.Time) time.Time {
	from := now
	for _, k := range slices.Concat(ks.Keys, ks.History) {
		if !k.ActiveAt.IsZero() && !k.ExpiresAt.IsZero() && k.RevokedAt.IsZero() {
			from = latest(from, k.ExpiresAt.Add(ks.Policy.Leeway))
		}
	}
	return from
}
