package jwk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
)

// params are the members of a JWK that are the key itself.
type params struct {
	KeyType string `json:"-"`
	Curve   string `json:"crv,omitempty"`
	X       string `json:"x,omitempty"`
	Y       string `json:"y,omitempty"`
	N       string `json:"n,omitempty"`
	E       string `json:"e,omitempty"`
}

// wire is a public JWK; the order of its fields is the order on the wire.
type wire struct {
	KeyType    string    `json:"kty"`
	KeyID      string    `json:"kid,omitempty"`
	Use        string    `json:"use,omitempty"`
	Algorithm  Algorithm `json:"alg,omitempty"`
	Operations []string  `json:"key_ops,omitzero"`
	params
}

// privateMembers are the members that only a private or symmetric JWK has (RFC
// 7518, sections 6.2.2, 6.3.2 and 6.4; RFC 9964).
func privateMembers() []string {
	return []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}
}

// MarshalJSON writes the JWK (RFC 7517, section 4).
func (k PublicKey) MarshalJSON() ([]byte, error) {
	if k.material == nil {
		return nil, errors.New("empty key")
	}
	return json.Marshal(wire{k.params.KeyType, k.kid, k.use, k.alg, k.ops, k.params})
}

// UnmarshalJSON reads the JWK of a public key. It refuses private and symmetric
// keys, parameters that are not canonical, members of the wrong type, repeated
// members, an alg that is not in the table or does not fit the key. Members that it
// does not know are passed over, x5c and its kin included.
func (k *PublicKey) UnmarshalJSON(data []byte) error {
	found, err := readMembers(data)
	if err != nil {
		return err
	}
	for _, name := range privateMembers() {
		if _, ok := found[name]; ok {
			return fmt.Errorf("a public key was expected, but the JWK has the private member %q", name)
		}
	}
	parsed, err := found.public()
	if err != nil {
		return err
	}
	*k = parsed
	return nil
}

// members are the members of a JSON object, names in their exact case.
type members map[string]json.RawMessage

// readMembers reads one JSON object. It refuses repeated names, since readers
// differ in which one they believe (RFC 7517, section 4), and anything after it.
func readMembers(data []byte) (members, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	found := members{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("broken JSON: %v", err)
		}
		if len(found) == maxMembers {
			return nil, fmt.Errorf("an object of more than %d members", maxMembers)
		}
		name, _ := token.(string) // the decoder gives nothing else here
		if _, ok := found[name]; ok {
			return nil, fmt.Errorf("member %.80q occurs twice", name)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("broken JSON: %v", err)
		}
		found[name] = value
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return nil, fmt.Errorf("broken JSON: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return found, nil
}

// text returns the string that name holds, "" if there is none.
func (m members) text(name string) (string, error) {
	value, ok := m[name]
	if !ok {
		return "", nil
	}
	var s *string
	if err := json.Unmarshal(value, &s); err != nil || s == nil {
		return "", fmt.Errorf("member %q is not a string", name)
	}
	return *s, nil
}

// public reads the public part of a JWK and passes over everything else.
func (m members) public() (PublicKey, error) {
	keyType, err := m.text("kty")
	if err != nil {
		return PublicKey{}, err
	}
	k, err := m.material(keyType)
	if err != nil {
		return PublicKey{}, err
	}
	if k.kid, err = m.text("kid"); err != nil {
		return PublicKey{}, err
	}
	if k.alg, err = m.algorithm(k); err != nil {
		return PublicKey{}, err
	}
	if k.use, err = m.text("use"); err != nil {
		return PublicKey{}, err
	}
	if ops, ok := m["key_ops"]; ok {
		if err := json.Unmarshal(ops, &k.ops); err != nil || k.ops == nil {
			return PublicKey{}, errors.New(`member "key_ops" is not an array of strings`)
		}
	}
	return k, nil
}

// algorithm returns the alg of a JWK, "" if there is none. It must suit k, the key
// alone; whether use and key_ops allow it too is for Fits to say.
func (m members) algorithm(k PublicKey) (Algorithm, error) {
	name, err := m.text("alg")
	if _, ok := m["alg"]; !ok || err != nil {
		return "", err
	}
	alg, err := ParseAlgorithm(name)
	if err != nil {
		return "", err
	}
	return alg, k.Fits(alg)
}

// material makes a bare key of the parameters. go-jose sees these alone, so that
// no other member can trouble it.
func (m members) material(keyType string) (PublicKey, error) {
	names := paramNames(keyType)
	if names == nil {
		return PublicKey{}, fmt.Errorf("key type %.80q cannot be used: use RSA, EC or OKP", keyType)
	}
	given := map[string]string{"kty": keyType}
	for _, name := range names {
		value, err := m.text(name)
		if err != nil {
			return PublicKey{}, err
		}
		given[name] = value
	}
	data, err := json.Marshal(given)
	if err != nil {
		return PublicKey{}, fmt.Errorf("encode the parameters: %v", err)
	}
	var parsed jose.JSONWebKey
	if err := parsed.UnmarshalJSON(data); err != nil {
		return PublicKey{}, reason(err)
	}
	k, err := bare(parsed.Key)
	if err != nil {
		return PublicKey{}, err
	}
	if k.params != (params{keyType, given["crv"], given["x"], given["y"], given["n"], given["e"]}) {
		return PublicKey{}, errors.New("the parameters are not in their one form: " +
			"base64url without padding or line breaks, numbers without leading zeros (RFC 7518, section 6)")
	}
	return k, nil
}

// paramNames are the members that make the key, by key type.
func paramNames(keyType string) []string {
	switch keyType {
	case typeRSA:
		return []string{"n", "e"}
	case typeEC:
		return []string{"crv", "x", "y"}
	case typeOKP:
		return []string{"crv", "x"}
	default:
		return nil
	}
}

// paramsOf returns the parameters as go-jose spells them.
func paramsOf(key jose.JSONWebKey) (params, error) {
	data, err := key.MarshalJSON()
	if err != nil {
		return params{}, reason(err)
	}
	var w wire
	if err := json.Unmarshal(data, &w); err != nil {
		return params{}, fmt.Errorf("decode the parameters: %v", err)
	}
	w.params.KeyType = w.KeyType
	return w.params, nil
}
