package fault

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// draft is a token that is not signed yet. It starts as the good token.
type draft struct {
	in             Input
	header, claims map[string]any
	headerText     string // replaces header, if set
	claimsText     string // replaces claims, if set
	encode         func(data []byte) string
	sign           signer
	join           func(header, payload, signature string) string
	err            error // the first error
}

// change turns the good token into that of a case.
type change func(d *draft)

// signer signs the encoded header and payload.
type signer func(input string) ([]byte, error)

// read sets header and claims to those of a compact token.
func (d *draft) read(compact string) {
	parts, err := token.Split(compact, 0)
	if err != nil {
		d.fail(err)
		return
	}
	header, err := token.ParseHeader(parts.Header)
	d.fail(err)
	d.header = header.Members
	d.claims, err = token.ParseClaims(parts.Payload)
	d.fail(err)
}

func (d *draft) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

func (d *draft) require(what string) { d.fail(&NeedError{What: what}) }

// jsonTexts returns the JSON of header and claims.
func (d *draft) jsonTexts() (header, claims string) {
	header, claims = d.headerText, d.claimsText
	if header == "" {
		header = d.json(d.header)
	}
	if claims == "" {
		claims = d.json(d.claims)
	}
	return header, claims
}

func (d *draft) json(v any) string {
	data, err := json.Marshal(v)
	d.fail(err)
	return string(data)
}

// input returns the signing input.
func (d *draft) input() string {
	header, claims := d.jsonTexts()
	return d.encode([]byte(header)) + "." + d.encode([]byte(claims))
}

// compact returns the token.
func (d *draft) compact() (string, error) {
	if d.err != nil {
		return "", d.err
	}
	input := d.input()
	if d.err != nil {
		return "", d.err
	}
	signature, err := d.sign(input)
	if err != nil {
		return "", err
	}
	header, payload, _ := strings.Cut(input, ".")
	whole := d.join(header, payload, d.encode(signature))
	return whole, d.err
}

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func join(header, payload, signature string) string {
	return header + "." + payload + "." + signature
}

// all combines several changes.
func all(changes ...change) change {
	return func(d *draft) {
		for _, c := range changes {
			if d.err == nil {
				c(d)
			}
		}
	}
}

func header(name string, value any) change { return func(d *draft) { d.header[name] = value } }
func claim(name string, value any) change  { return func(d *draft) { d.claims[name] = value } }
func noHeader(name string) change          { return func(d *draft) { delete(d.header, name) } }
func noClaim(name string) change           { return func(d *draft) { delete(d.claims, name) } }

// rawJSON is a value that is already JSON.
func rawJSON(value string) json.RawMessage { return json.RawMessage(value) }

// claimAt sets a NumericDate to now plus after.
func claimAt(name string, after time.Duration) change {
	return func(d *draft) { d.claims[name] = d.in.Now.Add(after).Unix() }
}

// expiredFor sets exp to ago before now, and iat before it, so that only exp is at fault.
func expiredFor(ago time.Duration) change {
	return all(noClaim("nbf"), claimAt("exp", -ago), claimAt("iat", -ago-time.Hour))
}

// payload changes the JSON of the claims with f.
func payload(f func(claims string) string) change {
	return func(d *draft) { d.claimsText = f(d.json(d.claims)) }
}

// addClaim appends a formatted member to the JSON of the claims.
func addClaim(format string, args ...any) change {
	return payload(func(claims string) string {
		return strings.TrimSuffix(claims, "}") + "," + fmt.Sprintf(format, args...) + "}"
	})
}

// reassemble joins the three encoded parts with f.
func reassemble(f func(header, payload, signature string) string) change {
	return func(d *draft) { d.join = f }
}

// unsigned leaves the signature empty.
func unsigned(d *draft) {
	d.sign = func(string) ([]byte, error) { return nil, nil }
}

func signWith(key jwk.PrivateKey) signer {
	return func(input string) ([]byte, error) { return key.Sign([]byte(input)) }
}

// changeSignature changes the signature with f.
func changeSignature(f func(signature []byte) []byte) change {
	return func(d *draft) {
		sign := d.sign
		d.sign = func(input string) ([]byte, error) {
			signature, err := sign(input)
			if err != nil {
				return nil, err
			}
			return f(signature), nil
		}
	}
}

// signHMAC signs with HMAC-SHA-256.
func signHMAC(secret []byte) change {
	return func(d *draft) {
		d.header["alg"] = "HS256"
		d.sign = func(input string) ([]byte, error) {
			h := hmac.New(sha256.New, secret)
			h.Write([]byte(input))
			return h.Sum(nil), nil
		}
	}
}

// signByTrusted signs with a trusted key for one of algs.
func (d *draft) signByTrusted(algs ...jwk.Algorithm) jwk.PrivateKey {
	key := d.in.trusted(algs...)
	if key.IsZero() {
		d.require("a key for " + strings.ReplaceAll(strings.Trim(fmt.Sprint(algs), "[]"), " ", " or "))
		return key
	}
	d.signedBy(key)
	return key
}

// signedByTrusted is signByTrusted as a change.
func signedByTrusted(algs ...jwk.Algorithm) change {
	return func(d *draft) { d.signByTrusted(algs...) }
}

// signedBy signs with key and sets alg and kid to those of key.
func (d *draft) signedBy(key jwk.PrivateKey) {
	d.header["alg"], d.header["kid"] = key.Algorithm().String(), key.KeyID()
	d.sign = signWith(key)
}

// algorithmsOf returns the algorithms of a key type.
func algorithmsOf(keyType string) []jwk.Algorithm {
	var algs []jwk.Algorithm
	for _, alg := range jwk.Algorithms() {
		if alg.KeyType() == keyType {
			algs = append(algs, alg)
		}
	}
	return algs
}

// attacker returns the attacker's key. It is the same throughout a draft.
func (d *draft) attacker() jwk.PrivateKey {
	alg := d.in.Key.Algorithm()
	d.fail(generateIfZero(&d.in.Attacker, alg))
	switch public := d.in.Attacker.Public(); {
	case d.err != nil:
	case public.Algorithm() != alg:
		d.require("an attacker key for " + alg.String())
	case public.KeyID() == d.in.Key.KeyID():
		d.require("an attacker key that is not the trusted key")
	}
	return d.in.Attacker
}

// canary returns the URL that no verifier may call.
func (d *draft) canary() string {
	if d.in.Canary == "" {
		return DefaultCanary
	}
	return d.in.Canary
}

// cryptoSigner returns the key of the standard library, for signatures that jwk refuses
// to make.
func (d *draft) cryptoSigner(key jwk.PrivateKey) crypto.Signer {
	der, err := key.MarshalPKCS8()
	if err != nil {
		d.require("a key that can be exported from its signer")
		return nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	d.fail(err)
	s, _ := parsed.(crypto.Signer) // every key of jwk is one
	return s
}

// digest hashes input with the hash whose length ends the name of alg.
func digest(alg jwk.Algorithm, input string) (crypto.Hash, []byte) {
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg.String()[2:]]
	h := hash.New()
	h.Write([]byte(input))
	return hash, h.Sum(nil)
}
