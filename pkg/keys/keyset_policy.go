package keys

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// Policy holds the settings that all processes of one keyset share. It is part of
// the document, so that every process uses the same one.
type Policy struct {
	RotationInterval time.Duration // R: how long a key signs; at least 4s
	TokenTTL         time.Duration // T: the longest validity of a token; at least 1s
	JWKSMaxAge       time.Duration // M: how long a cache may keep the JWKS; whole seconds, at least 1s
	MaxStaleness     time.Duration // D: how long a process acts on a keyset that it could not confirm; at least 1s
	Leeway           time.Duration // L: what verifiers allow on exp, their own clock error included; at least 1s
	ClockSkew        time.Duration // e: how far two clocks may differ plus the time a write takes to land; at least 100ms

	Algorithm     jwk.Algorithm // of new keys
	KeySize       int           // of new keys in bits; 0 if the algorithm fixes it
	Issuer        string        // the iss of tokens: an absolute http or https URL
	ExpiredTokens bool          // whether the keyset has a specimen, which signs tokens "with an expired key"
}

// Settings are the parts of a policy that an operator states. A zero field was not
// stated.
type Settings struct {
	RotationInterval, TokenTTL, JWKSMaxAge, MaxStaleness, Leeway, ClockSkew time.Duration

	Algorithm     jwk.Algorithm
	KeySize       int
	Issuer        string
	ExpiredTokens *bool

	// MinClockSkew is that of the store, and not stated by an operator: the default of
	// clock_skew is at least this, and a shorter one is refused.
	MinClockSkew time.Duration
}

const (
	defaultRotationInterval = 24 * time.Hour

	maxDuration = 10 * 365 * 24 * time.Hour // keeps every sum of durations far from overflow
)

// NewPolicy completes the settings with defaults. The issuer has no default and must
// be stated. The error joins all problems and names each by its setting.
func NewPolicy(s Settings) (Policy, error) {
	var p Policy
	for _, f := range p.fields(s) {
		f.reset(defaultRotationInterval)
	}
	return p.With(s)
}

// With is the policy with the settings applied. If the rotation interval changes, a
// duration that has the default of the old interval, and was not stated, gets the
// default of the new one. Likewise, the key size follows the algorithm.
func (p Policy) With(s Settings) (Policy, error) {
	q := p
	for _, f := range q.fields(s) {
		if s.RotationInterval != 0 && f.isDerived(p.RotationInterval) {
			f.reset(s.RotationInterval)
		}
		f.applyStated()
	}
	if alg, err := jwk.ParseAlgorithm(string(q.Algorithm)); err == nil {
		q.Algorithm = alg // some algorithms have two names
	}
	if sizes := q.Algorithm.Sizes(); s.KeySize == 0 && len(sizes) == 0 {
		q.KeySize = 0
	} else if s.KeySize == 0 && !slices.Contains(sizes, q.KeySize) {
		q.KeySize = q.Algorithm.DefaultSize()
	}
	return q, errors.Join(q.validate(), q.checkStated(s))
}

// checkStated refuses a clock_skew that is too short for the store.
func (p Policy) checkStated(s Settings) error {
	if err := p.checkClockSkew(s.MinClockSkew); err != nil {
		return fmt.Errorf("%w: raise it, or leave it out", err)
	}
	return nil
}

// checkClockSkew refuses a policy under which the store cannot keep a change from
// becoming visible too late; see Store.MinClockSkew.
func (p Policy) checkClockSkew(least time.Duration) error {
	if p.ClockSkew >= least {
		return nil
	}
	return fmt.Errorf("%w: it is %v and must be at least %v", ErrClockSkew, p.ClockSkew, least)
}

// Difference is one setting in which two policies differ.
type Difference struct{ Setting, Old, New string }

// Differences lists what changes from p to q, in the order of the table.
func (p Policy) Differences(q Policy) []Difference {
	var out []Difference
	newFields := q.fields(Settings{})
	for i, f := range p.fields(Settings{}) {
		if from, to := f.value(), newFields[i].value(); from != to {
			out = append(out, Difference{f.name, fmt.Sprint(from), fmt.Sprint(to)})
		}
	}
	return out
}

// Validate joins the problems that stated settings have by themselves. Whether they fit
// together with the other ones of a policy is found by NewPolicy and With.
func (s Settings) Validate() error {
	p := Policy{Algorithm: jwk.RS256, KeySize: jwk.RS256.DefaultSize(), Issuer: "https://issuer.example"}
	for _, f := range p.fields(Settings{MinClockSkew: s.MinClockSkew}) {
		f.reset(defaultRotationInterval)
	}
	q, _ := p.With(s) // its error has the sums too
	problems := append(q.validateDurations(), q.validateOthers()...)
	return errors.Join(append(problems, q.checkStated(s))...)
}

// validate joins all problems, so that an operator can fix them in one go.
func (p Policy) validate() error {
	problems := p.validateDurations()
	if len(problems) == 0 {
		problems = p.validateSums()
	}
	return errors.Join(append(problems, p.validateOthers()...)...)
}

func (p Policy) validateDurations() (problems []error) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	for _, f := range p.fields(Settings{}) {
		d, ok := f.at.(*time.Duration)
		if !ok || (len(problems) > 0 && f.isDerived(p.RotationInterval)) {
			continue // a derived duration is wrong only because the rotation interval is
		}
		if *d < f.least || *d > maxDuration {
			bad("%s must be between %v and %v, not %v", f.name, f.least, maxDuration, *d)
		}
	}
	if p.JWKSMaxAge%time.Second != 0 {
		bad("jwks_max_age must be whole seconds, as in Cache-Control, not %v", p.JWKSMaxAge)
	}
	return problems
}

func (p Policy) validateOthers() (problems []error) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
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
	return problems
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

// validIssuer follows RFC 8414 section 2, but allows http for loopback and closed
// networks.
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
