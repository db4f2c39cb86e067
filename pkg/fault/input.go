package fault

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// DefaultCanary is the default of Input.Canary. Its domain is reserved (RFC 2606,
// section 2), so no server answers there.
const DefaultCanary = "https://canary.invalid/jwks.json"

// Input is what tokens are made from. Key and Now are required. If a case needs another
// field that is not set, its error is a NeedError.
type Input struct {
	Key     jwk.PrivateKey // signs most tokens; verifiers trust it
	Now     time.Time
	Latest  time.Time     // latest exp of the good token; zero means any
	Request token.Request // of the good token; TTL defaults to Latest, or one hour, and ID to the name of the case

	Others   []jwk.PrivateKey // more trusted keys, for cases about other algorithms than that of Key
	Alias    string           // a second kid of Key, of 128 characters
	Attacker jwk.PrivateKey   // no verifier trusts it; for the algorithm of Key; generated if zero
	Canary   string           // URL that no verifier may call; "" means DefaultCanary

	Retired jwk.PrivateKey // published but no longer signing; for the algorithm of Key, like the next two
	Expired jwk.PrivateKey // removed from the JWK Set on schedule
	Revoked jwk.PrivateKey // removed from the JWK Set at once
}

// NeedError means that an Input does not have what a case needs.
type NeedError struct {
	Case string
	What string // such as "a key for ES256"
}

// Error returns the case and what it needs.
func (e *NeedError) Error() string { return fmt.Sprintf("%s needs %s", e.Case, e.What) }

// inputSigner makes an Input a token.Signer.
type inputSigner Input

func (s inputSigner) SigningKey(context.Context) (key jwk.PrivateKey, now, latest time.Time, err error) {
	if s.Latest.IsZero() {
		s.Latest = s.Now.Add(s.Request.TTL)
	}
	return s.Key, s.Now, s.Latest, nil
}

// good returns the draft of the good token, which case c changes.
func (in Input) good(c Case) draft {
	r := &in.Request
	switch {
	case r.TTL == 0 && in.Latest.IsZero():
		r.TTL = time.Hour
	case r.TTL == 0:
		r.TTL = in.Latest.Truncate(time.Second).Sub(in.Now.Truncate(time.Second))
	}
	if r.ID == "" {
		r.ID = c.Name
	}
	d := draft{in: in, encode: encode, join: join, sign: signWith(in.Key)}
	if c.Profile == token.ProfileAccessToken {
		if in.Request.Issuer == "" || in.Request.Subject == "" || len(in.Request.Audience) == 0 {
			d.require("an issuer, a subject and an audience")
			return d
		}
		r.Type = string(token.ProfileAccessToken)
	}
	minted, err := token.Mint(context.Background(), inputSigner(in), *r)
	if err != nil {
		d.err = err
		return d
	}
	d.read(minted.Compact)
	if _, ok := d.claims["client_id"]; !ok && c.Profile == token.ProfileAccessToken {
		d.claims["client_id"] = "app"
	}
	return d
}

// Complete sets the fields that are not set: it generates keys for every algorithm and
// state (Key for RS256), and sets Now to the current time and Request to an example.
func (in Input) Complete() (Input, error) {
	if in.Now.IsZero() {
		in.Now = time.Now()
	}
	if in.Canary == "" {
		in.Canary = DefaultCanary
	}
	r := &in.Request
	if r.Issuer == "" {
		r.Issuer = "https://issuer.example"
	}
	if r.Subject == "" {
		r.Subject = "alice"
	}
	if len(r.Audience) == 0 {
		r.Audience = []string{"https://api.example"}
	}
	if r.TTL == 0 && in.Latest.IsZero() {
		r.TTL = 2 * time.Hour
	}
	if err := generateIfZero(&in.Key, jwk.RS256); err != nil {
		return Input{}, err
	}
	alg := in.Key.Algorithm()
	for _, key := range []*jwk.PrivateKey{&in.Attacker, &in.Retired, &in.Expired, &in.Revoked} {
		if err := generateIfZero(key, alg); err != nil {
			return Input{}, err
		}
	}
	in.Others = slices.Clone(in.Others)
	for _, alg := range jwk.Algorithms() {
		if !in.trusted(alg).IsZero() {
			continue
		}
		var key jwk.PrivateKey
		if err := generateIfZero(&key, alg); err != nil {
			return Input{}, err
		}
		in.Others = append(in.Others, key)
	}
	if in.Alias == "" {
		const length = 128
		in.Alias = strings.Repeat(in.Key.KeyID()+".", 3)[:length]
	}
	return in, nil
}

// generateIfZero generates *key if it is zero.
func generateIfZero(key *jwk.PrivateKey, alg jwk.Algorithm) (err error) {
	if key.IsZero() {
		*key, err = jwk.Generate(alg, 0)
	}
	return err
}

// trusted returns the first of Key and Others that is for one of algs, or the zero key.
func (in Input) trusted(algs ...jwk.Algorithm) jwk.PrivateKey {
	for _, key := range append([]jwk.PrivateKey{in.Key}, in.Others...) {
		if !key.IsZero() && slices.Contains(algs, key.Algorithm()) {
			return key
		}
	}
	return jwk.PrivateKey{}
}
