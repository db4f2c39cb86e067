package fault

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"slices"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// algorithmRows are the faults of alg.
func algorithmRows() []row {
	return []row{
		{
			name: "alg-none", verdict: MustReject, tier: Core, severity: Critical,
			rules:    "RFC 7518 §3.6, RFC 8725 §3.2, RFC 9068 §4",
			cves:     "CVE-2015-2951, CVE-2022-23540",
			variants: single("alg is none, the signature is empty", header("alg", "none"), unsigned),
		},
		{
			name: "alg-none-case", verdict: MustReject, tier: Core, severity: Critical,
			rules: "RFC 7515 §4.1.1, rfc8725bis §2.11",
			variants: []variant{
				{"title", "alg is None", all(header("alg", "None"), unsigned)},
				{"upper", "alg is NONE", all(header("alg", "NONE"), unsigned)},
				{"mixed", "alg is nOnE", all(header("alg", "nOnE"), unsigned)},
				{"space", "alg is none, followed by a space", all(header("alg", "none "), unsigned)},
				{"signed", "alg is none, but there is a signature by the trusted key", header("alg", "none")},
			},
		},
		{
			name: "alg-missing", verdict: MustReject, tier: Core, severity: High, rules: "RFC 7515 §4.1.1",
			variants: []variant{
				{"absent", "there is no alg", noHeader("alg")},
				{"array", "alg is an array of the valid name", func(d *draft) { d.header["alg"] = []any{d.header["alg"]} }},
				{"number", "alg is a number", header("alg", 256)},
			},
		},
		{
			name: "alg-hs-public-key", verdict: MustReject, tier: Core, severity: Critical,
			rules: "RFC 8725 §2.1, RFC 8725 §3.1",
			cves: "CVE-2015-9235, CVE-2016-10555, CVE-2026-33322, CVE-2026-48526, CVE-2026-34950, " +
				"CVE-2026-102268",
			variants: publicKeyVariants(),
		},
		{
			name: "alg-hs-empty-key", verdict: MustReject, tier: Core, severity: Critical,
			rules: "RFC 7518 §3.2", cves: "CVE-2019-20933, CVE-2026-102266",
			variants: single("HS256 with an empty secret", signHMAC(nil)),
		},
		{
			name: "alg-same-key-other", verdict: MustReject, tier: Core, severity: High,
			rules: "rfc8725bis §3.1, RFC 7517 §4.4", cves: "CVE-2026-22818",
			variants: []variant{
				{"padding", "signed by the trusted RSA key with the other padding (RS and PS swapped)", sameKey(otherPadding)},
				{"hash", "signed by the trusted RSA key with another hash than its alg has", sameKey(otherHash)},
			},
		},
	}
}

// publicKeyVariants are signed with HMAC. The secret is the public key in the encodings
// that a verifier may have it in.
func publicKeyVariants() []variant {
	secret := func(f func(spki []byte) []byte) change {
		return func(d *draft) {
			spki, err := x509.MarshalPKIXPublicKey(d.in.Key.Public().Material())
			d.fail(err)
			signHMAC(f(spki))(d)
		}
	}
	spkiPEM := func(spki []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
	}
	return []variant{
		{"spki-pem", "HS256, the secret is the public key as PEM", secret(spkiPEM)},
		{"spki-pem-trimmed", "HS256, the secret is the public key as PEM, without the final newline", secret(func(spki []byte) []byte {
			return bytes.TrimSpace(spkiPEM(spki))
		})},
		{"spki-pem-newline", "HS256, the secret is the public key as PEM, after a newline", secret(func(spki []byte) []byte {
			return append([]byte("\n"), spkiPEM(spki)...)
		})},
		{"pkcs1-pem", "HS256, the secret is the RSA public key as PKCS#1 PEM", func(d *draft) {
			public, ok := d.signByTrusted(algorithmsOf("RSA")...).Public().Material().(*rsa.PublicKey)
			if ok {
				signHMAC(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(public)}))(d)
			}
		}},
		{"der", "HS256, the secret is the public key as DER", secret(func(spki []byte) []byte { return spki })},
		{"jwk", "HS256, the secret is the text of the published JWK", func(d *draft) {
			signHMAC([]byte(d.json(d.in.Key.Public())))(d)
		}},
	}
}

// sameKey signs with a trusted RSA key for another algorithm.
func sameKey(other func(jwk.Algorithm) jwk.Algorithm) change {
	return func(d *draft) {
		key := d.signByTrusted(algorithmsOf("RSA")...)
		if d.err != nil {
			return
		}
		der, err := key.MarshalPKCS8()
		if err != nil {
			d.require("a key that can be exported from its signer")
			return
		}
		key, err = jwk.ParsePKCS8(other(key.Algorithm()), der)
		d.fail(err)
		d.signedBy(key)
	}
}

func otherPadding(alg jwk.Algorithm) jwk.Algorithm {
	if alg[0] == 'R' {
		return "P" + alg[1:]
	}
	return "R" + alg[1:]
}

func otherHash(alg jwk.Algorithm) jwk.Algorithm {
	if alg[2:] == "512" {
		return alg[:2] + "256"
	}
	return alg[:2] + "512"
}

// signatureRows are the faults of signatures.
func signatureRows() []row {
	rows := []row{
		{
			name: "sig-empty", verdict: MustReject, tier: Core, severity: Critical,
			rules: "RFC 7515 §5.2", cves: "CVE-2020-28042",
			variants: single("the signature is empty", unsigned),
		},
		{
			name: "sig-flipped", verdict: MustReject, tier: Core, severity: Critical, rules: "RFC 7515 §5.2",
			variants: single("one bit of the signature is changed", changeSignature(func(signature []byte) []byte {
				signature[len(signature)/2] ^= 1
				return signature
			})),
		},
		{
			name: "sig-other-payload", verdict: MustReject, tier: Core, severity: Critical,
			rules: "RFC 7515 §5.2", cves: "CVE-2026-23518",
			variants: single("sub is changed under the signature of the good token", func(d *draft) {
				old, sign := d.input(), d.sign
				d.sign = func(string) ([]byte, error) { return sign(old) }
			}, claim("sub", "mallory")),
		},
		{
			name: "sig-untrusted-key", verdict: MustReject, tier: Core, severity: Critical, rules: "RFC 8725 §3.8",
			variants: single("signed by an untrusted key, with the kid of the trusted one", func(d *draft) {
				d.sign = signWith(d.attacker())
			}),
		},
	}
	return slices.Concat(rows, ecdsaRows(), rsaRows())
}

// ecdsaRows are the faults of signatures on elliptic curves.
func ecdsaRows() []row {
	zeros := func(size int) []byte { return make([]byte, size) }
	return []row{
		{
			name: "ecdsa-zero", verdict: MustReject, tier: Core, severity: Critical,
			rules: "RFC 7518 §3.4", cves: "CVE-2022-21449",
			variants: []variant{
				{"raw", "r and s are zero", all(signedByTrusted(algorithmsOf("EC")...), changeSignature(func(signature []byte) []byte { return zeros(len(signature)) }))},
				{"der", "r and s are zero, as DER", all(signedByTrusted(algorithmsOf("EC")...), changeSignature(func([]byte) []byte { return der(zeros(2)) }))},
			},
		},
		{
			name: "ecdsa-der", verdict: MustReject, tier: Core, severity: Medium, rules: "RFC 7518 §3.4",
			variants: single("a valid signature, as DER instead of r and s", signedByTrusted(algorithmsOf("EC")...), changeSignature(der)),
		},
		{
			name: "ecdsa-wrong-curve", verdict: MustReject, tier: ProfileOnly, severity: Medium, rules: "RFC 7518 §3.4",
			variants: []variant{
				{"es384", "ES384 by a P-256 key, padded to the length of P-384", wrongCurve(jwk.ES384, 48)},
				{"es512", "ES512 by a P-256 key, padded to the length of P-521", wrongCurve(jwk.ES512, 66)},
			},
		},
		{
			name: "ecdsa-high-s", verdict: Either, tier: ProfileOnly, severity: Info,
			rules:    "no rule: tokens must not be told apart by their bytes",
			variants: single("s is replaced by n-s, which verifies as well", signedByTrusted(jwk.ES256), changeSignature(negateS)),
		},
		{
			name: "eddsa-s-plus-l", verdict: MustReject, tier: ProfileOnly, severity: Medium, rules: "RFC 8032 §5.1.7",
			variants: single("the order of the group is added to S", signedByTrusted(jwk.EdDSA), changeSignature(addOrderToS)),
		},
	}
}

// splitSignature returns r and s.
func splitSignature(signature []byte) (r, s *big.Int) {
	half := len(signature) / 2
	return new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])
}

func der(signature []byte) []byte {
	r, s := splitSignature(signature)
	data, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		panic(err) // cannot happen for two integers
	}
	return data
}

// negateS replaces s of a P-256 signature by n-s, which verifies as well.
func negateS(signature []byte) []byte {
	_, s := splitSignature(signature)
	s.Sub(elliptic.P256().Params().N, s)
	return append(signature[:32:32], s.FillBytes(make([]byte, 32))...)
}

// addOrderToS adds the order of the group to S, which is little-endian.
func addOrderToS(signature []byte) []byte {
	order, _ := new(big.Int).SetString("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed", 16)
	slices.Reverse(signature[32:])
	s := new(big.Int).SetBytes(signature[32:])
	s.Add(s, order).FillBytes(signature[32:])
	slices.Reverse(signature[32:])
	return signature
}

// wrongCurve signs for alg with a P-256 key. r and s have size bytes each.
func wrongCurve(alg jwk.Algorithm, size int) change {
	return func(d *draft) {
		key, ok := d.cryptoSigner(d.signByTrusted(jwk.ES256)).(*ecdsa.PrivateKey)
		if !ok {
			return // the draft has the error
		}
		d.header["alg"] = alg
		d.sign = func(input string) ([]byte, error) {
			_, sum := digest(alg, input)
			r, s, err := ecdsa.Sign(rand.Reader, key, sum)
			if err != nil {
				return nil, err
			}
			return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...), nil
		}
	}
}

// rsaRows are the faults of RSA signatures.
func rsaRows() []row {
	pss, pkcs := []jwk.Algorithm{jwk.PS256, jwk.PS384, jwk.PS512}, []jwk.Algorithm{jwk.RS256, jwk.RS384, jwk.RS512}
	return []row{
		{
			name: "pss-salt", verdict: MustReject, tier: ProfileOnly, severity: Low, rules: "RFC 7518 §3.5",
			variants: []variant{
				{"20", "the salt has 20 bytes, not the length of the hash", rawRSA(pss, saltOf(20))},
				{"longest", "the salt has the greatest possible length, not that of the hash", rawRSA(pss, saltOf(rsa.PSSSaltLengthAuto))},
			},
		},
		{
			name: "rsa-padding", verdict: MustReject, tier: ProfileOnly, severity: High,
			rules: "RFC 8017 §8.2.2", cves: "CVE-2016-1494",
			variants: []variant{
				{
					"digest-info", "the padding contains the hash without its DigestInfo",
					rawRSA(pkcs, func(key *rsa.PrivateKey, _ crypto.Hash, sum []byte) ([]byte, error) {
						return rsa.SignPKCS1v15(nil, key, 0, sum)
					}),
				},
				{"leading-zero", "a zero byte precedes the signature", all(signedByTrusted(pkcs...), changeSignature(func(signature []byte) []byte {
					return append([]byte{0}, signature...)
				}))},
			},
		},
	}
}

// rawRSA signs with sign and a trusted key for one of algs.
func rawRSA(algs []jwk.Algorithm, sign func(key *rsa.PrivateKey, hash crypto.Hash, sum []byte) ([]byte, error)) change {
	return func(d *draft) {
		trusted := d.signByTrusted(algs...)
		key, ok := d.cryptoSigner(trusted).(*rsa.PrivateKey)
		if !ok {
			return // the draft has the error
		}
		d.sign = func(input string) ([]byte, error) {
			hash, sum := digest(trusted.Algorithm(), input)
			return sign(key, hash, sum)
		}
	}
}

func saltOf(length int) func(*rsa.PrivateKey, crypto.Hash, []byte) ([]byte, error) {
	return func(key *rsa.PrivateKey, hash crypto.Hash, sum []byte) ([]byte, error) {
		return rsa.SignPSS(rand.Reader, key, hash, sum, &rsa.PSSOptions{SaltLength: length})
	}
}
