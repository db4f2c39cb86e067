package jwk_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// TestThumbprintVector is the example of RFC 7638, section 3.1.
func TestThumbprintVector(t *testing.T) {
	var key jwk.PublicKey
	err := key.UnmarshalJSON([]byte(`{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := key.Thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"; got != want {
		t.Errorf("thumbprint %s, want %s", got, want)
	}
	if key.KeyID() != "2011-04-29" || key.Algorithm() != jwk.RS256 || key.Use() != "" || key.Operations() != nil {
		t.Errorf("kid %q, alg %q, use %q, key_ops %v", key.KeyID(), key.Algorithm(), key.Use(), key.Operations())
	}
}

func TestMarshal(t *testing.T) {
	shapes := map[string]*regexp.Regexp{
		"RSA": regexp.MustCompile(`^{"kty":"RSA","kid":"[\w-]{43}","use":"sig","alg":"[RP]S\d{3}","n":"[\w-]{342}","e":"AQAB"}$`),
		"EC":  regexp.MustCompile(`^{"kty":"EC","kid":"[\w-]{43}","use":"sig","alg":"ES\d{3}","crv":"P-\d{3}","x":"[\w-]+","y":"[\w-]+"}$`),
		"OKP": regexp.MustCompile(`^{"kty":"OKP","kid":"[\w-]{43}","use":"sig","alg":"EdDSA","crv":"Ed25519","x":"[\w-]{43}"}$`),
	}
	for _, alg := range jwk.Algorithms() {
		key := private(t, alg).Public()
		data := toJSON(t, key)
		if !shapes[key.KeyType()].Match(data) {
			t.Errorf("%s: %s", alg, data)
		}
		var back jwk.PublicKey
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		if !back.Equal(key) {
			t.Errorf("%s: JSON changed the key to %s", alg, toJSON(t, back))
		}
		if key.KeyID() != key.Thumbprint() || key.Use() != "sig" || key.Algorithm() != alg {
			t.Errorf("%s: kid %q, use %q, alg %q", alg, key.KeyID(), key.Use(), key.Algorithm())
		}
	}
}

// TestUnknownMembers reads a JWK with unknown members, which are not written again.
func TestUnknownMembers(t *testing.T) {
	in := `{"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","y":7,"key_ops":["verify"],"x5c":["broken"],"x5t":3,"\\ud800":"\\ud800","ext":{"a":1,"a":2},` +
		`"alg":"Ed25519","use":"sig","kid":"a","crv":"Ed25519","kty":"OKP","D":"upper case","iat":1}`
	want := `{"kty":"OKP","kid":"a","use":"sig","alg":"EdDSA","key_ops":["verify"],"crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	var key jwk.PublicKey
	if err := json.Unmarshal([]byte(in), &key); err != nil {
		t.Fatal(err)
	}
	if got := string(toJSON(t, key)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	key.Operations()[0] = "changed"
	if diff := cmp.Diff([]string{"verify"}, key.Operations()); diff != "" {
		t.Errorf("a caller changed the key:\n%s", diff)
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	tests := map[string][]byte{
		"no data":             nil,
		"null":                []byte(`null`),
		"array":               []byte(`[]`),
		"empty":               []byte(`{}`),
		"truncated":           []byte(`{"kty":"OKP","crv":"Ed25519"`),
		"no value":            []byte(`{"kty":"OKP","crv":`),
		"truncated name":      []byte(`{"kty":"OKP","cr`),
		"trailing":            append(toJSON(t, publicJSON(t, jwk.ES256)), `{}`...),
		"not UTF-8":           append(toJSON(t, publicJSON(t, jwk.ES256)), 0xff),
		"duplicate name":      []byte(`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"a","kid":"b"}`),
		"symmetric":           []byte(`{"kty":"oct","k":"AAAA"}`),
		"symmetric, no k":     []byte(`{"kty":"oct"}`),
		"unknown kty":         with(t, jwk.ES256, "kty", "AKP"),
		"kty in lower case":   with(t, jwk.ES256, "kty", "ec"),
		"kty of another kind": with(t, jwk.ES256, "kty", "RSA"),
		"kty not a string":    with(t, jwk.ES256, "kty", 1),
		"kid a number":        with(t, jwk.ES256, "kid", 7),
		"kid of a surrogate":  []byte(`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"\ud800"}`),
		"use not a string":    with(t, jwk.ES256, "use", []string{"sig"}),
		"alg not a string":    with(t, jwk.ES256, "alg", 1),
		"alg unknown":         with(t, jwk.ES256, "alg", "ES256K"),
		"alg of encryption":   with(t, jwk.RS256, "alg", "RSA-OAEP"),
		"alg of another kty":  with(t, jwk.ES256, "alg", "RS256"),
		"alg of other curve":  with(t, jwk.ES256, "alg", "ES384"),
		"key_ops a string":    with(t, jwk.ES256, "key_ops", "verify"),
	}
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
		tests["private member "+name] = with(t, jwk.RS256, name, "AQAB")
	}
	refuse(t, tests)
}

func TestUnmarshalRefusesRSA(t *testing.T) {
	n := rsaKey(t, "rsa2048.pem").N.Bytes()
	even := slices.Clone(n)
	even[len(even)-1] &^= 1
	encode := base64.RawURLEncoding.EncodeToString
	refuse(t, map[string][]byte{
		"RSA without n":       without(t, jwk.RS256, "n"),
		"RSA without e":       without(t, jwk.RS256, "e"),
		"RSA of 1024 bits":    with(t, jwk.RS256, "n", encode(rsaKey(t, "rsa1024.pem").N.Bytes())),
		"RSA of 4104 bits":    with(t, jwk.RS256, "n", encode(slices.Repeat([]byte{0xff}, 513))),
		"RSA, n even":         with(t, jwk.RS256, "n", encode(even)),
		"RSA, n not a string": with(t, jwk.RS256, "n", 65537),
		"RSA, e is 1":         with(t, jwk.RS256, "e", "AQ"),
		"RSA, e is even":      with(t, jwk.RS256, "e", "AQAA"),
		"RSA, e of 33 bits":   with(t, jwk.RS256, "e", "AQAAAAE"),
	})
}

func TestUnmarshalRefusesCurves(t *testing.T) {
	encode := base64.RawURLEncoding.EncodeToString
	x, _ := publicJSON(t, jwk.ES256)["x"].(string)
	refuse(t, map[string][]byte{
		"EC without y":      without(t, jwk.ES256, "y"),
		"EC without crv":    without(t, jwk.ES256, "crv"),
		"EC, unknown crv":   with(t, jwk.ES256, "crv", "secp256k1"),
		"EC, wrong crv":     with(t, jwk.ES256, "crv", "P-384"),
		"EC, off the curve": with(t, jwk.ES256, "y", x),
		"EC, short x":       with(t, jwk.ES256, "x", encode(decode(t, x)[1:])),
		"EC, long x":        with(t, jwk.ES256, "x", encode(append([]byte{1}, decode(t, x)...))),
		"EC, at infinity":   []byte(`{"kty":"EC","crv":"P-256","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}`),
		"OKP without x":     without(t, jwk.EdDSA, "x"),
		"OKP, X25519":       with(t, jwk.EdDSA, "crv", "X25519"),
		"OKP, 31 bytes":     with(t, jwk.EdDSA, "x", encode(make([]byte, 31))),
		"OKP, 33 bytes":     with(t, jwk.EdDSA, "x", encode(make([]byte, 33))),
		"OKP, low order":    with(t, jwk.EdDSA, "x", encode(lowOrder())),
	})
}

// with returns the JWK of a fixture with one member set.
func with(t *testing.T, alg jwk.Algorithm, name string, value any) []byte {
	t.Helper()
	object := publicJSON(t, alg)
	object[name] = value
	return toJSON(t, object)
}

// without returns the JWK of a fixture with one member left out.
func without(t *testing.T, alg jwk.Algorithm, name string) []byte {
	t.Helper()
	object := publicJSON(t, alg)
	delete(object, name)
	return toJSON(t, object)
}

// refuse checks that UnmarshalJSON refuses each test and does not change its receiver.
func refuse(t *testing.T, tests map[string][]byte) {
	t.Helper()
	for name, data := range tests {
		key := private(t, jwk.ES512).Public()
		if err := key.UnmarshalJSON(data); err == nil {
			t.Errorf("%s: accepted %s", name, data)
		}
		if !key.Equal(private(t, jwk.ES512).Public()) {
			t.Errorf("%s: the receiver changed", name)
		}
	}
}

// loosen sets a bit of the last character that base64 decoding throws away.
func loosen(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + string(alphabet[last|1])
}

// rsaKey returns the public key of an RSA fixture.
func rsaKey(t *testing.T, name string) *rsa.PublicKey {
	t.Helper()
	key, ok := signer(t, name).Public().(*rsa.PublicKey)
	if !ok {
		t.Fatalf("%s is not an RSA key", name)
	}
	return key
}

// pointAt returns a P-256 key without any check.
func pointAt(x, y *big.Int) *ecdsa.PublicKey {
	//nolint:staticcheck // there is no other way to make a broken key
	return &ecdsa.PublicKey{Curve: elliptic.P256(), X: x, Y: y}
}

func TestNewPublicKeyRefuses(t *testing.T) {
	good := rsaKey(t, "rsa2048.pem")
	point := signer(t, "p256.pem").Public()
	tests := map[string]struct {
		alg jwk.Algorithm
		key crypto.PublicKey
	}{
		"nothing":               {jwk.RS256, nil},
		"RSA by value":          {jwk.RS256, *good},
		"nil RSA":               {jwk.RS256, (*rsa.PublicKey)(nil)},
		"RSA without modulus":   {jwk.RS256, &rsa.PublicKey{E: 65537}},
		"RSA negative":          {jwk.RS256, &rsa.PublicKey{N: new(big.Int).Neg(good.N), E: 65537}},
		"RSA of 1024 bits":      {jwk.RS256, signer(t, "rsa1024.pem").Public()},
		"RSA of 4104 bits":      {jwk.RS256, &rsa.PublicKey{N: new(big.Int).SetBytes(slices.Repeat([]byte{0xff}, 513)), E: 65537}},
		"RSA, e is 1":           {jwk.RS256, &rsa.PublicKey{N: good.N, E: 1}},
		"nil EC":                {jwk.ES256, (*ecdsa.PublicKey)(nil)},
		"EC without curve":      {jwk.ES256, &ecdsa.PublicKey{}},
		"EC without x":          {jwk.ES256, pointAt(nil, big.NewInt(1))},
		"EC without y":          {jwk.ES256, pointAt(big.NewInt(1), nil)},
		"EC at infinity":        {jwk.ES256, pointAt(big.NewInt(0), big.NewInt(0))},
		"EC off the curve":      {jwk.ES256, pointAt(big.NewInt(1), big.NewInt(1))},
		"EC on another curve":   {jwk.ES384, point},
		"P-224":                 {jwk.ES256, signer(t, "p224.pem").Public()},
		"short Ed25519":         {jwk.EdDSA, make(ed25519.PublicKey, 31)},
		"Ed25519 of low order":  {jwk.EdDSA, lowOrder()},
		"a key of another kind": {jwk.RS256, point},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if key, err := jwk.NewPublicKey(test.alg, test.key); err == nil {
				t.Errorf("accepted: %s", toJSON(t, key))
			}
		})
	}
}

// TestNewPublicKeyCopies changes the keys that were passed to NewPublicKey.
func TestNewPublicKeyCopies(t *testing.T) {
	originalRSA := rsaKey(t, "rsa2048.pem")
	original25519, ok := signer(t, "ed25519.pem").Public().(ed25519.PublicKey)
	if !ok {
		t.Fatal("ed25519.pem has another key")
	}
	rsaCopy, err := jwk.NewPublicKey(jwk.RS256, originalRSA)
	if err != nil {
		t.Fatal(err)
	}
	copy25519, err := jwk.NewPublicKey(jwk.EdDSA, original25519)
	if err != nil {
		t.Fatal(err)
	}
	originalRSA.N.SetInt64(15)
	clear(original25519)
	sameMaterial(t, "after a change of the original", rsaCopy, "rsa2048.pem")
	sameMaterial(t, "after a change of the original", copy25519, "ed25519.pem")
}

// TestCheckAlgorithm tries each algorithm on each kind of key.
func TestCheckAlgorithm(t *testing.T) {
	names := append(jwk.Algorithms(), "Ed25519")
	kinds := map[string][]jwk.Algorithm{
		"rsa2048-public.pem": {jwk.RS256, jwk.RS384, jwk.RS512, jwk.PS256, jwk.PS384, jwk.PS512},
		"p256.pem":           {jwk.ES256},
		"p384.pem":           {jwk.ES384},
		"p521.pem":           {jwk.ES512},
		"ed25519.pem":        {jwk.EdDSA, "Ed25519"},
	}
	for kind, want := range kinds {
		key, err := jwk.Parse(fixture(t, kind))
		if err != nil {
			t.Fatal(err)
		}
		var got []jwk.Algorithm
		for _, alg := range names {
			if key.CheckAlgorithm(alg) == nil {
				got = append(got, alg)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s, no alg (-want +got):\n%s", kind, diff)
		}
	}
	for _, keyAlg := range jwk.Algorithms() {
		key := private(t, keyAlg).Public()
		for _, alg := range names {
			want := alg == keyAlg || keyAlg == jwk.EdDSA && alg == "Ed25519"
			if err := key.CheckAlgorithm(alg); (err == nil) != want {
				t.Errorf("a key with alg %s, checked for %s: %v", keyAlg, alg, err)
			}
		}
	}
}

func TestCheckAlgorithmAndUse(t *testing.T) {
	tests := []struct {
		name string
		use  any
		ops  any
		want bool
	}{
		{"neither", nil, nil, true},
		{"use sig", "sig", nil, true},
		{"use enc", "enc", nil, false},
		{"use in upper case", "SIG", nil, false},
		{"key_ops verify", nil, []string{"sign", "verify"}, true},
		{"key_ops verify twice", nil, []string{"verify", "verify"}, true},
		{"key_ops without verify", nil, []string{"sign", "encrypt"}, false},
		{"use enc, key_ops verify", "enc", []string{"verify"}, false},
	}
	for _, test := range tests {
		object := publicJSON(t, jwk.ES256)
		delete(object, "use")
		if test.use != nil {
			object["use"] = test.use
		}
		if test.ops != nil {
			object["key_ops"] = test.ops
		}
		var key jwk.PublicKey
		if err := key.UnmarshalJSON(toJSON(t, object)); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if err := key.CheckAlgorithm(jwk.ES256); (err == nil) != test.want {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestCheckAlgorithmErrors(t *testing.T) {
	for want, test := range map[string]struct {
		key jwk.PublicKey
		alg jwk.Algorithm
	}{
		"empty key": {jwk.PublicKey{}, jwk.RS256},
		"ES256 needs a key of type EC, this one is RSA":    {private(t, jwk.RS256).Public(), jwk.ES256},
		"ES384 needs a key on P-384, this one is on P-256": {private(t, jwk.ES256).Public(), jwk.ES384},
		"the key is for RS256 (its alg), not for PS256":    {private(t, jwk.RS256).Public(), jwk.PS256},
	} {
		if err := test.key.CheckAlgorithm(test.alg); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestZeroPublicKey(t *testing.T) {
	var key jwk.PublicKey
	if key.CheckAlgorithm(jwk.RS256) == nil {
		t.Error("the zero key verifies RS256")
	}
	if data, err := key.MarshalJSON(); err == nil {
		t.Errorf("the zero key marshals as %s", data)
	}
	if data, err := key.PEM(); err == nil {
		t.Errorf("the zero key has PEM: %s", data)
	}
	if key.Size() != 0 || key.KeyType() != "" || key.Thumbprint() != "" || key.Material() != nil {
		t.Error("the zero key has content")
	}
}

func TestEqual(t *testing.T) {
	base := `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`
	variants := []string{
		`}`, `,"kid":"a"}`, `,"use":"sig"}`, `,"alg":"EdDSA"}`, `,"key_ops":["verify"]}`,
	}
	keys := []jwk.PublicKey{{}, private(t, jwk.EdDSA).Public(), private(t, jwk.RS256).Public(), private(t, jwk.PS256).Public()}
	for _, variant := range variants {
		var key jwk.PublicKey
		if err := key.UnmarshalJSON([]byte(base + variant)); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	for i, a := range keys {
		for j, b := range keys {
			if a.Equal(b) != (i == j) {
				t.Errorf("Equal of %d and %d is %t", i, j, a.Equal(b))
			}
		}
	}
}

func TestSize(t *testing.T) {
	for name, want := range map[string]int{
		"rsa2048.pem": 2048, "p256.pem": 256, "p384.pem": 384, "p521.pem": 521, "ed25519.pem": 256,
	} {
		key, err := jwk.Parse(fixture(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if key.Size() != want {
			t.Errorf("%s: %d bits, want %d", name, key.Size(), want)
		}
	}
}
