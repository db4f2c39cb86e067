package token

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// CheckClaims checks the claims of a token, and typ and cty of its header, at the time
// now. The signature must have been verified before. It returns every check that
// failed, in the order of Classes; none means that the token is valid.
func (v Verifier) CheckClaims(header Header, claims map[string]any, now time.Time) []*Refusal {
	c := claimsCheck{Verifier: v, header: header, claims: claims, now: now}
	c.checkNames()
	c.checkTypes()
	c.checkPresence()
	c.checkTimes()
	c.checkTokenType()
	c.checkIssuer()
	c.checkAudience()
	c.checkSubject()
	c.checkScopes()
	c.checkValues()

	if len(c.failed) > 1 {
		order := Classes()
		slices.SortStableFunc(c.failed, func(a, b *Refusal) int {
			return slices.Index(order, a.Reason.Class()) - slices.Index(order, b.Reason.Class())
		})
	}
	return c.failed
}

// claimsCheck collects the refusals of one token. Only checkTypes reports a claim of
// the wrong type and only checkPresence a missing one; the other checks skip both.
type claimsCheck struct {
	Verifier
	header Header
	claims map[string]any
	now    time.Time
	failed []*Refusal

	exp, nbf, iat date // set by checkTypes
}

// date is a NumericDate; ok means that it is present and in range.
type date struct {
	time.Time
	ok bool
}

func (c *claimsCheck) fail(reason Reason, claim, hint, format string, args ...any) {
	c.failed = append(c.failed, &Refusal{
		Reason: reason, Claim: claim, Message: fmt.Sprintf(format, args...), Hint: hint,
	})
}

// checkNames refuses claims that differ from a known one in case only.
func (c *claimsCheck) checkNames() {
	var confused []string
	for name := range c.claims {
		if confusedClaim(name) != "" {
			confused = append(confused, name)
		}
	}
	slices.Sort(confused)
	for _, name := range confused {
		c.fail(ReasonClaimCase, name, "names of claims are case-sensitive", "the claim %s is not %s", quote(name), confusedClaim(name))
	}
}

// checkTypes checks the types of the claims that RFC 7519 defines, required or not.
func (c *claimsCheck) checkTypes() {
	for _, expected := range [...]struct {
		claim string
		when  bool
	}{
		{"iss", true},
		{"sub", true},
		{"jti", true},
		{"client_id", c.Profile == ProfileAccessToken},
	} {
		value, ok := c.claims[expected.claim]
		if _, isString := value.(string); ok && !isString && expected.when {
			c.fail(ReasonClaimType, expected.claim, "have the issuer write it as a string", "%s is not a string", expected.claim)
		}
	}
	for _, expected := range [...]struct {
		claim string
		when  bool
	}{
		{"aud", true},
		{"scope", len(c.Scopes) > 0},
		{"scp", len(c.Scopes) > 0},
	} {
		value, ok := c.claims[expected.claim]
		if _, isList := stringList(value); ok && !isList && expected.when {
			c.fail(ReasonClaimType, expected.claim, "have the issuer write one of these", "%s is neither a string nor a non-empty array of strings", expected.claim)
		}
	}
	for _, numeric := range [...]struct {
		claim string
		date  *date
	}{{"exp", &c.exp}, {"nbf", &c.nbf}, {"iat", &c.iat}} {
		value, ok := c.claims[numeric.claim]
		if !ok {
			continue
		}
		at, err := numericDate(value)
		if err != nil {
			c.fail(ReasonClaimType, numeric.claim, "have the issuer write seconds since 1970, not milliseconds", "%s %v", numeric.claim, err)
		}
		*numeric.date = date{at, err == nil}
	}
}

// checkPresence refuses a token without a claim that the settings require.
func (c *claimsCheck) checkPresence() {
	access := c.Profile == ProfileAccessToken
	for _, required := range [...]struct {
		claim string
		when  bool
	}{
		{"exp", !c.InsecureAllowNoExpiry || c.MinTTL > 0 || access},
		{"iss", !c.InsecureSkipIssuer || access},
		{"aud", !c.InsecureSkipAudience && len(c.Audience) > 0 || access},
		{"sub", c.Subject != "" || access},
		{"iat", c.MaxAge > 0 || access},
		{"client_id", access},
		{"jti", access},
	} {
		if required.when {
			c.require(required.claim)
		}
	}
	if _, scp := c.claims["scp"]; len(c.Scopes) > 0 && !scp {
		c.require("scope")
	}
	for _, requirement := range c.Require {
		c.require(requirement.Claim)
	}
}

// require refuses a token without the claim, once.
func (c *claimsCheck) require(name string) {
	_, ok := find(c.claims, name)
	if ok || slices.ContainsFunc(c.failed, func(r *Refusal) bool { return r.Reason == ReasonClaimMissing && r.Claim == name }) {
		return
	}
	c.fail(ReasonClaimMissing, name, "have the issuer set it", "the claim %s is missing", quote(name))
}

// checkTimes checks exp, nbf and iat against now (RFC 7519, sections 4.1.4 to 4.1.6).
func (c *claimsCheck) checkTimes() {
	switch exp := c.exp; {
	case !exp.ok:
	case !c.now.Before(exp.Add(c.Leeway)):
		c.fail(ReasonExpired, "exp", "get a new token", "the token expired at %s", timestamp(exp.Time))
	case c.MinTTL > 0 && exp.Sub(c.now) < c.MinTTL:
		c.fail(ReasonTTLShort, "exp", "get a new token",
			"the token expires in %s, less than %s", exp.Sub(c.now).Truncate(time.Second), c.MinTTL)
	}
	if nbf := c.nbf; nbf.ok && c.now.Add(c.Leeway).Before(nbf.Time) {
		c.fail(ReasonNotYetValid, "nbf", "wait, or compare the clocks", "the token is not valid before %s", timestamp(nbf.Time))
	}
	iat := c.iat
	if !iat.ok {
		return
	}
	if c.now.Add(c.Leeway).Before(iat.Time) {
		c.fail(ReasonIssuedInFuture, "iat", "compare the clocks", "the token was issued in the future, at %s", timestamp(iat.Time))
	}
	if c.exp.ok && iat.After(c.exp.Time) {
		c.fail(ReasonIssuedAfterExp, "iat", "have the issuer check its clock", "iat %s is later than exp %s", timestamp(iat.Time), timestamp(c.exp.Time))
	}
	if c.MaxAge > 0 && c.now.After(iat.Add(c.MaxAge).Add(c.Leeway)) {
		c.fail(ReasonTooOld, "iat", "get a new token", "the token was issued at %s, more than %s ago", timestamp(iat.Time), c.MaxAge)
	}
}

func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// checkTokenType checks typ and cty. A typ, if present, must be the expected one (RFC
// 8725, section 3.11): an ID token, logout token or proof is not an access token.
func (c *claimsCheck) checkTokenType() {
	types := c.Types
	if c.Profile == ProfileAccessToken {
		types = []string{string(ProfileAccessToken)}
	}
	typ, ok := c.header.Members["typ"].(string)
	switch {
	case !ok && len(types) > 0:
		c.fail(ReasonTyp, "", "have the issuer set it", "the header has no typ, expected is %s", list(types))
	case !ok:
	case len(types) == 0 && mediaType(typ) != "jwt":
		c.fail(ReasonTyp, "", "add that typ to the expected ones to accept it", "typ is %s, not \"JWT\"", quote(typ))
	case len(types) > 0 && !slices.ContainsFunc(types, func(t string) bool { return mediaType(t) == mediaType(typ) }):
		c.fail(ReasonTyp, "", "add that typ to the expected ones to accept it", "typ is %s, expected is %s", quote(typ), list(types))
	}
	if cty, _ := c.header.Members["cty"].(string); mediaType(cty) == "jwt" {
		c.fail(ReasonCty, "", "verify the inner token by itself", "the payload is another token: cty is %s", quote(cty))
	}
}

func (c *claimsCheck) checkIssuer() {
	iss, ok := c.claims["iss"].(string)
	if ok && !c.InsecureSkipIssuer && !slices.Contains(c.Issuer, iss) {
		c.fail(ReasonIssuer, "iss", "set it as the expected issuer if you trust it", "iss is %s, not %s", quote(iss), list(c.Issuer))
	}
}

// checkAudience refuses a token for another audience, and any token with aud if no
// audience is expected (RFC 7519, section 4.1.3).
func (c *claimsCheck) checkAudience() {
	aud, ok := stringList(c.claims["aud"])
	if !ok || c.InsecureSkipAudience {
		return
	}
	if len(c.Audience) == 0 {
		c.fail(ReasonAudienceUnset, "aud", "set the expected audience",
			"the token is for %s, but no audience is expected", quote(strings.Join(aud, ", ")))
		return
	}
	if !slices.ContainsFunc(aud, func(a string) bool { return slices.Contains(c.Audience, a) }) {
		c.fail(ReasonAudience, "aud", "have the issuer name you in aud",
			"the token is for %s, not for %s", quote(strings.Join(aud, ", ")), list(c.Audience))
	}
}

func (c *claimsCheck) checkSubject() {
	sub, ok := c.claims["sub"].(string)
	if ok && c.Subject != "" && sub != c.Subject {
		c.fail(ReasonSubject, "sub", "set it as the expected subject to accept it", "sub is %s, not %s", quote(sub), quote(c.Subject))
	}
}

// checkScopes checks scope, a list separated by spaces (RFC 8693, section 4.2). Some
// issuers write an array, or call the claim scp.
func (c *claimsCheck) checkScopes() {
	if len(c.Scopes) == 0 {
		return
	}
	scope, isScope := stringList(c.claims["scope"])
	scp, isSCP := stringList(c.claims["scp"])
	if !isScope && !isSCP {
		return
	}
	granted := strings.Split(strings.Join(append(scope, scp...), " "), " ")
	for _, required := range c.Scopes {
		if !slices.Contains(granted, required) {
			c.fail(ReasonScope, "scope", "ask the issuer for it", "the token lacks the scope %s", quote(required))
		}
	}
}

// checkValues checks the claims of Require. A claim that is null has no value.
func (c *claimsCheck) checkValues() {
	for _, requirement := range c.Require {
		claim, ok := find(c.claims, requirement.Claim)
		switch value := requirement.Value; {
		case !ok:
		case claim == nil:
			c.fail(ReasonClaimValue, requirement.Claim, "have the issuer give it a value", "the claim %s is null", quote(requirement.Claim))
		case value != nil && !matchesValue(claim, *value):
			c.fail(ReasonClaimValue, requirement.Claim, "require that value to accept it", "the claim %s is not %s", quote(requirement.Claim), quote(*value))
		}
	}
}

// find returns the claim that a name means. A name that begins with a slash is a path into
// objects, a JSON pointer (RFC 6901). Another name is that of a claim or, if there is no
// such claim, a path of names separated by dots. A pointer means the same member in every
// token: no claim whose own name has the form of the path takes its place.
func find(claims map[string]any, name string) (value any, ok bool) {
	var path []string
	if pointer, isPointer := strings.CutPrefix(name, "/"); isPointer {
		for token := range strings.SplitSeq(pointer, "/") {
			path = append(path, strings.NewReplacer("~1", "/", "~0", "~").Replace(token))
		}
	} else if value, ok = claims[name]; ok {
		return value, true
	} else {
		path = strings.Split(name, ".")
	}
	value = claims
	for _, member := range path {
		object, _ := value.(map[string]any) // a nil map has no members
		if value, ok = object[member]; !ok {
			return nil, false
		}
	}
	return value, true
}
