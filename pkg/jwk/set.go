package jwk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Set is a JWK Set of public keys (RFC 7517, section 5), in order.
type Set struct{ Keys []PublicKey }

// Problem is a member of a JWK Set that cannot be used, and why. It is never
// fatal to the set (RFC 7517, section 5).
type Problem struct {
	Index int    // its place in the "keys" array, from 0
	KeyID string // its kid, "" if that could not be read
	Err   error
}

// String says which member it is and what is wrong with it.
func (p Problem) String() string {
	return fmt.Sprintf("key %d (kid %.80q): %v", p.Index, p.KeyID, p.Err)
}

// ParseSet reads a JWK Set. Members that cannot be used, be they broken, private
// or of a kind that is not known here, are left out and reported as problems; the
// error is for data that is no JWK Set at all, or one of more than 1000 members.
func ParseSet(data []byte) (Set, []Problem, error) {
	keys, err := rawSet(data)
	if err != nil {
		return Set{}, nil, err
	}
	var set Set
	var problems []Problem
	for i, data := range keys {
		var key PublicKey
		if err := key.UnmarshalJSON(data); err != nil {
			problems = append(problems, Problem{Index: i, KeyID: keyIDOf(data), Err: err})
			continue
		}
		set.Keys = append(set.Keys, key)
	}
	return set, problems, nil
}

// maxMembers bounds what a set, or a key of it, may cost its readers. Real ones have
// a few dozen members.
const maxMembers = 1000

// rawSet returns the members of a JWK Set, unread.
func rawSet(data []byte) ([]json.RawMessage, error) {
	found, err := readMembers(data)
	if err != nil {
		return nil, fmt.Errorf("not a JWK Set: %v", err)
	}
	dec := json.NewDecoder(bytes.NewReader(found["keys"]))
	if open, err := dec.Token(); err != nil || open != json.Delim('[') {
		return nil, errors.New(`not a JWK Set: it has no array "keys"`)
	}
	var keys []json.RawMessage
	for dec.More() {
		if len(keys) == maxMembers {
			return nil, fmt.Errorf("not a JWK Set of use: it has more than %d members", maxMembers)
		}
		var key json.RawMessage
		if err := dec.Decode(&key); err != nil {
			return nil, fmt.Errorf("not a JWK Set: %v", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// keyIDOf reads the kid of a member that is otherwise unusable, as far as it can.
func keyIDOf(data []byte) string {
	found, err := readMembers(data)
	if err != nil {
		return ""
	}
	kid, _ := found.text("kid")
	return kid
}

// MarshalJSON writes {"keys":[…]}, with an empty array if there are no keys.
func (s Set) MarshalJSON() ([]byte, error) {
	keys := s.Keys
	if keys == nil {
		keys = []PublicKey{}
	}
	return json.Marshal(struct {
		Keys []PublicKey `json:"keys"`
	}{keys})
}

// ByKeyID returns the keys with this kid, in order. A set may hold several, of
// different types (RFC 7517, section 4.5).
func (s Set) ByKeyID(kid string) []PublicKey {
	var keys []PublicKey
	for _, key := range s.Keys {
		if key.kid == kid {
			keys = append(keys, key)
		}
	}
	return keys
}
