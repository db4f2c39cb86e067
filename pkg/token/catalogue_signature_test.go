package token_test

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// signatureRows are the faults of alg and signature.
func signatureRows() []row {
	base := good(jwk.RS256)
	none := base.head("alg", "none")
	signature := base.sign(base.input())
	signature[10] ^= 1
	rows := []row{
		{name: "alg-none", token: none.input() + ".", want: token.ReasonAlgNone},
		{name: "alg-none-case/leftover signature", token: none.String(), want: token.ReasonAlgNone},
		{name: "alg-missing/absent", token: base.head("alg", nil).String(), want: token.ReasonAlgMissing},
		{name: "alg-missing/null", token: base.head("alg", null).String(), want: token.ReasonAlgMissing},
		{name: "alg-missing/array", token: base.head("alg", []string{"RS256"}).String(), want: token.ReasonAlgMissing},
		{name: "alg-missing/number", token: base.head("alg", 256).String(), want: token.ReasonAlgMissing},
		{name: "alg-missing/empty", token: base.head("alg", "").String(), want: token.ReasonAlgUnknown},
		{name: "alg-unknown/lower case", token: base.head("alg", "rs256").String(), want: token.ReasonAlgUnknown},
		{name: "alg-not-allowed", token: base.String(), want: token.ReasonAlgNotAllowed, with: func(v *token.Verifier) {
			v.Algorithms = []jwk.Algorithm{jwk.ES256}
		}},
		{name: "sig-empty", token: base.input() + ".", want: token.ReasonSignatureMissing},
		{name: "sig-flipped", token: base.input() + "." + b64(signature), want: token.ReasonSignature},
		{
			name:  "sig-other-payload",
			token: base.claim("sub", "mallory").input() + "." + b64(base.sign(base.input())), want: token.ReasonSignature,
		},
		{name: "sig-untrusted-key", token: base.by(signer(foreignKeys()[jwk.RS256])).String(), want: token.ReasonSignature},
		{
			name: "alg-same-key-other/PS256", token: base.head("alg", "PS256").by(signer(keys()[jwk.PS256])).String(),
			want: token.ReasonAlgUnfit, keys: onlyKey(jwk.RS256),
		},
		{
			name: "alg-same-key-other/RS512", token: base.head("alg", "RS512").by(signer(keys()[jwk.RS512])).String(),
			want: token.ReasonAlgUnfit, keys: onlyKey(jwk.RS256),
		},
	}
	for _, alg := range []string{"None", "NONE", "nOnE", "none ", " none"} {
		rows = append(rows, row{name: "alg-none-case/" + alg, token: base.head("alg", alg).input() + ".", want: token.ReasonAlgNone})
	}
	hs := base.head("alg", "HS256")
	for name, secret := range publicSecrets() {
		rows = append(rows, row{name: name, token: hs.by(hmacBy(secret)).String(), want: token.ReasonAlgUnknown})
	}
	return rows
}

func onlyKey(alg jwk.Algorithm) func(testing.TB) []jwk.PublicKey {
	return func(testing.TB) []jwk.PublicKey { return []jwk.PublicKey{keys()[alg].Public()} }
}

// publicSecrets are what a confused verifier may take for an HMAC secret.
func publicSecrets() map[string][]byte {
	public := rsaKey().PublicKey
	spki, err := x509.MarshalPKIXPublicKey(&public)
	if err != nil {
		panic(err)
	}
	pkixPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
	pkcs1 := x509.MarshalPKCS1PublicKey(&public)
	return map[string][]byte{
		"alg-hs-public-key/SPKI PEM":         pkixPEM,
		"alg-hs-public-key/no final newline": bytes.TrimSpace(pkixPEM),
		"alg-hs-public-key/leading newline":  append([]byte("\n"), pkixPEM...),
		"alg-hs-public-key/PKCS1 PEM":        pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: pkcs1}),
		"alg-hs-public-key/DER":              spki,
		"alg-hs-public-key/JWK":              []byte(toJSON(keys()[jwk.RS256].Public())),
		"alg-hs-empty-key":                   nil,
	}
}

func hmacBy(secret []byte) func(string) []byte {
	return func(input string) []byte {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(input))
		return mac.Sum(nil)
	}
}

// ecdsaRows are the faults of ECDSA and EdDSA signatures.
func ecdsaRows() []row {
	es, ed := good(jwk.ES256), good(jwk.EdDSA)
	constant := func(signature []byte) func(string) []byte {
		return func(string) []byte { return signature }
	}
	der := func(r, s *big.Int) []byte {
		data, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
		if err != nil {
			panic(err)
		}
		return data
	}
	halves := func(input string) (r, s *big.Int) {
		signature := es.sign(input)
		return new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	}
	return []row{
		{name: "ecdsa-zero/raw", token: es.by(constant(make([]byte, 64))).String(), want: token.ReasonSignature},
		{name: "ecdsa-zero/DER", token: es.by(constant(der(new(big.Int), new(big.Int)))).String(), want: token.ReasonSignature},
		{name: "ecdsa-der", token: es.by(func(input string) []byte {
			return der(halves(input))
		}).String(), want: token.ReasonSignature},
		{name: "ecdsa-wrong-curve/ES512", token: es.head("alg", "ES512").by(func(input string) []byte {
			padding := make([]byte, 34)
			signature := es.sign(input)
			return slices.Concat(padding, signature[:32], padding, signature[32:])
		}).String(), want: token.ReasonAlgUnfit},
		{name: "ecdsa-wrong-curve/ES384", token: es.head("alg", "ES384").String(), want: token.ReasonAlgUnfit},
		// Lawful, and the reason to tell tokens apart by jti and never by their bytes.
		{name: "ecdsa-high-s", token: es.by(func(input string) []byte {
			r, s := halves(input)
			s.Sub(p256Order(), s)
			return slices.Concat(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32)))
		}).String()},
		{name: "eddsa-s-plus-l", token: ed.by(func(input string) []byte {
			signature := ed.sign(input)
			slices.Reverse(signature[32:]) // S is little-endian
			s := new(big.Int).SetBytes(signature[32:])
			s.Add(s, ed25519Order()).FillBytes(signature[32:])
			slices.Reverse(signature[32:])
			return signature
		}).String(), want: token.ReasonSignature},
	}
}

func p256Order() *big.Int {
	n, _ := new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
	return n
}

func ed25519Order() *big.Int {
	n, _ := new(big.Int).SetString("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed", 16)
	return n
}

// rsaRows are the faults of RSA signatures.
func rsaRows() []row {
	rs, ps := good(jwk.RS256), good(jwk.PS256)
	raw := rsaKey()
	pss := func(salt int) string {
		return ps.by(func(input string) []byte {
			signature, err := rsa.SignPSS(rand.Reader, raw, crypto.SHA256, digest(crypto.SHA256, input), &rsa.PSSOptions{SaltLength: salt})
			if err != nil {
				panic(err)
			}
			return signature
		}).String()
	}
	return []row{
		{name: "pss-salt/20", token: pss(20), want: token.ReasonSignature},
		{name: "pss-salt/longest", token: pss(rsa.PSSSaltLengthAuto), want: token.ReasonSignature},
		{name: "rsa-padding/no DigestInfo", token: rs.by(func(input string) []byte {
			signature, err := rsa.SignPKCS1v15(nil, raw, 0, digest(crypto.SHA256, input))
			if err != nil {
				panic(err)
			}
			return signature
		}).String(), want: token.ReasonSignature},
		{name: "rsa-padding/leading zero", token: rs.by(func(input string) []byte {
			return append([]byte{0}, rs.sign(input)...)
		}).String(), want: token.ReasonSignature},
	}
}

// headerRows are the faults of key material, kid and crit.
func headerRows() []row {
	base := good(jwk.RS256)
	evil := foreignKeys()[jwk.RS256]
	evilKid := base.head("kid", evil.KeyID()).by(signer(evil))
	rows := []row{
		{name: "hdr-jwk/own kid", token: evilKid.head("jwk", evil.Public()).String(), want: token.ReasonKidUnknown},
		{name: "hdr-jwk/known kid", token: base.head("jwk", evil.Public()).by(signer(evil)).String(), want: token.ReasonSignature},
		{name: "hdr-jku", token: evilKid.head("jku", "https://evil.example/jwks").String(), want: token.ReasonKidUnknown},
		{name: "hdr-x5u", token: evilKid.head("x5u", "https://evil.example/cert").String(), want: token.ReasonKidUnknown},
		{name: "hdr-x5c", token: evilKid.head("x5c", []string{"MIIB"}).String(), want: token.ReasonKidUnknown},
		{
			name:  "kid-path/HS256",
			token: base.head("alg", "HS256").head("kid", "../../dev/null").by(hmacBy(nil)).String(), want: token.ReasonAlgUnknown,
		},
		{name: "kid-path", token: base.head("kid", "../../../../dev/null").String(), want: token.ReasonKidUnknown},
		{name: "kid-metachar/quote", token: base.head("kid", "' OR '1'='1").String(), want: token.ReasonKidUnknown},
		{name: "kid-metachar/LDAP", token: base.head("kid", "*)(uid=*").String(), want: token.ReasonKidUnknown},
		{name: "kid-metachar/shell", token: base.head("kid", "$(true)`;|\n\x1b[2J").String(), want: token.ReasonKidUnknown},
		{name: "kid-metachar/long", token: base.head("kid", strings.Repeat("k", 20_000)).String(), want: token.ReasonKidUnknown},
		{name: "kid-unknown", token: base.head("kid", "never-published").String(), want: token.ReasonKidUnknown},
		{name: "kid-type/number", token: base.head("kid", 7).String(), want: token.ReasonHeader},
		{name: "kid-type/null", token: base.head("kid", null).String(), want: token.ReasonHeader},
		{name: "kid-type/array", token: base.head("kid", []string{}).String(), want: token.ReasonHeader},
		{name: "crit-unknown", token: base.head("crit", []string{"x"}).head("x", 1).String(), want: token.ReasonCrit},
		{name: "crit-malformed/empty", token: base.head("crit", []string{}).String(), want: token.ReasonCrit},
		{name: "crit-malformed/null", token: base.head("crit", null).String(), want: token.ReasonCrit},
		{name: "crit-malformed/string", token: base.head("crit", "exp").String(), want: token.ReasonCrit},
		{name: "crit-malformed/alg", token: base.head("crit", []string{"alg"}).String(), want: token.ReasonCrit},
		{name: "crit-malformed/absent member", token: base.head("crit", []string{"x"}).String(), want: token.ReasonCrit},
		{name: "b64-false", token: base.head("b64", false).head("crit", []string{"b64"}).String(), want: token.ReasonB64},
		{name: "b64-false/without crit", token: base.head("b64", false).String(), want: token.ReasonB64},
		{name: "b64-true", token: base.head("b64", true).String(), want: token.ReasonB64},
		{name: "zip", token: base.head("zip", "DEF").String(), want: token.ReasonZip},
	}
	duplicate := base
	duplicate.rawHeader = strings.TrimSuffix(toJSON(base.header), "}") + `,"alg":"none"}`
	escaped := base
	escaped.rawHeader = strings.TrimSuffix(toJSON(base.header), "}") + `,"\u0061lg":"none"}`
	return append(
		rows,
		row{name: "hdr-duplicate-alg", token: duplicate.String(), want: token.ReasonHeader},
		row{name: "hdr-duplicate-alg/escaped", token: escaped.String(), want: token.ReasonHeader},
	)
}
