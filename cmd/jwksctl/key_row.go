package main

import (
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// keyRow is a key as commands print it: as JSON, or as a row of a table.
type keyRow struct {
	KeyID     string     `json:"kid"`
	Algorithm string     `json:"alg"`
	Size      int        `json:"size"` // in bits
	State     keys.State `json:"state"`
	Published bool       `json:"published"`
	Specimen  bool       `json:"specimen,omitempty"`

	CreatedAt   time.Time `json:"created_at"`
	ReadyAt     time.Time `json:"ready_at,omitzero"`
	ActiveAt    time.Time `json:"active_at,omitzero"`
	RetiredAt   time.Time `json:"retired_at,omitzero"`
	DestroyAt   time.Time `json:"destroy_at,omitzero"`
	DestroyedAt time.Time `json:"destroyed_at,omitzero"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	RevokedAt   time.Time `json:"revoked_at,omitzero"`

	Reason     string `json:"reason,omitempty"`
	Forced     bool   `json:"forced,omitempty"`
	Unreadable string `json:"unreadable,omitempty"` // why the private key cannot be opened; only "keys list --check" sets it
}

func rowOf(k keys.Key, ks keys.Keyset, now time.Time) keyRow {
	state := k.State(now)
	return keyRow{
		KeyID: k.KeyID(), Algorithm: string(k.JWK.Algorithm()), Size: k.JWK.Size(), State: state,
		Published: state == keys.Pending || state == keys.Active || state == keys.Retired,
		Specimen:  ks.Specimen != nil && ks.Specimen.KeyID() == k.KeyID(),
		CreatedAt: k.CreatedAt, ReadyAt: k.ReadyAt, ActiveAt: k.ActiveAt, RetiredAt: k.RetiredAt,
		DestroyAt: k.DestroyAt, DestroyedAt: k.DestroyedAt, ExpiresAt: k.ExpiresAt, RevokedAt: k.RevokedAt,
		Reason: k.Reason, Forced: k.Forced,
	}
}

// note is what the state and the stamps do not tell, "-" if that is nothing.
func (r keyRow) note() string {
	switch {
	case r.Unreadable != "":
		return "unreadable: " + oneLine(r.Unreadable)
	case r.Specimen:
		return "signs expired tokens"
	case r.Forced && r.Reason != "":
		return "forced: " + oneLine(r.Reason)
	case r.Forced:
		return "forced"
	case r.Reason != "":
		return oneLine(r.Reason)
	}
	return "-"
}

// oneLine replaces tabs and newlines, which would break a row, by spaces.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// when is a stamp in a table: as an age on a terminal, as RFC 3339 when piped.
func (a *app) when(t, now time.Time) string {
	switch {
	case t.IsZero():
		return "-"
	case a.terminal(a.stdout):
		return distance(t, now)
	}
	return t.UTC().Format(time.RFC3339)
}
