package token_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
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

// hourly signs tokens that live one hour at most.
type hourly struct {
	key jwk.PrivateKey
	now time.Time
	err error
}

func (h hourly) SigningKey(context.Context) (jwk.PrivateKey, time.Time, time.Time, error) {
	return h.key, h.now, h.now.Add(time.Hour), h.err
}

func minter(alg jwk.Algorithm) hourly { return hourly{key: keys()[alg], now: moment()} }

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

// TestMintJSON pins what is written: whole seconds, the names' order, no digit lost.
func TestMintJSON(t *testing.T) {
	nbf := moment().Add(time.Minute)
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

// TestMintOrder pins where free members stand, and how text is written.
func TestMintOrder(t *testing.T) {
	minted, err := token.Mint(t.Context(), minter(jwk.EdDSA), token.Request{
		Issuer: "a<b", Subject: `"\é`, Audience: []string{"a&b", "c"}, ID: "id",
		Claims: map[string]any{
			"A": "a&b", "aud2": 1, "iz": []string{"<"}, "jt": int64(-1), "té\n": nil, "~": map[string]any{"b": 1, "a": 2},
			"t1": "<\x01", "t2": "<\u2028", "t3": `<"`, "t4": `<\`, "t5": "<~",
		},
		Header: map[string]any{"a": "", "b": 1, "l": true, "z": "z"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"A":"a&b","aud":["a\u0026b","c"],"aud2":1,"exp":1800003600,"iat":1800000000,"iss":"a<b","iz":["\u003c"],"jt":-1,` +
		`"jti":"id","sub":"\"\\é","t1":"\u003c\u0001","t2":"\u003c\u2028","t3":"\u003c\"","t4":"\u003c\\","t5":"<~","té\n":null,"~":{"a":2,"b":1}}`
	if diff := cmp.Diff(want, string(token.Inspect(minted.Compact).Claims)); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	want = `{"a":"","alg":"EdDSA","b":1,"kid":"` + minted.KeyID + `","l":true,"typ":"JWT","z":"z"}`
	if diff := cmp.Diff(want, string(token.Inspect(minted.Compact).Header)); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}

// TestMintSizes mints tokens of many lengths, each in the space of the one before,
// and looks for the longest.
func TestMintSizes(t *testing.T) {
	v := verifier()
	var m token.Minter
	var b []byte
	for n := range 1000 {
		text := strings.Repeat("x", n+1)
		var err error
		b, _, err = m.Append(t.Context(), b[:0], minter(jwk.EdDSA), token.Request{
			Issuer: issuer, Subject: text, Audience: []string{audience}, Header: map[string]any{"x": text},
		})
		if err != nil {
			t.Fatal(err)
		}
		if verdict, err := v.Verify(t.Context(), string(b)); err != nil || verdict.Claims["sub"] != text {
			t.Fatalf("sub of %d bytes: %v, %v", len(text), verdict.Claims["sub"], err)
		}
	}
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

// brokenSigner is a key in another machine that is down.
type brokenSigner struct{ ed25519.PrivateKey }

func (brokenSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("down")
}

// TestMinterForgets mints one token after another, with what the last one needed no
// more, and compares each with that of a new Minter.
func TestMinterForgets(t *testing.T) {
	other, err := jwk.Generate(jwk.EdDSA, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, scratch, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	broken, err := jwk.NewPrivateKey(jwk.EdDSA, brokenSigner{scratch})
	if err != nil {
		t.Fatal(err)
	}
	var m token.Minter
	for i, tt := range []struct {
		key jwk.PrivateKey
		token.Request
	}{
		{keys()[jwk.EdDSA], token.Request{}},
		{keys()[jwk.EdDSA], token.Request{}},
		{keys()[jwk.EdDSA], token.Request{Type: "at+jwt"}},
		{keys()[jwk.EdDSA], token.Request{Type: "at+jwt", Header: map[string]any{"x": 1}}},
		{keys()[jwk.EdDSA], token.Request{Type: "at+jwt", Header: map[string]any{"y": 2}}},
		{keys()[jwk.EdDSA], token.Request{Type: "at+jwt"}},
		{other, token.Request{}},
		{broken, token.Request{}},
		{keys()[jwk.EdDSA], token.Request{Subject: strings.Repeat("x", 2000)}},
		{keys()[jwk.RS256], token.Request{}},
		{keys()[jwk.RS512], token.Request{Claims: map[string]any{"x": 1}}},
		{keys()[jwk.EdDSA], token.Request{Subject: string([]byte{0xff})}},
		{keys()[jwk.EdDSA], token.Request{}},
	} {
		tt.ID = "id"
		signer := hourly{key: tt.key, now: moment()}
		b, got, err := m.Append(t.Context(), []byte("before "), signer, tt.Request)
		got.Compact, _ = strings.CutPrefix(string(b), "before ")
		want, wantErr := token.Mint(t.Context(), signer, tt.Request)
		if got != want || (err == nil) != (wantErr == nil) || !strings.HasPrefix(string(b), "before ") {
			t.Errorf("token %d: %+v, %v, want %+v, %v", i, got, err, want, wantErr)
		}
	}
}

// TestMintCost holds what a Minter leaves to the garbage collector beside signature
// and jti: nothing.
func TestMintCost(t *testing.T) {
	var signer token.Signer = minter(jwk.EdDSA)
	key, input := keys()[jwk.EdDSA], []byte(good(jwk.EdDSA).input())
	request := token.Request{Issuer: issuer, Subject: "alice", Audience: []string{audience}, Scope: "read write"}
	bare := testing.AllocsPerRun(200, func() {
		if _, err := key.Sign(input); err != nil || rand.Text() == "" {
			t.Error(err)
		}
	})
	var m token.Minter
	var b []byte
	whole := testing.AllocsPerRun(200, func() {
		var err error
		if b, _, err = m.Append(t.Context(), b[:0], signer, request); err != nil {
			t.Error(err)
		}
	})
	if whole > bare {
		t.Errorf("%v allocations, signature and jti take %v, want no more", whole, bare)
	}
}

// TestMintLeast checks what a token has that nobody asked for anything.
func TestMintLeast(t *testing.T) {
	first, err := token.Mint(t.Context(), minter(jwk.EdDSA), token.Request{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := token.Mint(t.Context(), minter(jwk.EdDSA), token.Request{})
	if err != nil {
		t.Fatal(err)
	}
	least := regexp.MustCompile(`^{"exp":1800003600,"iat":1800000000,"jti":"[A-Z2-7]{26}"}$`)
	claims, others := token.Inspect(first.Compact).Claims, token.Inspect(second.Compact).Claims
	if !least.Match(claims) {
		t.Errorf("claims %s, want %s", claims, least)
	}
	if bytes.Equal(claims, others) {
		t.Error("two tokens have one jti")
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

// dying signs for less than a second more.
type dying struct{ hourly }

func (d dying) SigningKey(context.Context) (jwk.PrivateKey, time.Time, time.Time, error) {
	return d.key, d.now, d.now.Add(400 * time.Millisecond), nil
}

func TestMintNothingLeft(t *testing.T) {
	if minted, err := token.Mint(t.Context(), dying{minter(jwk.EdDSA)}, token.Request{}); err == nil {
		t.Errorf("minted a token from %s to %s", minted.IssuedAt, minted.ExpiresAt)
	}
	cause := errors.New("the keyset is too old")
	_, err := token.Mint(t.Context(), hourly{err: cause}, token.Request{})
	if !errors.Is(err, cause) {
		t.Errorf("got %v, want the signer's error", err)
	}
	if _, err := token.Mint(t.Context(), hourly{now: moment()}, token.Request{}); err == nil {
		t.Error("the zero key signed")
	}
}

// refused is a request that cannot be met, and what the error says.
type refused struct {
	request token.Request
	field   string
	names   string // what the message must name
}

func TestMintRefuses(t *testing.T) {
	claim := func(name string, value any) token.Request {
		return token.Request{Claims: map[string]any{name: value}}
	}
	late := moment().Add(time.Hour)
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
		"nbf at exp":        {token.Request{NotBefore: &late}, "nbf", "end"},
		"scope twice":       {token.Request{Scope: "a", Claims: map[string]any{"scope": "b"}}, "claims", "scope"},
		"claim value":       {claim("a", "\xff"), "claims", "UTF-8"},
		"claim name":        {claim("\xff", 1), "claims", "UTF-8"},
		"claim inside":      {claim("a", []any{map[string]any{"b": []string{"\xff"}}}), "claims", "UTF-8"},
		"claim kind":        {claim("a", struct{}{}), "claims", "JSON"},
		"claim number":      {claim("a", json.Number("x")), "claims", "JSON"},
		"claim infinite":    {claim("a", math.Inf(1)), "claims", "JSON"},
		"claim depth":       {claim("a", deep), "claims", "64"},
		"claim size":        {claim("a", strings.Repeat("x", 64<<10)), "claims", "limit"},
		"claim near miss":   {claim("\u017fub", "x"), "claims", "sub"},
		"claim scope case":  {claim("Scope", "x"), "claims", "scope"},
		"header value":      {token.Request{Header: map[string]any{"a": "\xff"}}, "header", "UTF-8"},
		"header upper case": {token.Request{Header: map[string]any{"ALG": "none"}}, "header", "ALG"},
	})
}

// Check tells early what would fail, and nothing else.
func TestCheckForesees(t *testing.T) {
	now := time.Unix(1_700_000_000, 5e8)
	at := func(d time.Duration) *time.Time { u := now.Add(d); return &u }
	for name, tt := range map[string]struct {
		request token.Request
		bad     bool
	}{
		"least":          {token.Request{}, false},
		"longest":        {token.Request{TTL: time.Hour}, false},
		"too long":       {token.Request{TTL: time.Hour + time.Second}, true},
		"too short":      {token.Request{TTL: time.Millisecond}, true},
		"reserved":       {token.Request{Header: map[string]any{"alg": "none"}}, true},
		"not before end": {token.Request{TTL: time.Minute, NotBefore: at(time.Minute)}, true},
		"before end":     {token.Request{TTL: time.Minute, NotBefore: at(time.Minute - time.Second)}, false},
	} {
		if err := tt.request.Check(now, time.Hour); (err != nil) != tt.bad {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMintReserved covers the names that a request may not set freely.
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
		if !ok || refused.Field != test.field || !strings.Contains(err.Error(), test.names) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMintKeepsRequest checks that the caller's maps stay as they were.
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
