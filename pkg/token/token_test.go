package token_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

const (
	issuer   = "https://issuer.example"
	audience = "https://api.example"
)

// moment is the time at which every test runs; half a second past, so that rounding
// shows.
func moment() time.Time { return time.Unix(1_800_000_000, 5e8) }

//go:embed testdata/rsa2048.pem
var rsaPEM []byte

// rsaKey is the RSA key of the tests, raw, so that they can sign what jwk would not.
func rsaKey() *rsa.PrivateKey {
	block, _ := pem.Decode(rsaPEM)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		panic(err)
	}
	return key.(*rsa.PrivateKey)
}

// keys are one key for each algorithm, and one set of foreign keys.
var keys, foreignKeys = sync.OnceValue(makeKeys), sync.OnceValue(func() map[jwk.Algorithm]jwk.PrivateKey {
	keys := makeKeys()
	foreign, err := jwk.Generate(jwk.RS256, 0)
	if err != nil {
		panic(err)
	}
	keys[jwk.RS256] = foreign
	return keys
})

func makeKeys() map[jwk.Algorithm]jwk.PrivateKey {
	keys := make(map[jwk.Algorithm]jwk.PrivateKey)
	for _, alg := range jwk.Algorithms() {
		var key jwk.PrivateKey
		var err error
		if alg.KeyType() == "RSA" {
			key, err = jwk.NewPrivateKey(alg, rsaKey())
		} else {
			key, err = jwk.Generate(alg, 0)
		}
		if err != nil {
			panic(err)
		}
		keys[alg] = key
	}
	return keys
}

// set is a KeySource.
type set struct{ jwk.Set }

func (s set) Keys(_ context.Context, kid string) ([]jwk.PublicKey, error) {
	if kid == "" {
		return s.Set.Keys, nil
	}
	return s.ByKeyID(kid), nil
}

func source(keys ...jwk.PublicKey) set { return set{jwk.Set{Keys: keys}} }

// foreign reads a JWK as another issuer may publish it: the public half of key with
// some members changed (nil deletes one).
func foreign(tb testing.TB, key jwk.PrivateKey, change map[string]any) jwk.PublicKey {
	tb.Helper()
	data, err := json.Marshal(key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(data, &members); err != nil {
		tb.Fatal(err)
	}
	for name, value := range change {
		if members[name] = value; value == nil {
			delete(members, name)
		}
	}
	if data, err = json.Marshal(members); err != nil {
		tb.Fatal(err)
	}
	var public jwk.PublicKey
	if err := public.UnmarshalJSON(data); err != nil {
		tb.Fatal(err)
	}
	return public
}

// draft is a token in the making.
type draft struct {
	header, claims map[string]any
	rawHeader      string // replaces header, if set
	rawClaims      string // replaces claims, if set
	sign           func(input string) []byte
}

// good returns a draft that every verifier of these tests accepts.
func good(alg jwk.Algorithm) draft {
	now := moment().Unix()
	key := keys()[alg]
	return draft{
		header: map[string]any{"alg": string(alg), "kid": key.KeyID(), "typ": "JWT"},
		claims: map[string]any{
			"iss": issuer, "sub": "alice", "aud": audience, "jti": "1",
			"iat": now - 7200, "nbf": now - 7200, "exp": now + 3600,
		},
		sign: signer(key),
	}
}

func signer(key jwk.PrivateKey) func(string) []byte {
	return func(input string) []byte {
		signature, err := key.Sign([]byte(input))
		if err != nil {
			panic(err)
		}
		return signature
	}
}

// head returns the draft with one header member changed; nil deletes it.
func (d draft) head(name string, value any) draft {
	d.header = changed(d.header, name, value)
	return d
}

// claim returns the draft with one claim changed; nil deletes it.
func (d draft) claim(name string, value any) draft {
	d.claims = changed(d.claims, name, value)
	return d
}

func (d draft) by(sign func(string) []byte) draft { d.sign = sign; return d }

func changed(members map[string]any, name string, value any) map[string]any {
	members = maps.Clone(members)
	if members[name] = value; value == nil {
		delete(members, name)
	}
	return members
}

// null is a member that is there and null.
var null = json.RawMessage("null")

// input returns what is signed.
func (d draft) input() string {
	if d.rawHeader == "" {
		d.rawHeader = toJSON(d.header)
	}
	if d.rawClaims == "" {
		d.rawClaims = toJSON(d.claims)
	}
	return b64([]byte(d.rawHeader)) + "." + b64([]byte(d.rawClaims))
}

// String returns the signed token.
func (d draft) String() string {
	input := d.input()
	return input + "." + b64(d.sign(input))
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func toJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// verifier returns a verifier that accepts good(alg) for every alg.
func verifier() token.Verifier {
	var public []jwk.PublicKey
	for _, alg := range jwk.Algorithms() {
		public = append(public, keys()[alg].Public())
	}
	return token.Verifier{
		Keys: source(public...), Issuer: issuer, Audience: []string{audience}, Now: moment,
	}
}

// digest hashes as alg does.
func digest(hash crypto.Hash, input string) []byte {
	h := hash.New()
	h.Write([]byte(input))
	return h.Sum(nil)
}
