package jwk_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

func pemBytes(t *testing.T, name string) []byte {
	t.Helper()
	block, _ := pem.Decode(fixture(t, name))
	return block.Bytes
}

// privateJSON returns the private JWK of a fixture, as another library writes it.
func privateJSON(t *testing.T, name string) map[string]any {
	t.Helper()
	data, err := jose.JSONWebKey{Key: signer(t, name), KeyID: "mine"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return unmarshal(t, data)
}

func TestParse(t *testing.T) {
	for _, test := range []struct{ file, same string }{
		{"rsa2048.pem", "rsa2048.pem"},
		{"rsa2048-pkcs1.pem", "rsa2048.pem"},
		{"rsa2048-public.pem", "rsa2048.pem"},
		{"rsa2048-pkcs1-public.pem", "rsa2048.pem"},
		{"p256.pem", "p256.pem"},
		{"p256-sec1.pem", "p256.pem"},
		{"ed25519.pem", "ed25519.pem"},
	} {
		key, err := jwk.Parse(append([]byte("\r\n a comment\n"), fixture(t, test.file)...))
		if err != nil {
			t.Errorf("%s: %v", test.file, err)
			continue
		}
		sameMaterial(t, test.file, key, test.same)
		if key.KeyID() != "" || key.Algorithm() != "" || key.Use() != "" || key.Operations() != nil {
			t.Errorf("%s: the key has a kid, alg, use or key_ops", test.file)
		}
	}
	for _, name := range []string{"rsa2048.pem", "p256.pem", "p521.pem", "ed25519.pem"} {
		key, err := jwk.Parse(append([]byte("\n\t "), toJSON(t, privateJSON(t, name))...))
		if err != nil {
			t.Errorf("private JWK of %s: %v", name, err)
			continue
		}
		sameMaterial(t, name, key, name)
		if key.KeyID() != "mine" {
			t.Errorf("private JWK of %s: kid %q", name, key.KeyID())
		}
	}
	want := private(t, jwk.PS384).Public()
	if got, err := jwk.Parse(toJSON(t, want)); err != nil || !got.Equal(want) {
		t.Errorf("public JWK: %v", err)
	}
}

func sameMaterial(t *testing.T, what string, key jwk.PublicKey, name string) {
	t.Helper()
	var same bool
	switch want := signer(t, name).Public().(type) {
	case *rsa.PublicKey:
		same = want.Equal(key.Material())
	case *ecdsa.PublicKey:
		same = want.Equal(key.Material())
	case ed25519.PublicKey:
		same = want.Equal(key.Material())
	}
	if !same {
		t.Errorf("%s: not the key of %s", what, name)
	}
}

func TestPEMRoundTrip(t *testing.T) {
	for _, name := range []string{"rsa2048.pem", "p256.pem", "p384.pem", "p521.pem", "ed25519.pem"} {
		key, err := jwk.Parse(fixture(t, name))
		if err != nil {
			t.Fatal(err)
		}
		text, err := key.PEM()
		if err != nil {
			t.Fatal(err)
		}
		back, err := jwk.Parse(text)
		if err != nil || !back.Equal(key) {
			t.Errorf("PEM changed the key of %s: %v", name, err)
		}
	}
	got, err := private(t, jwk.RS256).Public().PEM()
	if err != nil || !bytes.Equal(got, fixture(t, "rsa2048-public.pem")) {
		t.Errorf("not what openssl writes: %s, %v", got, err)
	}
}

func TestParsePrivate(t *testing.T) {
	jwkOf := func(name string, more map[string]any) []byte {
		object := privateJSON(t, name)
		maps.Copy(object, more)
		return toJSON(t, object)
	}
	signing := map[string]any{"key_ops": []string{"sign"}, "use": "sig"}
	for name, test := range map[string]struct {
		alg  jwk.Algorithm
		data []byte
		want jwk.Algorithm
	}{
		"RSA, alg given":    {jwk.PS512, fixture(t, "rsa2048.pem"), jwk.PS512},
		"RSA, default alg":  {"", fixture(t, "rsa2048-pkcs1.pem"), jwk.RS256},
		"EC by its curve":   {"", fixture(t, "p521.pem"), jwk.ES512},
		"SEC 1":             {"", fixture(t, "p256-sec1.pem"), jwk.ES256},
		"Ed25519":           {"", fixture(t, "ed25519.pem"), jwk.EdDSA},
		"alg named Ed25519": {"Ed25519", fixture(t, "ed25519.pem"), jwk.EdDSA},
		"RSA JWK":           {"", jwkOf("rsa2048.pem", signing), jwk.RS256},
		"RSA JWK with alg":  {"", jwkOf("rsa2048.pem", map[string]any{"alg": "PS384"}), jwk.PS384},
		"EC JWK":            {"", jwkOf("p384.pem", signing), jwk.ES384},
		"OKP JWK":           {"", jwkOf("ed25519.pem", signing), jwk.EdDSA},
		"RSA JWK, dp wrong": {"", jwkOf("rsa2048.pem", map[string]any{"dp": "AQAB"}), jwk.RS256},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := jwk.ParsePrivate(test.alg, test.data)
			if err != nil {
				t.Fatal(err)
			}
			public := key.Public()
			if public.Algorithm() != test.want || public.KeyID() != public.Thumbprint() {
				t.Errorf("alg %s, kid %s", public.Algorithm(), public.KeyID())
			}
			signature, err := key.Sign([]byte("input"))
			if err != nil {
				t.Fatal(err)
			}
			if err := public.Verify(test.want, []byte("input"), signature); err != nil {
				t.Error(err)
			}
			if _, err := key.MarshalPKCS8(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestParsePrivateRefuses(t *testing.T) {
	jwkOf := func(name, member string, value any) []byte {
		object := privateJSON(t, name)
		if object[member] = value; value == nil {
			delete(object, member)
		}
		return toJSON(t, object)
	}
	for name, test := range map[string]struct {
		alg  jwk.Algorithm
		data []byte
	}{
		"public PEM":           {"", fixture(t, "rsa2048-public.pem")},
		"public JWK":           {"", toJSON(t, publicJSON(t, jwk.ES256))},
		"another type":         {jwk.RS256, fixture(t, "p256.pem")},
		"unknown alg":          {"HS256", fixture(t, "rsa2048.pem")},
		"another alg":          {jwk.RS256, jwkOf("rsa2048.pem", "alg", "PS256")},
		"use enc":              {"", jwkOf("rsa2048.pem", "use", "enc")},
		"key_ops without sign": {"", jwkOf("rsa2048.pem", "key_ops", []string{"verify"})},
		"key_ops designate":    {"", jwkOf("rsa2048.pem", "key_ops", []string{"designate"})},
		"RSA without p":        {"", jwkOf("rsa2048.pem", "p", nil)},
		"RSA, p wrong":         {"", jwkOf("rsa2048.pem", "p", "AQAB")},
		"RSA, d wrong":         {"", jwkOf("rsa2048.pem", "d", "AQAB")},
		"RSA, d a number":      {"", jwkOf("rsa2048.pem", "d", 3)},
		"RSA of three primes":  {"", jwkOf("rsa2048.pem", "oth", []any{})},
		"EC, d of another key": {"", jwkOf("p256.pem", "d", base64.RawURLEncoding.EncodeToString(big.NewInt(7).FillBytes(make([]byte, 32))))},
		"EC, d is zero":        {"", jwkOf("p256.pem", "d", base64.RawURLEncoding.EncodeToString(make([]byte, 32)))},
		"EC, d too large":      {"", jwkOf("p256.pem", "d", base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 32)))},
		"EC, d too short":      {"", jwkOf("p256.pem", "d", "AQAB")},
		"OKP, d of another":    {"", jwkOf("ed25519.pem", "d", base64.RawURLEncoding.EncodeToString(make([]byte, 32)))},
	} {
		key, err := jwk.ParsePrivate(test.alg, test.data)
		if err == nil || !key.IsZero() {
			t.Errorf("%s: gave %v, %v", name, key, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	two := slices.Concat(fixture(t, "p256.pem"), fixture(t, "p384.pem"))
	twice := bytes.Replace(toJSON(t, privateJSON(t, "p256.pem")), []byte("{"), []byte(`{"kid":"again",`), 1)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"no data":          {nil, "neither a JWK nor PEM"},
		"a text":           {[]byte("ssh-ed25519 AAAA"), "neither a JWK nor PEM"},
		"DER":              {pemBytes(t, "p256.pem"), "neither a JWK nor PEM"},
		"JWK Set":          {[]byte(`{"keys":[]}`), "JWK Set"},
		"duplicate name":   {twice, "occurs twice"},
		"broken JWK":       {[]byte(`{"kty":`), "broken JSON"},
		"symmetric":        {[]byte(`{"kty":"oct","k":"AAAA"}`), `private member "k"`},
		"symmetric with d": {[]byte(`{"kty":"oct","k":"AAAA","d":"AAAA"}`), "key type"},
		"p without d":      {[]byte(`{"kty":"RSA","p":"AAAA"}`), `private member "p"`},
		"truncated PEM":    {fixture(t, "rsa2048.pem")[:200], "no complete key block"},
		"two keys":         {two, "more than one"},
		"broken PEM":       {[]byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), `"PUBLIC KEY"`},
		"encrypted":        {fixture(t, "rsa2048-encrypted.pem"), "decrypt it first"},
		"encrypted PKCS#8": {fixture(t, "rsa2048-encrypted-pkcs8.pem"), "decrypt it first"},
		"certificate":      {certificate, "not a key"},
		"RSA of 1024 bits": {fixture(t, "rsa1024.pem"), "1024"},
		"P-224":            {fixture(t, "p224.pem"), "curve"},
		"X25519":           {fixture(t, "x25519.pem"), "cannot sign"},
	} {
		key, err := jwk.Parse(test.data)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: gave %v, %v; want an error with %q", name, key, err, test.want)
		}
		if !key.Equal(jwk.PublicKey{}) {
			t.Errorf("%s: Parse returned a key with the error", name)
		}
	}
}
