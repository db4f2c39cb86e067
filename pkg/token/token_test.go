package token_test

import (
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
	"github.com/jwksctl/jwksctl/pkg/token"
)

const (
	issuer   = "https://issuer.example"
	audience = "https://api.example"
)

// now is the time of every test. It has half a second, so that a missing rounding shows.
func now() time.Time { return time.Unix(1_800_000_000, 5e8) }

//go:embed testdata/rsa2048.pem
var rsaPEM []byte // signed tokens of the fuzz corpus

// keys returns one key for each algorithm.
var keys = sync.OnceValue(func() map[jwk.Algorithm]jwk.PrivateKey {
	const reserved = 4 // keys of keystest that the gallery uses
	keys := make(map[jwk.Algorithm]jwk.PrivateKey)
	for i, alg := range jwk.Algorithms() {
		var err error
		switch {
		case alg == jwk.RS256:
			block, _ := pem.Decode(rsaPEM)
			keys[alg], err = jwk.ParsePKCS8(alg, block.Bytes)
		case alg.KeyType() == "RSA":
			keys[alg], err = keystest.RSA(alg, reserved+i)
		default:
			keys[alg], err = jwk.Generate(alg, 0)
		}
		if err != nil {
			panic(err)
		}
	}
	return keys
})

// set is a KeySource.
type set struct{ jwk.Set }

func (s set) Keys(_ context.Context, kid string) ([]jwk.PublicKey, error) {
	if kid == "" {
		return s.Set.Keys, nil
	}
	return s.ByKeyID(kid), nil
}

func source(keys ...jwk.PublicKey) set { return set{jwk.Set{Keys: keys}} }

// withMembers returns the public key with some members of its JWK changed; nil deletes
// a member.
func withMembers(tb testing.TB, key jwk.PrivateKey, change map[string]any) jwk.PublicKey {
	tb.Helper()
	members := map[string]any{}
	if err := json.Unmarshal([]byte(toJSON(key.Public())), &members); err != nil {
		tb.Fatal(err)
	}
	for name, value := range change {
		members = changed(members, name, value)
	}
	var public jwk.PublicKey
	if err := public.UnmarshalJSON([]byte(toJSON(members))); err != nil {
		tb.Fatal(err)
	}
	return public
}

// draft is a token that is not signed yet.
type draft struct {
	header, claims map[string]any
	rawHeader      string // replaces header, if set
	rawClaims      string // replaces claims, if set
	key            jwk.PrivateKey
}

// good returns the draft of a token that verifier() accepts.
func good(alg jwk.Algorithm) draft {
	seconds := now().Unix()
	key := keys()[alg]
	return draft{
		header: map[string]any{"alg": string(alg), "kid": key.KeyID(), "typ": "JWT"},
		claims: map[string]any{
			"iss": issuer, "sub": "alice", "aud": audience, "jti": "1",
			"iat": seconds - 7200, "nbf": seconds - 7200, "exp": seconds + 3600,
		},
		key: key,
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

func changed(members map[string]any, name string, value any) map[string]any {
	members = maps.Clone(members)
	if members[name] = value; value == nil {
		delete(members, name)
	}
	return members
}

// null is the value of a member that is present and null.
var null = json.RawMessage("null")

// input returns the signing input.
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
func (d draft) String() string { return signed(d.key, d.input()) }

// signed appends the signature to a signing input.
func signed(key jwk.PrivateKey, input string) string {
	signature, err := key.Sign([]byte(input))
	if err != nil {
		panic(err)
	}
	return input + "." + b64(signature)
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
		Keys: source(public...), Issuer: []string{issuer}, Audience: []string{audience}, Now: now,
	}
}
