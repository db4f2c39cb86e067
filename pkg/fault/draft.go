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

// draft is a token in the making: a good one, until a change is made to it.
type draft struct {
	in             Input
	header, claims map[string]any
	headerText     string // replaces header, if set
	claimsText     string // replaces claims, if set
	encode         func(data []byte) string
	sign           signer
	join           func(header, payload, signature string) string
	err            error // the first thing that went wrong
}

// change is what a case does to a good token.
type change func(d *draft)

// signer signs the encoded header and payload.
type signer func(input string) ([]byte, error)

// read takes a compact token apart into the draft.
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

func (d *draft) need(what string) { d.fail(&NeedError{What: what}) }

// texts returns header and claims as they will be encoded.
func (d *draft) texts() (header, claims string) {
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

// input returns what is signed.
func (d *draft) input() string {
	header, claims := d.texts()
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

// all makes several changes one.
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

// text is a JSON value as it stands.
func text(value string) json.RawMessage { return json.RawMessage(value) }

// claimAt sets a NumericDate so far from now.
func claimAt(name string, after time.Duration) change {
	return func(d *draft) { d.claims[name] = d.in.Now.Add(after).Unix() }
}

// endedAt makes it the token of an earlier hour, so that only its age is at fault.
func endedAt(ago time.Duration) change {
	return all(noClaim("nbf"), claimAt("exp", -ago), claimAt("iat", -ago-time.Hour))
}

// payload replaces the JSON of the claims by what f makes of it.
func payload(f func(claims string) string) change {
	return func(d *draft) { d.claimsText = f(d.json(d.claims)) }
}

// more adds members, as JSON text, at the end of the claims.
func more(format string, args ...any) change {
	return payload(func(claims string) string {
		return strings.TrimSuffix(claims, "}") + "," + fmt.Sprintf(format, args...) + "}"
	})
}

// form changes how the three encoded parts are put together.
func form(f func(header, payload, signature string) string) change {
	return func(d *draft) { d.join = f }
}

// unsigned leaves the signature empty.
func unsigned(d *draft) { d.sign = constant(nil) }

func constant(signature []byte) signer {
	return func(string) ([]byte, error) { return signature, nil }
}

func by(key jwk.PrivateKey) signer {
	return func(input string) ([]byte, error) { return key.Sign([]byte(input)) }
}

// altered signs as before and changes the signature.
func altered(f func(signature []byte) []byte) change {
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

// mac signs with HMAC-SHA-256.
func mac(secret []byte) change {
	return func(d *draft) {
		d.header["alg"] = "HS256"
		d.sign = func(input string) ([]byte, error) {
			h := hmac.New(sha256.New, secret)
			h.Write([]byte(input))
			return h.Sum(nil), nil
		}
	}
}

// use has another trusted key sign, if Key is for none of algs.
func (d *draft) use(algs ...jwk.Algorithm) jwk.PrivateKey {
	key := d.in.trusted(algs...)
	if key.IsZero() {
		d.need("a key for " + strings.ReplaceAll(strings.Trim(fmt.Sprint(algs), "[]"), " ", " or "))
		return key
	}
	d.signedBy(key)
	return key
}

// with is use, as a change.
func with(algs ...jwk.Algorithm) change { return func(d *draft) { d.use(algs...) } }

// signedBy has key sign, and the header say so.
func (d *draft) signedBy(key jwk.PrivateKey) {
	d.header["alg"], d.header["kid"] = key.Algorithm().String(), key.KeyID()
	d.sign = by(key)
}

// kind returns the algorithms of a key type.
func kind(keyType string) []jwk.Algorithm {
	var algs []jwk.Algorithm
	for _, alg := range jwk.Algorithms() {
		if alg.KeyType() == keyType {
			algs = append(algs, alg)
		}
	}
	return algs
}

// attacker returns the key that nobody trusts, within one draft always the same.
func (d *draft) attacker() jwk.PrivateKey {
	alg := d.in.Key.Algorithm()
	d.fail(scratch(&d.in.Attacker, alg))
	switch public := d.in.Attacker.Public(); {
	case d.err != nil:
	case public.Algorithm() != alg:
		d.need("an attacker key for " + alg.String())
	case public.KeyID() == d.in.Key.KeyID():
		d.need("an attacker key that is not the trusted one")
	}
	return d.in.Attacker
}

// canary returns the URL that no verifier may call.
func (d *draft) canary() string {
	if d.in.Canary == "" {
		return NoCanary
	}
	return d.in.Canary
}

// raw returns what is behind a key, to sign what the key itself would not.
func (d *draft) raw(key jwk.PrivateKey) crypto.Signer {
	der, err := key.MarshalPKCS8()
	if err != nil {
		d.need("a key that can leave its signer")
		return nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	d.fail(err)
	s, _ := parsed.(crypto.Signer) // every key that jwk knows is one
	return s
}

// digest hashes as an algorithm does that is named with the length of its hash.
func digest(alg jwk.Algorithm, input string) (crypto.Hash, []byte) {
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg.String()[2:]]
	h := hash.New()
	h.Write([]byte(input))
	return hash, h.Sum(nil)
}
