package keys

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

const (
	schema = 1

	// maxPublished caps the JWKS: some verifiers read no more, and a set that
	// grows without bound is a fault whatever caused it.
	maxPublished = 16

	// maxHistory bounds the keys that are remembered after they left, so that
	// a refusal can name the reason.
	maxHistory = 64
)

// Keyset is the one document, as it is stored:
//
//	{
//	  "schema": 1, "id": "Fb3k…", "version": 7, "changed_at": "2026-01-02T15:04:05Z",
//	  "sealing_key": "seal-0123456789abcdef",
//	  "policy": {"rotation_interval": "24h0m0s", …},
//	  "acts_until": …, "docs_until": …, "tokens_until": …,
//	  "keys": [{"jwk": {"kty": "RSA", "kid": …}, "created_at": …, "ready_at": …}, …],
//	  "specimen": {"jwk": …, "expires_at": …},
//	  "history": [{"jwk": …, "revoked_at": …, "reason": …}, …]
//	}
//
// A Keyset is a value: the steps on it return a changed copy and leave it as it
// was.
type Keyset struct {
	Schema     int       `json:"schema"`
	ID         string    `json:"id"`              // the kid of its first key: tells keysets apart
	Epoch      uint64    `json:"epoch,omitempty"` // how often a restored backup was accepted
	Version    uint64    `json:"version"`
	ChangedAt  time.Time `json:"changed_at"`  // the newest reading of any clock that changed it
	SealingKey string    `json:"sealing_key"` // the name of the key that seals the private halves
	Policy     Policy    `json:"policy"`

	// What may still happen under an earlier policy: until when a process may
	// act on it, a cache may hold a document made under it, and a token minted
	// under it may live. Zero while there was no policy change.
	ActsUntil   time.Time `json:"acts_until,omitzero"`
	DocsUntil   time.Time `json:"docs_until,omitzero"`
	TokensUntil time.Time `json:"tokens_until,omitzero"`

	Keys     []Key `json:"keys"`               // pending, active and retired ones
	Specimen *Key  `json:"specimen,omitempty"` // born expired, never published
	History  []Key `json:"history,omitempty"`  // expired and revoked ones, newest first, bounded
}

// ErrDocument says that what the store holds is not a keyset that this program
// can act on.
var ErrDocument = errors.New("unusable keyset document")

// decodeKeyset reads a record strictly: a member that is not known here was
// written by a newer program, and rewriting the document would lose it.
func decodeKeyset(r Record) (Keyset, error) {
	var ks Keyset
	if err := decodeStrict(r.Document, &ks); err != nil {
		return Keyset{}, fmt.Errorf("%w: %v", ErrDocument, err)
	}
	if ks.Version != r.Version {
		return Keyset{}, fmt.Errorf("%w: it says version %d, the store says %d", ErrDocument, ks.Version, r.Version)
	}
	if err := ks.validate(); err != nil {
		return Keyset{}, fmt.Errorf("%w: %v", ErrDocument, err)
	}
	return ks, nil
}

func decodeStrict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("trailing data")
	}
	return nil
}

func (ks Keyset) encode() ([]byte, error) {
	if err := ks.validate(); err != nil {
		return nil, fmt.Errorf("refusing to store a broken keyset: %v", err)
	}
	return json.Marshal(ks)
}

// validate holds each document that is read or written to the invariants that
// one version alone can show.
func (ks Keyset) validate() error {
	if ks.Schema != schema {
		return fmt.Errorf("schema %d is not %d; use the jwksctl that wrote it", ks.Schema, schema)
	}
	if ks.Version == 0 || ks.ID == "" || ks.SealingKey == "" || ks.ChangedAt.IsZero() {
		return errors.New("id, version, sealing_key or changed_at is missing")
	}
	if _, err := base64.RawURLEncoding.DecodeString(ks.ID); err != nil {
		return fmt.Errorf("id %q is not a kid", ks.ID) // it names a file of the witness
	}
	if err := ks.Policy.validate(); err != nil {
		return err
	}
	active, pending := 0, 0
	seen := map[string]bool{}
	for _, k := range slices.Concat(ks.Keys, ks.History, ks.specimens()) {
		kid := k.KeyID()
		switch {
		case kid == "" || kid != k.JWK.Thumbprint():
			return fmt.Errorf("kid %q is not the key's thumbprint", kid)
		case k.JWK.Algorithm() == "":
			return fmt.Errorf("key %s has no alg", kid)
		case seen[kid]:
			return fmt.Errorf("key %s stands in it twice", kid)
		case !k.RetiredAt.IsZero() && k.ExpiresAt.IsZero():
			return fmt.Errorf("key %s is retired and never expires", kid)
		}
		seen[kid] = true
	}
	for _, k := range ks.Keys {
		switch {
		case !k.RevokedAt.IsZero():
			return fmt.Errorf("revoked key %s stands among the live ones", k.KeyID())
		case !k.RetiredAt.IsZero():
		case !k.ActiveAt.IsZero():
			active++
		default:
			pending++
		}
	}
	if active != 1 || pending > 1 {
		return fmt.Errorf("%d active and %d pending keys, not one and at most one", active, pending)
	}
	return nil
}

// signers are the keys whose private half a process needs.
func (ks Keyset) signers() []Key {
	out := ks.specimens()
	for _, k := range ks.Keys {
		if k.RetiredAt.IsZero() {
			out = append(out, k)
		}
	}
	return out
}

// holds tells whether a kid stands anywhere in the document.
func (ks Keyset) holds(kid string) bool {
	return slices.ContainsFunc(slices.Concat(ks.Keys, ks.specimens(), ks.History), func(k Key) bool { return k.KeyID() == kid })
}

func (ks Keyset) specimens() []Key {
	if ks.Specimen == nil {
		return nil
	}
	return []Key{*ks.Specimen}
}

// Active is the one key that signs.
func (ks Keyset) Active() Key {
	for _, k := range ks.Keys {
		if !k.ActiveAt.IsZero() && k.RetiredAt.IsZero() {
			return k
		}
	}
	return Key{} // a validated keyset has one
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

// Public lists the keys of the JWKS at now: the active one, the pending one,
// then the retired ones, newest first. A key that has left stays away, also by
// a clock that stands before the moment at which it did.
func (ks Keyset) Public(now time.Time) []jwk.PublicKey {
	live := make([]*Key, 0, len(ks.Keys))
	for i := range ks.Keys {
		if k := &ks.Keys[i]; k.published(now) {
			live = append(live, k)
		}
	}
	slices.SortStableFunc(live, func(a, b *Key) int { return order(a, b, now) })
	out := make([]jwk.PublicKey, len(live))
	for i, k := range live {
		out[i] = k.JWK
	}
	return out
}

// publicUntil is when the answer of Public changes by the clock alone; zero if
// it does not.
func (ks Keyset) publicUntil(now time.Time) time.Time {
	var until time.Time
	for _, k := range ks.Keys {
		if k.State(now) == Retired {
			until = earliest(until, k.ExpiresAt)
		}
	}
	return until
}

// Sorted lists every key that is known, the history and the specimen included:
// by state in the order of the JWKS, then the newest first.
func (ks Keyset) Sorted(now time.Time) []Key {
	all := slices.Concat(ks.Keys, ks.specimens(), ks.History)
	slices.SortStableFunc(all, func(a, b Key) int { return order(&a, &b, now) })
	return all
}

// order sorts keys by state in the order of the JWKS, then the newest first.
func order(a, b *Key, now time.Time) int {
	states := [...]State{Active, Pending, Retired, Expired, Revoked}
	rank := func(k *Key) int { return slices.Index(states[:], k.State(now)) }
	return cmp.Or(rank(a)-rank(b), b.CreatedAt.Compare(a.CreatedAt))
}

// Find returns the keys that may verify a token that names kid: all of the JWKS
// for an empty kid, none for an unknown one, and a *WithdrawnError for one that
// has left.
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
			return nil, k.withdrawn()
		}
	}
	return nil, nil
}

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
