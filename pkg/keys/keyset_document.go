package keys

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
)

const (
	schema = 1

	// maxPublished limits the JWKS: some verifiers read no more than 16 keys, and a
	// set that grows without limit is a fault whatever its cause.
	maxPublished = 16

	// maxHistory limits the keys that are kept after they have left, so that a
	// refusal can name the reason.
	maxHistory = 64
)

// Keyset is the document that holds all of the state, as it is stored:
//
//	{
//	  "schema": 1, "id": "Fb3k…", "version": 7, "changed_at": "2026-01-02T15:04:05Z",
//	  "sealing_key": "seal-0123456789abcdef", "sealing_key_before": "seal-…",
//	  "policy": {"rotation_interval": "24h0m0s", …},
//	  "acts_until": …, "docs_until": …, "tokens_until": …,
//	  "keys": [{"jwk": {"kty": "RSA", "kid": …}, "created_at": …, "ready_at": …}, …],
//	  "specimen": {"jwk": …, "expires_at": …},
//	  "history": [{"jwk": …, "revoked_at": …, "reason": …}, …],
//	  "writes": [{"version": 7, "deadline": …}, {"version": 6, "deadline": …, "landed_after": …}, …]
//	}
//
// A Keyset is a value: a step returns a changed copy and leaves the original as it
// was.
type Keyset struct {
	Schema     int       `json:"schema"`
	ID         string    `json:"id"`                    // the kid of the first key that was generated for it: tells keysets apart
	Epoch      uint64    `json:"epoch,omitempty"`       // how often an operator accepted a restored backup or copied it to another store
	ClockEpoch uint64    `json:"clock_epoch,omitempty"` // how often an operator moved stamps from the future back
	Version    uint64    `json:"version"`
	ChangedAt  time.Time `json:"changed_at"`         // the latest time on any clock that changed it
	SealingKey string    `json:"sealing_key"`        // the name of the key that seals the private keys, all of them
	MovedTo    string    `json:"moved_to,omitempty"` // the store to which the keyset was copied; nobody may use it here
	Policy     Policy    `json:"policy"`

	// SealingKeyBefore is the sealing key before the last rotation of it. Backups from before
	// that need it.
	SealingKeyBefore string `json:"sealing_key_before,omitempty"`

	// The limits of what earlier policies allowed: until when a process may act on
	// such a policy, a cache may keep a JWKS published under it, and a token minted
	// under it may be valid. Zero until the policy changes for the first time.
	ActsUntil   time.Time `json:"acts_until,omitzero"`
	DocsUntil   time.Time `json:"docs_until,omitzero"`
	TokensUntil time.Time `json:"tokens_until,omitzero"`

	Keys     []Key   `json:"keys"`               // pending, active and retired keys
	Specimen *Key    `json:"specimen,omitempty"` // created expired, never published
	History  []Key   `json:"history,omitempty"`  // expired and revoked keys, newest first, at most maxHistory
	Writes   []Write `json:"writes,omitempty"`   // of the newest versions, newest first, at most maxWrites
}

// ErrDocument says that the store's document is not a keyset that this program can
// use.
var ErrDocument = errors.New("unusable keyset document")

// decodeKeyset reads a record of the store.
func decodeKeyset(r Record) (Keyset, error) {
	ks, err := parseKeyset(r.Document)
	if err != nil {
		return Keyset{}, fmt.Errorf("%w: %v", ErrDocument, err)
	}
	if ks.Version != r.Version {
		return Keyset{}, fmt.Errorf("%w: it says version %d, the store says %d", ErrDocument, ks.Version, r.Version)
	}
	return ks, nil
}

// parseKeyset reads a document strictly: an unknown member was written by a newer
// program, and rewriting the document would lose it.
func parseKeyset(document []byte) (Keyset, error) {
	var ks Keyset
	if err := jsonv2.Unmarshal(document, &ks, jsonv2.RejectUnknownMembers(true)); err != nil {
		return Keyset{}, err
	}
	return ks, ks.validate()
}

func (ks Keyset) encode() ([]byte, error) {
	if err := ks.validate(); err != nil {
		return nil, fmt.Errorf("refusing to store a broken keyset: %v", err)
	}
	return json.Marshal(ks)
}

// validate checks the invariants that a single version of the document can show. It
// runs on every document that is read or written.
func (ks Keyset) validate() error {
	if ks.Schema != schema {
		return fmt.Errorf("schema %d is not %d; use the jwksctl that wrote it", ks.Schema, schema)
	}
	if ks.Version == 0 || ks.ID == "" || ks.SealingKey == "" || ks.ChangedAt.IsZero() {
		return errors.New("id, version, sealing_key or changed_at is missing")
	}
	if ks.SealingKeyBefore == ks.SealingKey {
		return errors.New("sealing_key and sealing_key_before are the same")
	}
	if _, err := base64.RawURLEncoding.DecodeString(ks.ID); err != nil {
		return fmt.Errorf("id %q is not a kid", ks.ID) // the id is part of a file name of the witness
	}
	if err := ks.Policy.validate(); err != nil {
		return err
	}
	active, pending := 0, 0
	seen := map[string]bool{}
	for _, k := range ks.allKeys() {
		kid := k.KeyID()
		switch {
		case kid == "" || kid != k.JWK.Thumbprint():
			return fmt.Errorf("kid %q is not the key's thumbprint", kid)
		case k.JWK.Algorithm() == "":
			return fmt.Errorf("key %s has no alg", kid)
		case seen[kid]:
			return fmt.Errorf("the document contains key %s twice", kid)
		case !k.RetiredAt.IsZero() && k.ExpiresAt.IsZero():
			return fmt.Errorf("key %s is retired and never expires", kid)
		}
		seen[kid] = true
	}
	for _, k := range ks.Keys {
		switch {
		case !k.RevokedAt.IsZero():
			return fmt.Errorf("revoked key %s is among the published keys", k.KeyID())
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
	return ks.validateWrites()
}

// allKeys lists every key of the document.
func (ks Keyset) allKeys() []Key { return slices.Concat(ks.Keys, ks.specimens(), ks.History) }

// specimens is the specimen as a list of at most one key.
func (ks Keyset) specimens() []Key {
	if ks.Specimen == nil {
		return nil
	}
	return []Key{*ks.Specimen}
}

// contains reports whether a kid is anywhere in the document.
func (ks Keyset) contains(kid string) bool {
	return slices.ContainsFunc(ks.allKeys(), func(k Key) bool { return k.KeyID() == kid })
}
