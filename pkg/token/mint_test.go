package token_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// hourly is a Signer whose tokens must expire within one hour.
type hourly struct {
	key jwk.PrivateKey
	now time.Time
	err error
}

func (h hourly) SigningKey(context.Context) (jwk.PrivateKey, time.Time, time.Time, error) {
	return h.key, h.now, h.now.Add(time.Hour), h.err
}

func minter(alg jwk.Algorithm) hourly { return hourly{key: keys()[alg], now: now()} }

func TestMintVerifies(t *testing.T) {
	for _, alg := range jwk.Algorithms() {
		minted, err := token.Mint(t.Context(), minter(alg), token.Request{Issuer: issuer, Audience: []string{audience}})
		if err != nil {
			t.Fatal(err)
		}
		verdict, err := verifier().Verify(t.Context(), minted.Compact)
		if err != nil || verdict.Algorithm != alg || minted.Algorithm != alg || verdict.KeyID != minted.KeyID {
			t.Errorf("%s: %v, verdict %+v", alg, err, verdict)
		}
		if claims := string(token.Inspect(minted.Compact).Claims); !strings.HasPrefix(claims, `{"aud":"`+audience+`",`) {
			t.Errorf("one audience is not a string: %s", claims)
		}
	}
}

// TestMintJSON pins the JSON: whole seconds, sorted names, every digit of a number.
func TestMintJSON(t *testing.T) {
	nbf := now().Add(time.Minute)
	minted, err := token.Mint(t.Context(), minter(jwk.EdDSA), token.Request{
		Issuer: issuer, Subject: "alice", Audience: []string{"a", "b"}, Scope: "read write", TTL: 90500 * time.Millisecond,
		NotBefore: &nbf, ID: "id", Type: "at+jwt",
		Claims: map[string]any{"big": json.Number("12345678901234567890"), "z": []any{nil, true, 1.5}, "client_id": "app"},
		Header: map[string]any{"x": "y"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !minted.IssuedAt.Equal(time.Unix(1_800_000_000, 0)) || !minted.ExpiresAt.Equal(time.Unix(1_800_000_090, 0)) {
		t.Errorf("issued at %s, expires at %s", minted.IssuedAt, minted.ExpiresAt)
	}
	seen := token.Inspect(minted.Compact)
	want := `{"aud":["a","b"],"big":12345678901234567890,"client_id":"app","exp":1800000090,"iat":1800000000,"iss":"https://issuer.example",` +
		`"jti":"id","nbf":1800000060,"scope":"read write","sub":"alice","z":[null,true,1.5]}`
	if diff := cmp.Diff(want, string(seen.Claims)); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	header := `{"alg":"EdDSA","kid":"` + minted.KeyID + `","typ":"at+jwt","x":"y"}`
	if diff := cmp.Diff(header, string(seen.Header)); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}

// TestMintEscapes pins how names and strings are sorted and escaped.
func TestMintEscapes(t *testing.T) {
	minted, err := token.Mint(t.Context(), minter(jwk.EdDSA), token.Request{
		Issuer: "a<b", Subject: `"\é`, ID: "id",
		Claims: map[string]any{"A": "a&b", "jt": int64(-1), "té\n": nil, "~": map[string]any{"b": 1, "a": "\u2028"}},
		Header: map[string]any{"a": "", "l": true},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"A":"a\u0026b","exp":1800003600,"iat":1800000000,"iss":"a\u003cb","jt":-1,"jti":"id","sub":"\"\\é","té\n":null,"~":{"a":"\u2028","b":1}}`
	parts, err := token.Split(minted.Compact, 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(parts.Payload)); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	want = `{"a":"","alg":"EdDSA","kid":"` + minted.KeyID + `","l":true,"typ":"JWT"}`
	if diff := cmp.Diff(want, string(parts.Header)); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}

// TestMintSize looks for the longest token.
func TestMintSize(t *testing.T) {
	longest := 0
	for n := 48_000; n < 49_000; n++ {
		minted, err := token.Mint(t.Context(), minter(jwk.EdDSA), token.Request{Subject: strings.Repeat("x", n)})
		if longest = max(longest, len(minted.Compact)); err != nil {
			break
		}
	}
	if longest > token.DefaultMaxSize || longest < token.DefaultMaxSize-1 {
		t.Errorf("the longest token has %d bytes, want %d or one less", longest, token.DefaultMaxSize)
	}
}

// brokenKey is a crypto.Signer that fails.
type brokenKey struct{ ed25519.PrivateKey }

func (brokenKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the signer is down")
}

func TestMintSignerFails(t *testing.T) {
	cause := errors.New("the keyset is too old")
	if _, err := token.Mint(t.Context(), hourly{err: cause}, token.Request{}); !errors.Is(err, cause) {
		t.Errorf("got %v, want the signer's error", err)
	}
	if _, err := token.Mint(t.Context(), hourly{now: now()}, token.Request{}); err == nil {
		t.Error("the zero key signed")
	}
	broken, err := jwk.NewPrivateKey(jwk.EdDSA, brokenKey{ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))})
	if err != nil {
		t.Fatal(err)
	}
	minted, err := token.Mint(t.Context(), hourly{key: broken, now: now()}, token.Request{})
	if err == nil || !strings.Contains(err.Error(), "the signer is down") || minted.Compact != "" {
		t.Errorf("minted %q, %v", minted.Compact, err)
	}
}

// TestMintZeroRequest checks the claims of an empty Request.
func TestMintZeroRequest(t *testing.T) {
	first, err := token.Mint(t.Context(), minter(jwk.EdDSA), token.Request{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := token.Mint(t.Context(), minter(jwk.EdDSA), token.Request{})
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`^{"exp":1800003600,"iat":1800000000,"jti":"[A-Z2-7]{26}"}$`)
	claims, other := token.Inspect(first.Compact).Claims, token.Inspect(second.Compact).Claims
	if !want.Match(claims) {
		t.Errorf("claims %s, want %s", claims, want)
	}
	if bytes.Equal(claims, other) {
		t.Error("two tokens have the same jti")
	}
}

func TestMintTTL(t *testing.T) {
	for _, ttl := range []time.Duration{time.Second, time.Hour, time.Hour + time.Second/2} {
		minted, err := token.Mint(t.Context(), minter(jwk.EdDSA), token.Request{TTL: ttl})
		if err != nil || minted.ExpiresAt.Sub(minted.IssuedAt) != ttl.Truncate(time.Second) {
			t.Errorf("ttl %s: %v, %s", ttl, err, minted.ExpiresAt.Sub(minted.IssuedAt))
		}
	}
	for _, ttl := range []time.Duration{time.Hour + time.Second, math.MaxInt64} {
		_, err := token.Mint(t.Context(), minter(jwk.EdDSA), token.Request{TTL: ttl})
		tooLong, ok := errors.AsType[*token.TTLError](err)
		if !ok || tooLong.Longest != time.Hour || tooLong.Asked != ttl || !strings.Contains(err.Error(), "1h0m0s") {
			t.Errorf("ttl %s: %v", ttl, err)
		}
	}
}

// expiring is a Signer whose tokens must expire in less than a second.
type expiring struct{ hourly }

func (e expiring) SigningKey(context.Context) (jwk.PrivateKey, time.Time, time.Time, error) {
	return e.key, e.now, e.now.Add(400 * time.Millisecond), nil
}

func TestMintTooLate(t *testing.T) {
	if minted, err := token.Mint(t.Context(), expiring{minter(jwk.EdDSA)}, token.Request{}); err == nil {
		t.Errorf("minted a token from %s to %s", minted.IssuedAt, minted.ExpiresAt)
	}
}

// refused is a request for which Mint returns an error.
type refused struct {
	request token.Request
	field   string
	message string // part of the message
}

func TestMintRefuses(t *testing.T) {
	claim := func(name string, value any) token.Request {
		return token.Request{Claims: map[string]any{name: value}}
	}
	late := now().Add(time.Hour)
	var deep any = 1
	for range 70 {
		deep = []any{deep}
	}
	checkMintRefuses(t, map[string]refused{
		"iss":               {token.Request{Issuer: "\xff"}, "iss", "UTF-8"},
		"sub":               {token.Request{Subject: "\xff"}, "sub", "UTF-8"},
		"scope":             {token.Request{Scope: "\xff"}, "scope", "UTF-8"},
		"jti":               {token.Request{ID: "\xff"}, "jti", "UTF-8"},
		"typ":               {token.Request{Type: "\xff"}, "typ", "UTF-8"},
		"aud":               {token.Request{Audience: []string{"a", "\xff"}}, "aud", "UTF-8"},
		"aud empty":         {token.Request{Audience: []string{""}}, "aud", "empty"},
		"ttl below 1s":      {token.Request{TTL: time.Second - 1}, "ttl", "1s"},
		"ttl negative":      {token.Request{TTL: -time.Second}, "ttl", "1s"},
		"nbf at exp":        {token.Request{NotBefore: &late}, "nbf", "expires"},
		"scope twice":       {token.Request{Scope: "a", Claims: map[string]any{"scope": "b"}}, "claims", "scope"},
		"claim value":       {claim("a", "\xff"), "claims", "UTF-8"},
		"claim name":        {claim("\xff", 1), "claims", "UTF-8"},
		"claim inside":      {claim("a", []any{map[string]any{"b": []string{"\xff"}}}), "claims", "UTF-8"},
		"claim type":        {claim("a", struct{}{}), "claims", "JSON"},
		"claim number":      {claim("a", json.Number("x")), "claims", "JSON"},
		"claim too large":   {claim("a", map[string]any{"b": []any{json.Number("-1e309")}}), "claims", "a number beyond the range of a double"},
		"header too large":  {token.Request{Header: map[string]any{"a": json.Number("1e309")}}, "header", "a number beyond the range of a double"},
		"claim infinite":    {claim("a", math.Inf(1)), "claims", "JSON"},
		"claim depth":       {claim("a", deep), "claims", "64"},
		"claim size":        {claim("a", strings.Repeat("x", 64<<10)), "claims", "limit"},
		"claim like sub":    {claim("\u017fub", "x"), "claims", "sub"},
		"claim scope case":  {claim("Scope", "x"), "claims", "scope"},
		"header value":      {token.Request{Header: map[string]any{"a": "\xff"}}, "header", "UTF-8"},
		"header upper case": {token.Request{Header: map[string]any{"ALG": "none"}}, "header", "ALG"},
	})
}

// TestCheck checks that Check refuses what Mint would refuse, and nothing else.
func TestCheck(t *testing.T) {
	at := func(d time.Duration) *time.Time { u := now().Add(d); return &u }
	for name, tt := range map[string]struct {
		request token.Request
		bad     bool
	}{
		"zero":           {token.Request{}, false},
		"longest":        {token.Request{TTL: time.Hour}, false},
		"too long":       {token.Request{TTL: time.Hour + time.Second}, true},
		"too short":      {token.Request{TTL: time.Millisecond}, true},
		"reserved":       {token.Request{Header: map[string]any{"alg": "none"}}, true},
		"not before end": {token.Request{TTL: time.Minute, NotBefore: at(time.Minute)}, true},
		"before end":     {token.Request{TTL: time.Minute, NotBefore: at(time.Minute - time.Second)}, false},
	} {
		if err := tt.request.Check(now(), time.Hour); (err != nil) != tt.bad {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMintReserved covers the names that Claims and Header must not contain.
func TestMintReserved(t *testing.T) {
	tests := map[string]refused{}
	for name, use := range map[string]string{
		"iss": "iss", "sub": "sub", "aud": "aud", "exp": "ttl", "nbf": "nbf", "iat": "leave it out", "jti": "jti", "EXP": "ttl", "Iat": "leave it out",
	} {
		tests["claim "+name] = refused{token.Request{Claims: map[string]any{name: "x"}}, "claims", use}
	}
	for _, name := range []string{
		"alg", "kid", "typ", "cty", "crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "epk", "apu", "apv", "iv", "tag", "p2s", "p2c",
	} {
		tests["header "+name] = refused{token.Request{Header: map[string]any{name: "x"}}, "header", name}
	}
	checkMintRefuses(t, tests)
}

func checkMintRefuses(t *testing.T, tests map[string]refused) {
	t.Helper()
	for name, test := range tests {
		_, err := token.Mint(t.Context(), minter(jwk.EdDSA), test.request)
		refused, ok := errors.AsType[*token.RequestError](err)
		if !ok || refused.Field != test.field || !strings.Contains(err.Error(), test.message) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMintKeepsRequest checks that Mint does not change the caller's maps.
func TestMintKeepsRequest(t *testing.T) {
	request := token.Request{Claims: map[string]any{"a": 1}, Header: map[string]any{"b": 2}}
	if _, err := token.Mint(t.Context(), minter(jwk.EdDSA), request); err != nil {
		t.Fatal(err)
	}
	want := token.Request{Claims: map[string]any{"a": 1}, Header: map[string]any{"b": 2}}
	if diff := cmp.Diff(want, request); diff != "" {
		t.Errorf("request (-before +after):\n%s", diff)
	}
}
