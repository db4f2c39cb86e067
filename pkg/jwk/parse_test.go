package jwk_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
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
		"RSA of three primes":  {"", jwkOf("rsa2048.pem", "oth", []any{map[string]any{}})},
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
	request := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte("x")})
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"no data":           {nil, "neither a JWK nor PEM"},
		"a text":            {[]byte("ssh-ed25519 AAAA"), "neither a JWK nor PEM"},
		"DER":               {pemBytes(t, "p256.pem"), "neither a JWK nor PEM"},
		"JWK Set":           {[]byte(`{"keys":[]}`), "JWK Set"},
		"duplicate name":    {twice, "occurs twice"},
		"broken JWK":        {[]byte(`{"kty":`), "broken JSON"},
		"symmetric":         {[]byte(`{"kty":"oct","k":"AAAA"}`), "a key pair was expected"},
		"symmetric with d":  {[]byte(`{"kty":"oct","k":"AAAA","d":"AAAA"}`), "a key pair was expected"},
		"p without d":       {[]byte(`{"kty":"RSA","p":"AAAA"}`), `private member "p", but no d`},
		"truncated PEM":     {fixture(t, "rsa2048.pem")[:200], "no complete key block"},
		"two keys":          {two, "2 keys, but one"},
		"broken PEM":        {[]byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), `"PUBLIC KEY"`},
		"encrypted":         {fixture(t, "rsa2048-encrypted.pem"), "decrypt it first"},
		"encrypted, 1 line": {bytes.ReplaceAll(fixture(t, "rsa2048-encrypted.pem"), []byte("\n"), []byte(" ")), "decrypt it first"},
		"encrypted PKCS#8":  {fixture(t, "rsa2048-encrypted-pkcs8.pem"), "decrypt it first"},
		"certificate":       {certificate, "malformed certificate"},
		"request":           {request, "not a key"},
		"RSA of 1024 bits":  {fixture(t, "rsa1024.pem"), "1024"},
		"P-224":             {fixture(t, "p224.pem"), "curve"},
		"X25519":            {fixture(t, "x25519.pem"), "cannot sign"},
	} {
		key, err := jwk.Parse(test.data)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: gave %v, %v; want an error with %q", name, key, err, test.want)
		}
		if !key.Equal(jwk.PublicKey{}) {
			t.Errorf("%s: Parse returned a key with the error", name)
		}
		if _, err := jwk.ParsePrivate("", test.data); err == nil || strings.Contains(err.Error(), "public key was expected") {
			t.Errorf("%s: ParsePrivate gave %v", name, err)
		}
	}
}

// TestParsePEMForms reads PEM as settings, environment variables and other tools write it.
func TestParsePEMForms(t *testing.T) {
	text := string(fixture(t, "rsa2048-public.pem"))
	for name, data := range map[string]string{
		"literal \\n":      strings.ReplaceAll(text, "\n", `\n`),
		"literal \\r\\n":   strings.ReplaceAll(text, "\n", `\r\n`),
		"in quotes":        `"` + strings.ReplaceAll(text, "\n", `\n`) + `"`,
		"spaces":           strings.ReplaceAll(text, "\n", " "),
		"one line":         strings.ReplaceAll(text, "\n", ""),
		"twice":            text + text,
		"with its private": text + string(fixture(t, "rsa2048.pem")),
	} {
		key, err := jwk.Parse([]byte(data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		sameMaterial(t, name, key, "rsa2048.pem")
	}
	both := text + string(fixture(t, "p256.pem")) + text
	if all, err := jwk.ParseAll([]byte(both)); err != nil || len(all) != 2 {
		t.Errorf("two keys, one of them twice: %d, %v", len(all), err)
	}
	if key, err := jwk.ParsePrivate("", []byte(both)); err != nil || key.Algorithm() != jwk.ES256 {
		t.Errorf("one private key beside a public key: %v, %v", key, err)
	}
	two := slices.Concat(fixture(t, "p256.pem"), fixture(t, "p384.pem"))
	if key, err := jwk.ParsePrivate("", two); err == nil || !strings.Contains(err.Error(), "2 private keys") {
		t.Errorf("two private keys: %v, %v", key, err)
	}
}

func TestParseCertificate(t *testing.T) {
	certificate := func(name string) []byte {
		template := &x509.Certificate{SerialNumber: big.NewInt(1)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, signer(t, name).Public(), signer(t, name))
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	chain := slices.Concat(certificate("p256.pem"), certificate("rsa2048.pem"))
	key, err := jwk.Parse(chain)
	if err != nil {
		t.Fatal(err)
	}
	sameMaterial(t, "the first certificate of a chain", key, "p256.pem")
}

// TestParsePSS reads keys with the OID of RSASSA-PSS, which restricts them to PS256,
// PS384 and PS512, or with parameters to one of these.
func TestParsePSS(t *testing.T) {
	type hash struct {
		Hash pkix.AlgorithmIdentifier `asn1:"explicit,tag:0"`
	}
	oid := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	sha := func(i int) []byte {
		der, err := asn1.Marshal(hash{pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, i}}})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	key, _ := signer(t, "rsa2048.pem").(*rsa.PrivateKey)
	for name, test := range map[string]struct {
		parameters []byte
		want       []jwk.Algorithm
	}{
		"no parameters": {nil, []jwk.Algorithm{jwk.PS256, jwk.PS384, jwk.PS512}},
		"SHA-384":       {sha(2), []jwk.Algorithm{jwk.PS384}},
		"SHA-224":       {sha(4), nil},
		"broken":        {[]byte{4, 0}, nil},
	} {
		id := pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.RawValue{FullBytes: test.parameters}}
		public, err := asn1.Marshal(struct {
			ID  pkix.AlgorithmIdentifier
			Key asn1.BitString
		}{id, asn1.BitString{Bytes: x509.MarshalPKCS1PublicKey(&key.PublicKey), BitLength: 8 * len(x509.MarshalPKCS1PublicKey(&key.PublicKey))}})
		if err != nil {
			t.Fatal(err)
		}
		private, err := asn1.Marshal(struct {
			Version int
			ID      pkix.AlgorithmIdentifier
			Key     []byte
		}{0, id, x509.MarshalPKCS1PrivateKey(key)})
		if err != nil {
			t.Fatal(err)
		}
		for kind, der := range map[string][]byte{"PUBLIC KEY": public, "PRIVATE KEY": private} {
			data := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
			got, err := jwk.Parse(data)
			if (err == nil) != (test.want != nil) {
				t.Errorf("%s %s: %v", kind, name, err)
				continue
			}
			for _, alg := range jwk.Algorithms() {
				if err := got.CheckAlgorithm(alg); (err == nil) != slices.Contains(test.want, alg) {
					t.Errorf("%s %s: %s: %v", kind, name, alg, err)
				}
			}
			if kind == "PRIVATE KEY" && test.want != nil {
				if imported, err := jwk.ParsePrivate("", data); err != nil || imported.Algorithm() != test.want[0] {
					t.Errorf("%s: imported as %s, %v", name, imported.Algorithm(), err)
				}
				if _, err := jwk.ParsePrivate(jwk.RS256, data); err == nil {
					t.Errorf("%s: imported for RS256", name)
				}
			}
		}
	}
}

// TestThumbprint prints the thumbprint of keys that verify no token, too.
func TestThumbprint(t *testing.T) {
	want := private(t, jwk.RS256).KeyID()
	for name, data := range map[string][]byte{
		"public":            toJSON(t, private(t, jwk.RS256).Public()),
		"private":           toJSON(t, privateJSON(t, "rsa2048.pem")),
		"PEM":               fixture(t, "rsa2048.pem"),
		"for encryption":    with(t, jwk.RS256, "alg", "RSA-OAEP"),
		"unknown operation": with(t, jwk.RS256, "key_ops", []any{"wrapKey"}),
		"leading zero":      with(t, jwk.RS256, "e", "AAEAAQ"),
	} {
		if got, err := jwk.Thumbprint(data); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, want)
		}
	}
	for _, data := range []string{"", "x", "{}", `{"keys":[]}`, `{"kty":"oct","k":"AAAA"}`} {
		if got, err := jwk.Thumbprint([]byte(data)); err == nil {
			t.Errorf("%s: %q", data, got)
		}
	}
}
