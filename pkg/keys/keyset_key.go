package keys

import (
	"fmt"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// State is one of the five states that a key passes through.
type State string

// The states of a key, in the order in which it passes through them.
const (
	Pending State = "pending" // published ahead of use, so that caches have it before it signs
	Active  State = "active"  // signs
	Retired State = "retired" // published until the last token that it signed has expired
	Expired State = "expired" // left the JWKS on schedule, or was never in it
	Revoked State = "revoked" // removed at once, for a recorded reason
)

// Key is a public key with its stamps: times that have passed, or that an earlier
// step fixed. A stamp is written once and is only ever moved to a later time. It is
// zero while it does not apply.
type Key struct {
	JWK       jwk.PublicKey `json:"jwk"`
	CreatedAt time.Time     `json:"created_at"`
	ReadyAt   time.Time     `json:"ready_at,omitzero"` // the key may sign from this time on

	ActiveAt    time.Time `json:"active_at,omitzero"`    // the key began to sign
	RetiredAt   time.Time `json:"retired_at,omitzero"`   // the key stopped signing
	DestroyAt   time.Time `json:"destroy_at,omitzero"`   // the private key is to be deleted
	DestroyedAt time.Time `json:"destroyed_at,omitzero"` // the private key was deleted
	ExpiresAt   time.Time `json:"expires_at,omitzero"`   // the key leaves the JWKS
	RevokedAt   time.Time `json:"revoked_at,omitzero"`   // the key was removed from the JWKS

	Reason string `json:"reason,omitempty"` // why the key was rotated early, revoked or replaced
	Forced bool   `json:"forced,omitempty"` // an operator had it sign before ready_at

	// Imported keys exist elsewhere too, so they could be imported again after they
	// have left. Therefore the history never drops them.
	Imported bool `json:"imported,omitempty"`
}

// KeyID is the key's RFC 7638 thumbprint: a kid names one key for ever.
func (k Key) KeyID() string { return k.JWK.KeyID() }

// State derives the state from the stamps. Only the end of retirement reads the
// clock, so that no clock error can make a retired key look active.
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

// published reports whether the JWKS contains the key.
func (k Key) published(now time.Time) bool {
	switch k.State(now) {
	case Pending, Active, Retired:
		return true
	case Expired, Revoked:
	}
	return false
}

// unused reports whether a key that has left never signed and was not revoked. If
// such a key did sign on another copy of the keyset, it has to stay there.
func (k Key) unused() bool { return k.ActiveAt.IsZero() && k.RevokedAt.IsZero() }

// WithdrawnError is the error for a kid that is known and must not verify any token
// any more. pkg/token recognises it by its Withdrawn method.
type WithdrawnError struct {
	KeyID  string
	State  State     // Expired or Revoked
	At     time.Time // since when
	Reason string    // as the operator gave it
}

func (e *WithdrawnError) Error() string { return fmt.Sprintf("key %s %s", e.KeyID, e.Withdrawn()) }

// Withdrawn says whether the key expired or was revoked, when, and why.
func (e *WithdrawnError) Withdrawn() string {
	text := fmt.Sprintf("%s at %s", e.State, e.At.UTC().Format(time.RFC3339))
	if e.Reason != "" {
		text += " (" + e.Reason + ")"
	}
	return text
}

// withdrawnError is the error for a token that names this key, which has left.
func (k Key) withdrawnError() error {
	e := &WithdrawnError{KeyID: k.KeyID(), State: Expired, At: k.ExpiresAt, Reason: k.Reason}
	if !k.RevokedAt.IsZero() {
		e.State, e.At = Revoked, k.RevokedAt
	}
	return e
}
