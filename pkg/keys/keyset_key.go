package keys

import (
	"fmt"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// State is where a key stands in its life.
type State string

// The states of a key, in the order of its life.
const (
	Pending State = "pending" // published ahead of use, so that caches have it before it signs
	Active  State = "active"  // signs
	Retired State = "retired" // published until the last token that it signed has died
	Expired State = "expired" // left the JWKS on schedule, or was never in it
	Revoked State = "revoked" // pulled at once, for a reason that is recorded
)

// Key is the public half of a key with its stamps: moments that have passed or
// that were fixed when an earlier step was taken. A stamp is written once and
// moves only later in time; it is zero while it does not apply.
type Key struct {
	JWK       jwk.PublicKey `json:"jwk"`
	CreatedAt time.Time     `json:"created_at"`
	ReadyAt   time.Time     `json:"ready_at,omitzero"` // may sign from here on

	ActiveAt    time.Time `json:"active_at,omitzero"`    // signs since
	RetiredAt   time.Time `json:"retired_at,omitzero"`   // signs no longer since
	DestroyAt   time.Time `json:"destroy_at,omitzero"`   // the private half goes then
	DestroyedAt time.Time `json:"destroyed_at,omitzero"` // the private half is gone since
	ExpiresAt   time.Time `json:"expires_at,omitzero"`   // leaves the JWKS then
	RevokedAt   time.Time `json:"revoked_at,omitzero"`   // pulled from the JWKS since

	Reason string `json:"reason,omitempty"` // why it was rotated early, revoked or replaced
	Forced bool   `json:"forced,omitempty"` // it signed before ready_at, because somebody insisted

	// Imported keys exist elsewhere too, and could be brought in once more after
	// they have left. So the history never forgets them.
	Imported bool `json:"imported,omitempty"`
}

// KeyID is the key's RFC 7638 thumbprint: one kid is one key for ever.
func (k Key) KeyID() string { return k.JWK.KeyID() }

// State follows from the stamps. Only the end of retirement reads the clock, so
// that no clock error can make a retired key look active.
func (k Key) State(now time.Time) State {
	switch {
	case !k.RevokedAt.IsZero():
		return Revoked
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return Expired
	case !k.RetiredAt.IsZero():
		return Retired
	case !k.ActiveAt.IsZero():
		return Active
	default:
		return Pending
	}
}

// published tells whether the JWKS holds the key.
func (k Key) published(now time.Time) bool {
	switch k.State(now) {
	case Pending, Active, Retired:
		return true
	case Expired, Revoked:
	}
	return false
}

// unused tells of a key that has left whether it never signed, nor was revoked:
// where it did sign, its leaving elsewhere means nothing.
func (k Key) unused() bool { return k.ActiveAt.IsZero() && k.RevokedAt.IsZero() }

// WithdrawnError says that a kid is known and must not verify anything any
// more. pkg/token recognises it by its Withdrawn method.
type WithdrawnError struct {
	KeyID  string
	State  State     // Expired or Revoked
	At     time.Time // since when
	Reason string    // as given by whoever revoked it
}

func (e *WithdrawnError) Error() string { return fmt.Sprintf("key %s %s", e.KeyID, e.Withdrawn()) }

// Withdrawn says what became of the key, and when.
func (e *WithdrawnError) Withdrawn() string {
	text := fmt.Sprintf("%s at %s", e.State, e.At.UTC().Format(time.RFC3339))
	if e.Reason != "" {
		text += " (" + e.Reason + ")"
	}
	return text
}

// withdrawn is the error for a key that no longer verifies.
func (k Key) withdrawn() error {
	e := &WithdrawnError{KeyID: k.KeyID(), State: Expired, At: k.ExpiresAt, Reason: k.Reason}
	if !k.RevokedAt.IsZero() {
		e.State, e.At = Revoked, k.RevokedAt
	}
	return e
}
