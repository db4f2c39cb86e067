package jwk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// params are the members of a JWK that make the key (RFC 7518, section 6).
type params struct {
	KeyType string `json:"kty"`
	Curve   string `json:"crv,omitempty"`
	X       string `json:"x,omitempty"`
	Y       string `json:"y,omitempty"`
	N       string `json:"n,omitempty"`
	E       string `json:"e,omitempty"`
}

// MarshalJSON writes the JWK (RFC 7517, section 4).
func (k PublicKey) MarshalJSON() ([]byte, error) {
	if k.material == nil {
		return nil, errors.New("empty key")
	}
	return json.Marshal(struct { // the order of the fields is the order of the members
		KeyType    string    `json:"kty"`
		KeyID      string    `json:"kid,omitempty"`
		Use        string    `json:"use,omitempty"`
		Algorithm  Algorithm `json:"alg,omitempty"`
		Operations []string  `json:"key_ops,omitzero"`
		params
	}{k.params.KeyType, k.kid, k.use, k.alg, k.ops, k.params})
}

// UnmarshalJSON reads the JWK of a public key. It refuses private and symmetric
// keys, members of the wrong type, duplicate names, and an alg that is unknown or that
// the key cannot verify. It ignores unknown members and all references to certificates,
// such as x5c. It accepts what has one meaning although RFC 7517 and RFC 7518 do not
// allow it, because providers publish it: parameters in other forms of base64 or with
// missing or additional leading zeros, and null or an empty value for an absent member.
// Lint reports these.
func (k *PublicKey) UnmarshalJSON(data []byte) error {
	object, err := readMembers(data)
	if err != nil {
		return err
	}
	if name := object.privateName(); name != "" {
		return fmt.Errorf("a public key was expected, but the JWK has the private member %q", name)
	}
	parsed, err := object.public()
	if err != nil {
		return err
	}
	*k = parsed
	return nil
}

// members are the members of a JSON object by their exact names. The values are
// valid JSON, but are not decoded yet.
type members map[string]jsontext.Value

// has reports whether a member has a value: null, "" and an empty array are none.
func (m members) has(name string) bool {
	switch value := m[name]; value.Kind() {
	case jsontext.KindInvalid, jsontext.KindNull:
		return false
	case jsontext.KindString:
		return len(value) > len(`""`)
	case jsontext.KindBeginArray:
		return len(bytes.TrimSpace(value[1:len(value)-1])) > 0
	default:
		return true
	}
}

// maxMembers is the largest number of members of an object and of keys in a set. It
// limits the memory that a hostile document takes. Real ones have a few dozen.
const maxMembers = 1000

// readMembers reads one JSON object. It refuses duplicate names, because readers
// differ in which one counts (RFC 7517, section 4), and anything after the object.
func readMembers(data []byte) (members, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not valid UTF-8")
	}
	dec := newDecoder(data)
	if open, err := dec.ReadToken(); err != nil || open.Kind() != jsontext.KindBeginObject {
		return nil, errors.New("not a JSON object")
	}
	object := members{}
	for dec.PeekKind() == jsontext.KindString {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, syntaxError(err)
		}
		name := token.String()
		if _, ok := object[name]; ok {
			return nil, fmt.Errorf("member %.80q occurs twice", name)
		}
		if len(object) == maxMembers {
			return nil, fmt.Errorf("an object of more than %d members", maxMembers)
		}
		value, err := dec.ReadValue()
		if err != nil {
			return nil, syntaxError(err)
		}
		object[name] = value.Clone()
	}
	if _, err := dec.ReadToken(); err != nil { // the closing brace
		return nil, syntaxError(err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more data follows the JSON object")
	}
	return object, nil
}

// newDecoder returns a decoder that accepts duplicate names and unpaired surrogates,
// which are refused when the value that they stand in is decoded: one broken key
// must not make the other keys of a set unusable.
func newDecoder(data []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// syntaxError says where the JSON is broken. It does not quote the text there,
// which may be secret.
func syntaxError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("broken JSON: it is incomplete")
	}
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Errorf("broken JSON at byte %d", syntax.ByteOffset)
	}
	return fmt.Errorf("broken JSON: %v", err)
}

// privateName returns the name of a member with a value that only private and symmetric
// keys have (RFC 7518, sections 6.2.2, 6.3.2 and 6.4; RFC 9964), "" if there is none.
func (m members) privateName() string {
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
		if m.has(name) {
			return name
		}
	}
	return ""
}

// text returns the string in the member name, "" if it has no value. The
// syntax of the value was checked before; an unpaired surrogate was not.
func (m members) text(name string) (string, error) {
	if !m.has(name) {
		return "", nil
	}
	value := m[name]
	if value.Kind() != jsontext.KindString {
		return "", fmt.Errorf("member %q is not a string", name)
	}
	var s string
	if err := jsonv2.Unmarshal(value, &s); err != nil {
		return "", fmt.Errorf("member %q has half of a surrogate pair", name)
	}
	return s, nil
}

// field is the name of a string member and the variable for its value.
type field struct {
	name string
	to   *string
}

// texts reads several members as text does.
func (m members) texts(fields ...field) error {
	for _, f := range fields {
		var err error
		if *f.to, err = m.text(f.name); err != nil {
			return err
		}
	}
	return nil
}

// bare returns the public key of a JWK without its kid, alg, use and key_ops.
func (m members) bare() (PublicKey, error) {
	p, err := m.params()
	if err != nil {
		return PublicKey{}, err
	}
	if p, _, err = p.canonical(); err != nil {
		return PublicKey{}, err
	}
	material, err := decodeJWK(p)
	if err != nil {
		return PublicKey{}, err
	}
	return newKey(material)
}

// public returns the public key of a JWK. It ignores every other member.
func (m members) public() (PublicKey, error) {
	k, err := m.bare()
	if err != nil {
		return PublicKey{}, err
	}
	if k.alg, err = m.algorithm(k); err != nil {
		return PublicKey{}, err
	}
	if err := m.texts(field{"kid", &k.kid}, field{"use", &k.use}); err != nil {
		return PublicKey{}, err
	}
	if m.has("key_ops") && jsonv2.Unmarshal(m["key_ops"], &k.ops) != nil {
		return PublicKey{}, errors.New(`member "key_ops" is not an array of strings`)
	}
	return k, nil
}

// algorithm returns the alg of a JWK, "" if there is none. It refuses an alg that k
// cannot verify. CheckAlgorithm checks later whether use and key_ops allow it.
func (m members) algorithm(k PublicKey) (Algorithm, error) {
	name, err := m.text("alg")
	if name == "" || err != nil {
		return "", err
	}
	alg, err := ParseAlgorithm(name)
	if err != nil {
		return "", err
	}
	return alg, k.CheckAlgorithm(alg)
}

// params returns the parameters that the key type has, and ignores others.
func (m members) params() (p params, err error) {
	if p.KeyType, err = m.text("kty"); err != nil {
		return params{}, err
	}
	switch p.KeyType {
	case typeRSA:
		err = m.texts(field{"n", &p.N}, field{"e", &p.E})
	case typeEC:
		err = m.texts(field{"crv", &p.Curve}, field{"x", &p.X}, field{"y", &p.Y})
	case typeOKP:
		err = m.texts(field{"crv", &p.Curve}, field{"x", &p.X})
	default:
		err = fmt.Errorf("unsupported key type %.80q: use RSA, EC or OKP", p.KeyType)
	}
	return p, err
}

// decodeJWK passes the members in v, and no others, to go-jose and returns the key.
func decodeJWK(v any) (key any, err error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode the parameters: %v", err)
	}
	var parsed jose.JSONWebKey
	if err := parsed.UnmarshalJSON(data); err != nil {
		return nil, joseError(err)
	}
	return parsed.Key, nil
}

// paramsOf returns the parameters of a public key as go-jose writes them.
func paramsOf(key jose.JSONWebKey) (params, error) {
	data, err := key.MarshalJSON()
	if err != nil {
		return params{}, joseError(err)
	}
	object, err := readMembers(data)
	if err != nil {
		return params{}, err
	}
	return object.params()
}
