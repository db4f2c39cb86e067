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

// NoCanary is the canary of an Input that names none. The domain is reserved (RFC
// 2606, section 2): nothing answers there.
const NoCanary = "https://canary.invalid/jwks.json"

// Input is what tokens are made of. Key and Now must be set for every case; what
// else a case needs, its NeedError says.
type Input struct {
	Key     jwk.PrivateKey // signs, unless the case says otherwise; verifiers trust it
	Now     time.Time
	Latest  time.Time     // the latest exp that Key may give a good token; zero means any
	Request token.Request // the good token; no TTL means until Latest, or one hour; no ID the name of the case

	Others   []jwk.PrivateKey // verifiers trust these too: for cases about an algorithm that Key is not for
	Alias    string           // a kid of 128 characters under which Key is published as well
	Attacker jwk.PrivateKey   // nobody trusts it; for the algorithm of Key; the zero key has one made
	Canary   string           // URL that no verifier may call; "" means NoCanary

	Retired jwk.PrivateKey // published, signs no more; for the algorithm of Key, like the next two
	Expired jwk.PrivateKey // left the JWK Set on schedule
	Revoked jwk.PrivateKey // pulled from the JWK Set
}

// NeedError says that a case cannot be made of what was given.
type NeedError struct {
	Case string
	What string // such as "a key for ES256"
}

// Error names the case and what it needs.
func (e *NeedError) Error() string { return fmt.Sprintf("%s needs %s", e.Case, e.What) }

// minter is an Input as a token.Signer, so that the good token is one of Mint's.
type minter Input

func (m minter) SigningKey(context.Context) (key jwk.PrivateKey, now, latest time.Time, err error) {
	if m.Latest.IsZero() {
		m.Latest = m.Now.Add(m.Request.TTL)
	}
	return m.Key, m.Now, m.Latest, nil
}

// good returns the draft of the good token that case c departs from.
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
	d := draft{in: in, encode: encode, join: join, sign: by(in.Key)}
	if c.Profile == token.ProfileAccessToken {
		if in.Request.Issuer == "" || in.Request.Subject == "" || len(in.Request.Audience) == 0 {
			d.need("an issuer, a subject and an audience")
			return d
		}
		r.Type = string(token.ProfileAccessToken)
	}
	minted, err := token.Mint(context.Background(), minter(in), *r)
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

// Complete fills what in leaves open: scratch keys for every algorithm and state,
// and an example of a request. A zero Key becomes one for RS256, a zero Now the time.
func (in Input) Complete() (Input, error) {
	if in.Now.IsZero() {
		in.Now = time.Now()
	}
	if in.Canary == "" {
		in.Canary = NoCanary
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
	if err := scratch(&in.Key, jwk.RS256); err != nil {
		return Input{}, err
	}
	alg := in.Key.Algorithm()
	for _, key := range []*jwk.PrivateKey{&in.Attacker, &in.Retired, &in.Expired, &in.Revoked} {
		if err := scratch(key, alg); err != nil {
			return Input{}, err
		}
	}
	in.Others = slices.Clone(in.Others)
	for _, alg := range jwk.Algorithms() {
		if !in.trusted(alg).IsZero() {
			continue
		}
		var key jwk.PrivateKey
		if err := scratch(&key, alg); err != nil {
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

// scratch makes a key where there is none.
func scratch(key *jwk.PrivateKey, alg jwk.Algorithm) (err error) {
	if key.IsZero() {
		*key, err = jwk.Generate(alg, 0)
	}
	return err
}

// trusted returns the first trusted key that is for one of algs, Key before the
// others; the zero key if there is none.
func (in Input) trusted(algs ...jwk.Algorithm) jwk.PrivateKey {
	for _, key := range append([]jwk.PrivateKey{in.Key}, in.Others...) {
		if !key.IsZero() && slices.Contains(algs, key.Algorithm()) {
			return key
		}
	}
	return jwk.PrivateKey{}
}
