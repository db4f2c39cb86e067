package token

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// MaxLeeway is the most that Verifier.Leeway may be: RFC 7519 speaks of a few
// minutes, and more would make exp meaningless.
const MaxLeeway = 5 * time.Minute

// Profile is a set of further rules for one kind of token.
type Profile string

// ProfileAccessToken is RFC 9068, section 4: typ is at+jwt, an audience must be
// named, and iss, exp, aud, sub, client_id, iat and jti must be there.
const ProfileAccessToken Profile = "at+jwt"

// Requirement is a claim that must be there, and not null.
type Requirement struct {
	Claim string
	Value *string // if set: a string, the JSON text of a number or boolean, or an element of an array of these
}

// Verifier says what a token must be. It is a value: copy it, change the copy, use
// it from many goroutines. Keys and Issuer must be set, all else may stay zero.
type Verifier struct {
	Keys       KeySource
	Issuer     string          // iss must be exactly this
	Audience   []string        // aud must have one of these; if there are none, a token with aud is refused
	Subject    string          // sub must be exactly this; "" means any
	Types      []string        // typ must be there and one of these; none means that it is "JWT" or absent
	Algorithms []jwk.Algorithm // narrows what the keys allow; none means no narrowing
	Require    []Requirement
	Scopes     []string // scope must have all of these
	Profile    Profile  // "" means none

	Leeway time.Duration // how far clocks may differ, for exp, nbf, iat and MaxAge; at most MaxLeeway
	MinTTL time.Duration // how much time must be left until exp, without leeway; 0 means any
	MaxAge time.Duration // how long ago iat may be; 0 means any
	Now    func() time.Time

	MaxSize int // the longest token, in bytes; 0 means DefaultMaxSize

	InsecureSkipIssuer    bool // accept any iss, or none
	InsecureSkipAudience  bool // accept any aud, or none
	InsecureAllowNoExpiry bool // accept a token without exp
}

// Verdict is what is known of a token after it was judged. As JSON it is the object
// that a caller may print whether or not the token is good:
//
//	{"valid":true,"kid":"…","alg":"RS256","expires_in":3600,"claims":{…}}
//	{"valid":false,"reason":"expired","errors":[{"reason":"expired","claim":"exp","message":"…"}],"kid":"…","alg":"RS256","expires_in":-5}
type Verdict struct {
	Valid     bool           `json:"valid"`
	Reason    Reason         `json:"reason,omitempty"` // of the first check that failed
	Errors    []*Refusal     `json:"errors,omitempty"` // every check that failed
	KeyID     string         `json:"kid,omitempty"`    // as the header has it
	Algorithm jwk.Algorithm  `json:"alg,omitempty"`    // that the header names; set once it is one of ours
	ExpiresIn *int64         `json:"expires_in,omitempty"`
	Claims    map[string]any `json:"claims,omitempty"` // of a valid token only; numbers are json.Number
	Payload   []byte         `json:"-"`                // of a valid token only: the claims as they were signed
}

// Validate says what is wrong with the settings of v, nil if nothing is.
func (v Verifier) Validate() error {
	switch {
	case v.Keys == nil:
		return errors.New("no key source: set Keys")
	case v.Issuer == "" && !v.InsecureSkipIssuer:
		return errors.New("no issuer to expect: name one, or skip the check of iss explicitly")
	case slices.Contains(v.Audience, ""):
		return errors.New("an audience is empty: name it, or leave it out")
	case v.Leeway < 0 || v.Leeway > MaxLeeway:
		return fmt.Errorf("leeway %s: it may be from 0s to %s", v.Leeway, MaxLeeway)
	case v.MinTTL < 0:
		return fmt.Errorf("minimal ttl %s: it must not be negative", v.MinTTL)
	case v.MaxAge < 0:
		return fmt.Errorf("maximal age %s: it must not be negative", v.MaxAge)
	case v.MaxSize < 0:
		return fmt.Errorf("maximal size %d: it must not be negative", v.MaxSize)
	case v.Profile != "" && v.Profile != ProfileAccessToken:
		return fmt.Errorf("unknown profile %q: use %q", v.Profile, ProfileAccessToken)
	case v.Profile != "" && len(v.Types) > 0:
		return fmt.Errorf("profile %q fixes the typ: leave the types out", v.Profile)
	case v.Profile != "" && len(v.Audience) == 0 && !v.InsecureSkipAudience:
		return fmt.Errorf("profile %q needs an audience: name the one that you are", v.Profile)
	}
	return nil
}

// Verify judges a compact JWS. The error is nil if and only if the token is good; a
// token that is not gives a *Refusal, the first of those in the verdict. Any other
// error means that nothing was decided and the verdict is empty: it wraps
// ErrKeysUnavailable, or else it is that of Validate.
//
// The checks come in the order of Classes. What concerns the claims is judged only
// after the signature, and then all of it.
func (v Verifier) Verify(ctx context.Context, compact string) (Verdict, error) {
	return v.Checker().Verify(ctx, compact)
}

// Checker is a Verifier for many tokens, on one goroutine. An issuer writes the same
// header on token after token, so it keeps what the last sound one says.
type Checker struct {
	verifier Verifier

	last   []byte // the header as it was decoded; nil if there is none yet
	header Header // what last says
	alg    jwk.Algorithm
}

// Checker returns a Checker that decides as v does.
func (v Verifier) Checker() *Checker { return &Checker{verifier: v} }

// Verify is Verifier.Verify. It must not be called by two goroutines at once.
func (c *Checker) Verify(ctx context.Context, compact string) (Verdict, error) {
	v := &c.verifier
	if err := v.Validate(); err != nil {
		return Verdict{}, err
	}
	now := time.Now()
	if v.Now != nil {
		now = v.Now()
	}
	var verdict Verdict
	parts, err := Split(compact, v.MaxSize)
	if err != nil {
		return verdict.refused(err)
	}
	header, alg, known := c.header, c.alg, bytes.Equal(parts.Header, c.last)
	if !known {
		if header, err = ParseHeader(parts.Header); err != nil {
			return verdict.refused(err)
		}
	}
	verdict.KeyID = header.KeyID
	claims, err := ParseClaims(parts.Payload)
	if err != nil {
		return verdict.refused(err)
	}
	if !known {
		if alg, err = header.Algorithm(v.Algorithms); err != nil {
			return verdict.refused(err)
		}
		c.last, c.header, c.alg = parts.Header, header, alg
	}
	verdict.Algorithm = alg
	key, err := findKey(ctx, v.Keys, header.KeyID, alg)
	if err != nil {
		return verdict.refused(err)
	}
	if err := checkSignature(key, alg, parts); err != nil {
		return verdict.refused(err)
	}
	verdict.ExpiresIn = secondsLeft(claims, now)
	if failed := v.CheckClaims(header, claims, now); len(failed) > 0 {
		verdict.Reason, verdict.Errors = failed[0].Reason, failed
		return verdict, failed[0]
	}
	verdict.Valid, verdict.Claims, verdict.Payload = true, claims, parts.Payload
	return verdict, nil
}

// refused completes the verdict on a token that failed before its claims were due.
func (v Verdict) refused(err error) (Verdict, error) {
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok {
		return Verdict{}, err
	}
	v.Reason, v.Errors = refusal.Reason, []*Refusal{refusal}
	return v, refusal
}

// secondsLeft returns the whole seconds until exp, negative if it has passed; nil
// if exp is absent or unusable.
func secondsLeft(claims map[string]any, now time.Time) *int64 {
	exp, err := numericDate(claims["exp"])
	if err != nil {
		return nil
	}
	left := exp.Unix() - now.Unix()
	if exp.Nanosecond() < now.Nanosecond() {
		left--
	}
	return &left
}
