package token

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// MaxLeeway is the largest Verifier.Leeway: RFC 7519 allows "a few minutes", and more
// would make exp meaningless.
const MaxLeeway = 5 * time.Minute

// Profile is a set of additional rules for one type of token.
type Profile string

// ProfileAccessToken is RFC 9068, section 4: typ is at+jwt, an audience must be
// expected, and iss, exp, aud, sub, client_id, iat and jti must be present.
const ProfileAccessToken Profile = "at+jwt"

// Requirement is a claim that must be present and not null.
type Requirement struct {
	Claim string  // its name; within an object, a path: realm_access.roles or /realm_access/roles (RFC 6901)
	Value *string // nil means any; else a string, the JSON of a number or boolean, or an element of an array of these
}

// Verifier verifies tokens. It is a value: it may be copied, and used by several
// goroutines at once. Keys and Issuer are required, all other fields are optional.
type Verifier struct {
	Keys       KeySource
	Issuer     []string        // iss must equal one of these
	Audience   []string        // aud must contain one of these; if empty, a token with aud is refused
	Subject    string          // sub must equal this; "" means any
	Types      []string        // typ must be one of these; if empty, typ must be "JWT" or absent
	Algorithms []jwk.Algorithm // alg must be one of these; if empty, the keys alone decide
	Require    []Requirement
	Scopes     []string // scope and scp together must contain all of these
	Profile    Profile  // "" means none

	Leeway time.Duration    // tolerance for exp, nbf, iat and MaxAge; at most MaxLeeway
	MinTTL time.Duration    // least time left until exp, without leeway; 0 means any
	MaxAge time.Duration    // greatest age since iat; 0 means any
	Now    func() time.Time // nil means time.Now

	MaxSize int // longest token, in bytes; 0 means DefaultMaxSize

	InsecureSkipIssuer    bool // accept any iss, or none
	InsecureSkipAudience  bool // accept any aud, or none
	InsecureAllowNoExpiry bool // accept a token without exp
}

// Verdict is the result of a verification. As JSON:
//
//	{"valid":true,"kid":"…","alg":"RS256","expires_in":3600,"claims":{…}}
//	{"valid":false,"reason":"expired","errors":[{"reason":"expired","claim":"exp","message":"…"}],"kid":"…","alg":"RS256","expires_in":-5}
type Verdict struct {
	Valid     bool           `json:"valid"`
	Reason    Reason         `json:"reason,omitempty"` // of the first check that failed
	Errors    []*Refusal     `json:"errors,omitempty"` // every check that failed
	KeyID     string         `json:"kid,omitempty"`    // from the header
	Algorithm jwk.Algorithm  `json:"alg,omitempty"`    // from the header, if it is supported and allowed
	ExpiresIn *int64         `json:"expires_in,omitempty"`
	Claims    map[string]any `json:"claims,omitempty"` // of a valid token only; numbers are json.Number
	Payload   []byte         `json:"-"`                // of a valid token only: the JSON of the claims
}

// Validate returns an error if the settings of v are invalid or incomplete.
func (v Verifier) Validate() error {
	switch {
	case v.Keys == nil:
		return errors.New("no key source: set Keys")
	case len(v.Issuer) == 0 && !v.InsecureSkipIssuer:
		return errors.New("no expected issuer: set Issuer, or skip the check of iss explicitly")
	case slices.Contains(v.Issuer, ""):
		return errors.New("an expected issuer is empty: remove it")
	case slices.Contains(v.Audience, ""):
		return errors.New("an expected audience is empty: remove it")
	case v.Leeway < 0 || v.Leeway > MaxLeeway:
		return fmt.Errorf("leeway %s: it must be between 0s and %s", v.Leeway, MaxLeeway)
	case v.MinTTL < 0:
		return fmt.Errorf("minimum ttl %s: it must not be negative", v.MinTTL)
	case v.MaxAge < 0:
		return fmt.Errorf("maximum age %s: it must not be negative", v.MaxAge)
	case v.MaxSize < 0:
		return fmt.Errorf("maximum size %d: it must not be negative", v.MaxSize)
	case v.Profile != "" && v.Profile != ProfileAccessToken:
		return fmt.Errorf("unknown profile %q: use %q", v.Profile, ProfileAccessToken)
	case v.Profile != "" && len(v.Types) > 0:
		return fmt.Errorf("profile %q determines the typ: do not set types", v.Profile)
	case v.Profile != "" && len(v.Audience) == 0 && !v.InsecureSkipAudience:
		return fmt.Errorf("profile %q requires an expected audience: set one", v.Profile)
	}
	return nil
}

// Verify verifies a compact JWS. The error is nil if and only if the token is valid.
// An invalid token gives a *Refusal, the first one in the verdict. Any other error
// means that the token could not be checked, and the verdict is empty: the error wraps
// ErrKeysUnavailable or is that of Validate.
//
// The checks come in the order of Classes. The claims are parsed before the signature
// is verified and checked after it; all failed checks of claims are reported.
func (v Verifier) Verify(ctx context.Context, compact string) (Verdict, error) {
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
	header, err := ParseHeader(parts.Header)
	if err != nil {
		return verdict.refused(err)
	}
	verdict.KeyID = header.KeyID
	claims, err := ParseClaims(parts.Payload)
	if err != nil {
		return verdict.refused(err)
	}
	if verdict.Algorithm, err = header.Algorithm(v.Algorithms); err != nil {
		return verdict.refused(err)
	}
	key, err := findKey(ctx, v.Keys, header.KeyID, verdict.Algorithm)
	if err != nil {
		return verdict.refused(err)
	}
	if err := checkSignature(key, verdict.Algorithm, parts); err != nil {
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

// refused returns the verdict with err as its only refusal, or an empty verdict if err
// is not a refusal.
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
