package keys

import (
	"fmt"
	"time"
)

// stampTolerance is how far the order of two stamps may be wrong: several clocks wrote
// them, and clock_skew may have been longer then.
const stampTolerance = time.Minute

// findStamps lists the stamps that no sequence of steps gives.
func (ks Keyset) findStamps() (findings []string) {
	tolerance := max(stampTolerance, ks.Policy.ClockSkew)
	for _, k := range ks.allKeys() {
		type stamp struct {
			name string
			at   time.Time
		}
		ordered := func(a, b stamp) {
			if !a.at.IsZero() && !b.at.IsZero() && a.at.Sub(b.at) > tolerance {
				findings = append(findings, fmt.Sprintf("key %s: %s (%s) is later than %s (%s)",
					k.KeyID(), a.name, formatTime(a.at), b.name, formatTime(b.at)))
			}
		}
		created, active, retired := stamp{"created_at", k.CreatedAt}, stamp{"active_at", k.ActiveAt}, stamp{"retired_at", k.RetiredAt}
		ordered(created, active)
		ordered(created, retired)
		ordered(active, retired)
		ordered(retired, stamp{"expires_at", k.ExpiresAt})
		if k.DestroyedAt.IsZero() {
			ordered(retired, stamp{"destroy_at", k.DestroyAt})
		}
		for _, past := range []stamp{created, active, retired, {"destroyed_at", k.DestroyedAt}, {"revoked_at", k.RevokedAt}} {
			ordered(past, stamp{"changed_at of the keyset", ks.ChangedAt})
		}
		if k.CreatedAt.IsZero() {
			findings = append(findings, fmt.Sprintf("key %s: created_at is missing", k.KeyID()))
		}
	}
	return findings
}
