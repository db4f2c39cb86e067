package keys

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// Policy is what every process that shares a keyset obeys. It is part of the
// document, so that all processes obey the same one.
type Policy struct {
	RotationInterval time.Duration // R: how long a key signs; at least 4s
	TokenTTL         time.Duration // T: the longest life of a token; at least 1s
	JWKSMaxAge       time.Duration // M: how long a cache may keep the JWKS; whole seconds, at least 1s
	MaxStaleness     time.Duration // D: how long a process acts on a keyset that it could not confirm; at least 1s
	Leeway           time.Duration // L: what verifiers allow on exp, their own clock error included; at least 1s
	ClockSkew        time.Duration // e: how far two clocks may differ plus the time a write takes to land; at least 100ms

	Algorithm     jwk.Algorithm // of keys yet to be made
	KeySize       int           // bits; 0 where the algorithm fixes it
	Issuer        string        // the iss of tokens: an absolute http or https URL
	ExpiredTokens bool          // whether a specimen is kept, which signs tokens "with an expired key"
}

// Settings is a policy as somebody states it: a zero field was not stated.
type Settings struct {
	RotationInterval, TokenTTL, JWKSMaxAge, MaxStaleness, Leeway, ClockSkew time.Duration

	Algorithm     jwk.Algorithm
	KeySize       int
	Issuer        string
	ExpiredTokens *bool
}

const (
	minRotationInterval = 4 * time.Second
	minClockSkew        = 100 * time.Millisecond
	maxDuration         = 10 * 365 * 24 * time.Hour // keeps every sum of durations far from overflow

	defaultRotationInterval = 24 * time.Hour
	defaultAlgorithm        = jwk.RS256
)

// timings derives the durations from the rotation interval alone, so that
// stating an interval is enough for a policy that holds together.
func timings(r time.Duration) Policy {
	second := func(d time.Duration) time.Duration { return max(time.Second, d.Truncate(time.Second)) }
	return Policy{
		RotationInterval: r,
		TokenTTL:         min(time.Hour, r),
		JWKSMaxAge:       second(min(5*time.Minute, r/12)),
		MaxStaleness:     min(time.Hour, r/4),
		Leeway:           second(min(time.Minute, r/12)),
		ClockSkew:        min(5*time.Second, r/10),
	}
}

// NewPolicy completes the settings with defaults. The issuer has none and must
// be stated. The error joins every problem and names each by its setting.
func NewPolicy(s Settings) (Policy, error) {
	p := timings(defaultRotationInterval)
	p.Algorithm, p.ExpiredTokens = defaultAlgorithm, true
	return p.With(s)
}

// With is the policy with the settings laid over it. A duration that stands at
// the default of the old rotation interval, and was not stated, follows the new
// one; so does the key size when the algorithm changes.
func (p Policy) With(s Settings) (Policy, error) {
	q := p
	if s.RotationInterval != 0 {
		was, is := timings(p.RotationInterval), timings(s.RotationInterval)
		q.RotationInterval = s.RotationInterval
		for i, d := range q.durations() {
			if *d.at == *was.durations()[i].at {
				*d.at = *is.durations()[i].at
			}
		}
	}
	stated := []time.Duration{s.RotationInterval, s.TokenTTL, s.JWKSMaxAge, s.MaxStaleness, s.Leeway, s.ClockSkew}
	for i, d := range q.durations() {
		if stated[i] != 0 {
			*d.at = stated[i]
		}
	}
	if s.Algorithm != "" {
		q.Algorithm = s.Algorithm
		if alg, err := jwk.ParseAlgorithm(string(s.Algorithm)); err == nil {
			q.Algorithm = alg // some have two names
		}
	}
	if sizes := q.Algorithm.Sizes(); len(sizes) == 0 {
		q.KeySize = 0
	} else if !slices.Contains(sizes, q.KeySize) {
		q.KeySize = q.Algorithm.DefaultSize()
	}
	if s.KeySize != 0 {
		q.KeySize = s.KeySize
	}
	if s.Issuer != "" {
		q.Issuer = s.Issuer
	}
	if s.ExpiredTokens != nil {
		q.ExpiredTokens = *s.ExpiredTokens
	}
	return q, q.validate()
}

// namedDuration is a duration of a policy with the name its setting has.
type namedDuration struct {
	name string
	at   *time.Duration
}

func (p *Policy) durations() []namedDuration {
	return []namedDuration{
		{"rotation_interval", &p.RotationInterval},
		{"token_ttl", &p.TokenTTL},
		{"jwks_max_age", &p.JWKSMaxAge},
		{"max_staleness", &p.MaxStaleness},
		{"leeway", &p.Leeway},
		{"clock_skew", &p.ClockSkew},
	}
}

// Difference is one setting in which two policies differ.
type Difference struct{ Setting, Old, New string }

// Differences lists what changes from p to q, in the order of the settings.
func (p Policy) Differences(q Policy) []Difference {
	var out []Difference
	add := func(name string, old, now any) {
		if old != now {
			out = append(out, Difference{name, fmt.Sprint(old), fmt.Sprint(now)})
		}
	}
	after := q.durations()
	for i, d := range p.durations() {
		add(d.name, *d.at, *after[i].at)
	}
	add("algorithm", p.Algorithm, q.Algorithm)
	add("key_size", p.KeySize, q.KeySize)
	add("issuer", p.Issuer, q.Issuer)
	add("expired_tokens", p.ExpiredTokens, q.ExpiredTokens)
	return out
}

// validate joins every problem, so that a person mends them in one go.
func (p Policy) validate() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }

	least := []time.Duration{minRotationInterval, time.Second, time.Second, time.Second, time.Second, minClockSkew}
	derived := timings(p.RotationInterval)
	for i, d := range p.durations() {
		if len(problems) > 0 && *d.at == *derived.durations()[i].at {
			continue // it follows from the interval, which is wrong itself
		}
		if *d.at < least[i] || *d.at > maxDuration {
			bad("%s must be between %v and %v, not %v", d.name, least[i], maxDuration, *d.at)
		}
	}
	if p.JWKSMaxAge%time.Second != 0 {
		bad("jwks_max_age must be whole seconds, as Cache-Control has them, not %v", p.JWKSMaxAge)
	}
	if len(problems) == 0 {
		problems = append(problems, p.validateSums()...)
	}
	if alg, err := jwk.ParseAlgorithm(string(p.Algorithm)); err != nil {
		bad("algorithm: %v", err)
	} else if alg != p.Algorithm {
		bad("algorithm: %s is named %s here", p.Algorithm, alg)
	} else if sizes := p.Algorithm.Sizes(); len(sizes) == 0 && p.KeySize != 0 {
		bad("key_size: %s keys have one size; leave it out", p.Algorithm)
	} else if len(sizes) > 0 && !slices.Contains(sizes, p.KeySize) {
		bad("key_size: %s takes %v bits, not %d", p.Algorithm, sizes, p.KeySize)
	}
	if err := validIssuer(p.Issuer); err != nil {
		bad("issuer: %v", err)
	}
	return errors.Join(problems...)
}

func (p Policy) validateSums() (problems []error) {
	if sum := p.MaxStaleness + 2*p.JWKSMaxAge + 2*p.ClockSkew; sum > p.RotationInterval {
		problems = append(problems, fmt.Errorf(
			"max_staleness + 2*jwks_max_age + 2*clock_skew <= rotation_interval does not hold: %v + 2*%v + 2*%v = %v, more than %v: "+
				"the next key could not be ready in time; lower them or rotate less often",
			p.MaxStaleness, p.JWKSMaxAge, p.ClockSkew, sum, p.RotationInterval))
	}
	if sum := p.MaxStaleness + p.TokenTTL + p.Leeway + 2*p.ClockSkew; sum > 8*p.RotationInterval {
		problems = append(problems, fmt.Errorf(
			"max_staleness + token_ttl + leeway + 2*clock_skew <= 8*rotation_interval does not hold: %v + %v + %v + 2*%v = %v, more than %v: "+
				"retired keys would pile up; lower them or rotate less often",
			p.MaxStaleness, p.TokenTTL, p.Leeway, p.ClockSkew, sum, 8*p.RotationInterval))
	}
	return problems
}

// validIssuer follows RFC 8414 section 2, but allows http for loopback and
// closed networks.
func validIssuer(issuer string) error {
	if issuer == "" {
		return errors.New("is not set")
	}
	u, err := url.Parse(issuer)
	if err != nil {
		return fmt.Errorf("%q is not a URL", issuer)
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return fmt.Errorf("%q is not an absolute http or https URL", issuer)
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return fmt.Errorf("%q must have no user, query or fragment", u.Redacted())
	}
	return nil
}

// policyJSON is how the document has a policy: durations as Go writes them.
type policyJSON struct {
	RotationInterval string        `json:"rotation_interval"`
	TokenTTL         string        `json:"token_ttl"`
	JWKSMaxAge       string        `json:"jwks_max_age"`
	MaxStaleness     string        `json:"max_staleness"`
	Leeway           string        `json:"leeway"`
	ClockSkew        string        `json:"clock_skew"`
	Algorithm        jwk.Algorithm `json:"algorithm"`
	KeySize          int           `json:"key_size,omitempty"`
	Issuer           string        `json:"issuer"`
	ExpiredTokens    bool          `json:"expired_tokens"`
}

func (j *policyJSON) durations() []*string {
	return []*string{&j.RotationInterval, &j.TokenTTL, &j.JWKSMaxAge, &j.MaxStaleness, &j.Leeway, &j.ClockSkew}
}

// MarshalJSON writes durations as text, such as "1h0m0s".
func (p Policy) MarshalJSON() ([]byte, error) {
	j := policyJSON{Algorithm: p.Algorithm, KeySize: p.KeySize, Issuer: p.Issuer, ExpiredTokens: p.ExpiredTokens}
	for i, d := range p.durations() {
		*j.durations()[i] = d.at.String()
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON wrote and refuses anything else.
func (p *Policy) UnmarshalJSON(data []byte) error {
	var j policyJSON
	if err := decodeStrict(data, &j); err != nil {
		return err
	}
	q := Policy{Algorithm: j.Algorithm, KeySize: j.KeySize, Issuer: j.Issuer, ExpiredTokens: j.ExpiredTokens}
	for i, d := range q.durations() {
		v, err := time.ParseDuration(*j.durations()[i])
		if err != nil {
			return fmt.Errorf("policy %s: %v", d.name, err)
		}
		*d.at = v
	}
	*p = q
	return q.validate()
}
