package token

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// CheckClaims checks the claims of a token, and the typ and cty of its header, whose
// signature is known to be right. It returns every check that failed, in the order
// of Classes; none means that the token is good at the moment now.
func (v Verifier) CheckClaims(header Header, claims map[string]any, now time.Time) []*Refusal {
	j := judge{Verifier: v, header: header, claims: claims, now: now}
	j.names()
	j.types()
	j.required()
	j.times()
	j.kind()
	j.issuer()
	j.audience()
	j.subject()
	j.scopes()
	j.values()

	if len(j.failed) > 1 {
		order := Classes()
		slices.SortStableFunc(j.failed, func(a, b *Refusal) int {
			return slices.Index(order, a.Reason.Class()) - slices.Index(order, b.Reason.Class())
		})
	}
	return j.failed
}

// judge is one judgement under way. A claim of the wrong type is reported once, by
// types; an absent one once, by required; the other checks pass both over.
type judge struct {
	Verifier
	header Header
	claims map[string]any
	now    time.Time
	failed []*Refusal

	exp, nbf, iat date // as types finds them
}

// date is a NumericDate, if it is there and sound.
type date struct {
	time.Time
	ok bool
}

func (j *judge) fail(reason Reason, claim, hint, format string, args ...any) {
	j.failed = append(j.failed, &Refusal{
		Reason: reason, Claim: claim, Message: fmt.Sprintf(format, args...), Hint: hint,
	})
}

// names refuses claims that another reader may take for a registered one.
func (j *judge) names() {
	var missed []string
	for name := range j.claims {
		if nearMiss(name) != "" {
			missed = append(missed, name)
		}
	}
	slices.Sort(missed)
	for _, name := range missed {
		j.fail(ReasonClaimCase, name, "names of claims are case-sensitive", "the claim %s is not %s", quote(name), nearMiss(name))
	}
}

// types checks the types of the claims that RFC 7519 defines, needed or not.
func (j *judge) types() {
	for _, textual := range [...]struct {
		claim string
		when  bool
	}{
		{"iss", true},
		{"sub", true},
		{"jti", true},
		{"client_id", j.Profile == ProfileAccessToken},
		{"scope", len(j.Scopes) > 0},
	} {
		value, ok := j.claims[textual.claim]
		if _, isText := value.(string); ok && !isText && textual.when {
			j.fail(ReasonClaimType, textual.claim, "have the issuer write it as text", "%s is not a string", textual.claim)
		}
	}
	if aud, ok := j.claims["aud"]; ok {
		if _, isTexts := texts(aud); !isTexts {
			j.fail(ReasonClaimType, "aud", "have the issuer write one of these", "aud is neither a string nor an array of strings")
		}
	}
	for _, found := range [...]struct {
		claim string
		to    *date
	}{{"exp", &j.exp}, {"nbf", &j.nbf}, {"iat", &j.iat}} {
		value, ok := j.claims[found.claim]
		if !ok {
			continue
		}
		at, err := numericDate(value)
		if err != nil {
			j.fail(ReasonClaimType, found.claim, "have the issuer write seconds since 1970, not milliseconds", "%s %v", found.claim, err)
		}
		*found.to = date{at, err == nil}
	}
}

// required refuses a token that lacks a claim that some rule needs.
func (j *judge) required() {
	access := j.Profile == ProfileAccessToken
	for _, need := range [...]struct {
		claim string
		when  bool
	}{
		{"exp", !j.InsecureAllowNoExpiry || j.MinTTL > 0 || access},
		{"iss", !j.InsecureSkipIssuer || access},
		{"aud", !j.InsecureSkipAudience && len(j.Audience) > 0 || access},
		{"sub", j.Subject != "" || access},
		{"scope", len(j.Scopes) > 0},
		{"iat", j.MaxAge > 0 || access},
		{"client_id", access},
		{"jti", access},
	} {
		if need.when {
			j.present(need.claim)
		}
	}
	for _, requirement := range j.Require {
		j.present(requirement.Claim)
	}
}

// present refuses a token without the claim, once.
func (j *judge) present(name string) {
	_, ok := j.claims[name]
	if ok || slices.ContainsFunc(j.failed, func(r *Refusal) bool { return r.Reason == ReasonClaimMissing && r.Claim == name }) {
		return
	}
	j.fail(ReasonClaimMissing, name, "have the issuer set it", "the claim %s is missing", quote(name))
}

// times checks exp, nbf and iat against the clock (RFC 7519, section 4.1.4 to 4.1.6).
func (j *judge) times() {
	switch exp := j.exp; {
	case !exp.ok:
	case !j.now.Before(exp.Add(j.Leeway)):
		j.fail(ReasonExpired, "exp", "get a new token", "the token expired at %s", stamp(exp.Time))
	case j.MinTTL > 0 && exp.Sub(j.now) < j.MinTTL:
		j.fail(ReasonTTLShort, "exp", "get a new token",
			"the token expires in %s, less than %s", exp.Sub(j.now).Truncate(time.Second), j.MinTTL)
	}
	if nbf := j.nbf; nbf.ok && j.now.Add(j.Leeway).Before(nbf.Time) {
		j.fail(ReasonNotYetValid, "nbf", "wait, or compare the clocks", "the token is not valid before %s", stamp(nbf.Time))
	}
	iat := j.iat
	if !iat.ok {
		return
	}
	if j.now.Add(j.Leeway).Before(iat.Time) {
		j.fail(ReasonIssuedAhead, "iat", "compare the clocks", "the token was issued in the future, at %s", stamp(iat.Time))
	}
	if j.exp.ok && iat.After(j.exp.Time) {
		j.fail(ReasonIssuedLate, "iat", "have the issuer check its clock", "iat %s is later than exp %s", stamp(iat.Time), stamp(j.exp.Time))
	}
	if j.MaxAge > 0 && j.now.Sub(iat.Time) > j.MaxAge+j.Leeway {
		j.fail(ReasonTooOld, "iat", "get a new token", "the token was issued at %s, more than %s ago", stamp(iat.Time), j.MaxAge)
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// kind checks typ and cty. A typ that is there must be the expected one (RFC 8725,
// section 3.11): an ID token, logout token or proof is not an access token.
func (j *judge) kind() {
	types := j.Types
	if j.Profile == ProfileAccessToken {
		types = []string{string(ProfileAccessToken)}
	}
	typ, ok := j.header.Members["typ"].(string)
	switch {
	case !ok && len(types) > 0:
		j.fail(ReasonTyp, "", "have the issuer set it", "the header has no typ, expected is %s", list(types))
	case !ok:
	case len(types) == 0 && mediaType(typ) != "jwt":
		j.fail(ReasonTyp, "", "expect that typ if you mean this kind of token", "typ is %s, not \"JWT\"", quote(typ))
	case len(types) > 0 && !slices.ContainsFunc(types, func(t string) bool { return mediaType(t) == mediaType(typ) }):
		j.fail(ReasonTyp, "", "expect that typ if you mean this kind of token", "typ is %s, expected is %s", quote(typ), list(types))
	}
	if cty, _ := j.header.Members["cty"].(string); mediaType(cty) == "jwt" {
		j.fail(ReasonCty, "", "verify the inner token by itself", "the payload is another token: cty is %s", quote(cty))
	}
}

func (j *judge) issuer() {
	iss, ok := j.claims["iss"].(string)
	if ok && !j.InsecureSkipIssuer && iss != j.Issuer {
		j.fail(ReasonIssuer, "iss", "expect that issuer if you trust it", "iss is %s, not %s", quote(iss), quote(j.Issuer))
	}
}

// audience refuses a token for others, and one that is for anybody in particular as
// long as the caller does not say who it is (RFC 7519, section 4.1.3).
func (j *judge) audience() {
	aud, ok := texts(j.claims["aud"])
	if !ok || j.InsecureSkipAudience {
		return
	}
	if len(j.Audience) == 0 {
		j.fail(ReasonAudienceUnset, "aud", "name the audience that you are",
			"the token is for %s, but no audience was named", quote(strings.Join(aud, ", ")))
		return
	}
	if !slices.ContainsFunc(aud, func(a string) bool { return slices.Contains(j.Audience, a) }) {
		j.fail(ReasonAudience, "aud", "have the issuer name you in aud",
			"the token is for %s, not for %s", quote(strings.Join(aud, ", ")), list(j.Audience))
	}
}

func (j *judge) subject() {
	sub, ok := j.claims["sub"].(string)
	if ok && j.Subject != "" && sub != j.Subject {
		j.fail(ReasonSubject, "sub", "expect that subject if you mean it", "sub is %s, not %s", quote(sub), quote(j.Subject))
	}
}

// scopes checks scope, a list separated by spaces (RFC 8693, section 4.2).
func (j *judge) scopes() {
	if len(j.Scopes) == 0 {
		return
	}
	scope, ok := j.claims["scope"].(string)
	if !ok {
		return
	}
	granted := strings.Split(scope, " ")
	for _, want := range j.Scopes {
		if !slices.Contains(granted, want) {
			j.fail(ReasonScope, "scope", "ask the issuer for it", "the token lacks the scope %s", quote(want))
		}
	}
}

// values checks the values that the caller requires; null is none.
func (j *judge) values() {
	for _, requirement := range j.Require {
		claim, ok := j.claims[requirement.Claim]
		switch want := requirement.Value; {
		case !ok:
		case claim == nil:
			j.fail(ReasonClaimValue, requirement.Claim, "have the issuer give it a value", "the claim %s is null", quote(requirement.Claim))
		case want != nil && !holds(claim, *want):
			j.fail(ReasonClaimValue, requirement.Claim, "require that value if you mean it", "the claim %s is not %s", quote(requirement.Claim), quote(*want))
		}
	}
}
