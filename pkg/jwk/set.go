package jwk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// Set is a JWK Set of public keys (RFC 7517, section 5), in order.
type Set struct{ Keys []PublicKey }

// Problem says why a key of a JWK Set cannot be used. The other keys of the set
// can (RFC 7517, section 5).
type Problem struct {
	Index int    // its index in the "keys" array, from 0
	KeyID string // its kid, "" if that could not be read
	Err   error
}

// String names the key and the reason.
func (p Problem) String() string {
	return fmt.Sprintf("key %d (kid %.80q): %v", p.Index, p.KeyID, p.Err)
}

// ParseSet reads a JWK Set. It leaves out keys that are broken, private or of an
// unknown kind and returns a Problem for each. It returns an error only if data is
// no JWK Set, or has more than 1000 keys; it is ErrKind if data is a key.
func ParseSet(data []byte) (Set, []Problem, error) {
	values, err := readSet(data)
	if err != nil {
		return Set{}, nil, err
	}
	var set Set
	var problems []Problem
	for i, data := range values {
		var key PublicKey
		if err := key.UnmarshalJSON(data); err != nil {
			problems = append(problems, Problem{Index: i, KeyID: keyIDOf(data), Err: err})
			continue
		}
		set.Keys = append(set.Keys, key)
	}
	return set, problems, nil
}

// readSet returns the values in the "keys" array of a JWK Set.
func readSet(data []byte) ([]jsontext.Value, error) {
	object, err := readMembers(data)
	switch {
	case err != nil && bytes.Contains(data, []byte("-----BEGIN ")): // a JWK Set may contain PEM, too, in members of its own
		return nil, fmt.Errorf("%w: PEM, but a JWK Set was expected", ErrKind)
	case err != nil:
		return nil, fmt.Errorf("not a JWK Set: %v", err)
	}
	if _, isSet := object["keys"]; !isSet && object.has("kty") {
		return nil, fmt.Errorf("%w: one key, but a JWK Set was expected", ErrKind)
	}
	dec := newDecoder(object["keys"])
	if open, err := dec.ReadToken(); err != nil || open.Kind() != jsontext.KindBeginArray {
		return nil, errors.New(`not a JWK Set: it has no array "keys"`)
	}
	var values []jsontext.Value
	for dec.PeekKind() != jsontext.KindEndArray {
		if len(values) == maxMembers {
			return nil, fmt.Errorf("unusable JWK Set: it has more than %d keys", maxMembers)
		}
		value, err := dec.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("not a JWK Set: %v", syntaxError(err))
		}
		values = append(values, value.Clone())
	}
	return values, nil
}

// keyIDOf returns the kid of a key that cannot be used, "" if it cannot be read.
func keyIDOf(data []byte) string {
	object, err := readMembers(data)
	if err != nil {
		return ""
	}
	kid, _ := object.text("kid")
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

// ByKeyID returns the keys with this kid, in order. A set may hold several keys of
// different types with one kid (RFC 7517, section 4.5).
func (s Set) ByKeyID(kid string) []PublicKey {
	var keys []PublicKey
	for _, key := range s.Keys {
		if key.kid == kid {
			keys = append(keys, key)
		}
	}
	return keys
}
