package token_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// at returns the NumericDate that lies so far from the moment of the tests.
func at(d time.Duration) json.Number {
	t := moment().Add(d)
	return json.Number(fmt.Sprintf("%d.%03d", t.Unix(), t.Nanosecond()/1e6))
}

func leeway(d time.Duration) func(*token.Verifier) {
	return func(v *token.Verifier) { v.Leeway = d }
}

// timeRows are the faults of exp, nbf and iat.
func timeRows() []row {
	base := good(jwk.RS256)
	rows := []row{
		{name: "exp-past", token: base.claim("exp", at(-time.Hour)).String(), want: token.ReasonExpired},
		{name: "exp-past/now", token: base.claim("exp", at(0)).String(), want: token.ReasonExpired},
		{name: "exp-leeway/0s", token: base.claim("exp", at(-time.Millisecond)).String(), want: token.ReasonExpired},
		{name: "exp-leeway/30s", token: base.claim("exp", at(-30*time.Second)).String(), want: token.ReasonExpired, with: leeway(30 * time.Second)},
		{name: "exp-leeway/within", token: base.claim("exp", at(-29*time.Second)).String(), with: leeway(30 * time.Second)},
		{name: "exp-missing", token: base.claim("exp", nil).String(), want: token.ReasonClaimMissing},
		{name: "exp-zero/0", token: base.claim("exp", 0).String(), want: token.ReasonExpired, also: []token.Reason{token.ReasonIssuedLate}},
		{name: "exp-zero/-1", token: base.claim("exp", -1).String(), want: token.ReasonExpired, also: []token.Reason{token.ReasonIssuedLate}},
		{name: "exp-string", token: base.claim("exp", at(time.Hour).String()).String(), want: token.ReasonClaimType},
		{name: "nbf-future", token: base.claim("nbf", at(time.Hour)).String(), want: token.ReasonNotYetValid},
		{name: "nbf-future/leeway", token: base.claim("nbf", at(31*time.Second)).String(), want: token.ReasonNotYetValid, with: leeway(30 * time.Second)},
		{name: "nbf-type", token: base.claim("nbf", null).String(), want: token.ReasonClaimType},
		{name: "iat-future", token: base.claim("iat", at(30*time.Minute)).String(), want: token.ReasonIssuedAhead},
		{name: "iat-future/leeway", token: base.claim("iat", at(31*time.Second)).String(), want: token.ReasonIssuedAhead, with: leeway(30 * time.Second)},
		{
			name: "iat-future/after exp", token: base.claim("iat", at(20*time.Second)).claim("exp", at(10*time.Second)).String(),
			want: token.ReasonIssuedLate, with: leeway(30 * time.Second),
		},
		{name: "iat-type", token: base.claim("iat", "1").String(), want: token.ReasonClaimType},
	}
	for name, value := range map[string]string{
		"exp-type/true": "true", "exp-type/null": "null", "exp-type/array": "[]", "exp-type/object": "{}",
		"exp-huge/1e18": "1e18", "exp-huge/1e300": "1e300", "exp-huge/1e400": "1e400", "exp-huge/2^63": "9223372036854775808",
		"exp-huge/milliseconds": "1800003600000", "exp-huge/negative": "-1e300",
	} {
		rows = append(rows, row{name: name, token: base.claim("exp", json.RawMessage(value)).String(), want: token.ReasonClaimType})
	}
	return rows
}

// optionalTimeRows are the checks of time that a caller may ask for or give up.
func optionalTimeRows() []row {
	base := good(jwk.RS256)
	minTTL := func(d time.Duration) func(*token.Verifier) { return func(v *token.Verifier) { v.MinTTL = d } }
	maxAge := func(d time.Duration) func(*token.Verifier) { return func(v *token.Verifier) { v.MaxAge = d } }
	noExpiry := func(v *token.Verifier) { v.InsecureAllowNoExpiry = true }
	hour := base.claim("exp", at(time.Hour)).claim("iat", at(-time.Hour))
	return []row{
		{name: "min-ttl/enough", token: hour.String(), with: minTTL(time.Hour)},
		{name: "min-ttl/short", token: hour.String(), with: minTTL(time.Hour + time.Millisecond), want: token.ReasonTTLShort},
		{name: "min-ttl/leeway does not count", token: base.claim("exp", at(-time.Second)).String(), want: token.ReasonTTLShort, with: func(v *token.Verifier) {
			v.Leeway, v.MinTTL = time.Minute, time.Millisecond
		}},
		{name: "min-ttl/no exp", token: base.claim("exp", nil).String(), want: token.ReasonClaimMissing, with: func(v *token.Verifier) {
			v.InsecureAllowNoExpiry, v.MinTTL = true, time.Second
		}},
		{name: "max-age/young", token: hour.String(), with: maxAge(time.Hour)},
		{name: "max-age/old", token: hour.String(), with: maxAge(time.Hour - time.Millisecond), want: token.ReasonTooOld},
		{name: "max-age/leeway", token: hour.String(), with: func(v *token.Verifier) { v.MaxAge, v.Leeway = time.Hour-time.Second, time.Second }},
		{name: "max-age/no iat", token: base.claim("iat", nil).String(), with: maxAge(time.Hour), want: token.ReasonClaimMissing},
		{name: "insecure-allow-no-exp", token: base.claim("exp", nil).String(), with: noExpiry},
		{name: "insecure-allow-no-exp/expired", token: base.claim("exp", at(-time.Hour)).String(), with: noExpiry, want: token.ReasonExpired},
		{name: "insecure-allow-no-exp/null", token: base.claim("exp", null).String(), with: noExpiry, want: token.ReasonClaimType},
	}
}

// issuerRows are the faults of iss.
func issuerRows() []row {
	base := good(jwk.RS256)
	skip := func(v *token.Verifier) { v.Issuer, v.InsecureSkipIssuer = "", true }
	rows := []row{
		{name: "iss-missing", token: base.claim("iss", nil).String(), want: token.ReasonClaimMissing},
		{name: "iss-array", token: base.claim("iss", []string{"https://evil.example", issuer}).String(), want: token.ReasonClaimType},
		{name: "iss-type/null", token: base.claim("iss", null).String(), want: token.ReasonClaimType},
		{name: "insecure-skip-iss", token: base.claim("iss", "https://evil.example").String(), with: skip},
		{name: "insecure-skip-iss/missing", token: base.claim("iss", nil).String(), with: skip},
		{name: "insecure-skip-iss/type", token: base.claim("iss", 1).String(), with: skip, want: token.ReasonClaimType},
	}
	for name, iss := range map[string]string{
		"iss-wrong": "https://evil.example", "iss-wrong/empty": "",
		"iss-near/slash": issuer + "/", "iss-near/case": "https://Issuer.example",
		"iss-near/port": issuer + ":443", "iss-near/http": strings.Replace(issuer, "https", "http", 1),
		"iss-wrong/long": strings.Repeat("x", 4096), "iss-near/space": issuer + " ", "iss-near/suffix": issuer + ".evil.example",
	} {
		rows = append(rows, row{name: name, token: base.claim("iss", iss).String(), want: token.ReasonIssuer})
	}
	return rows
}

// audienceRows are the faults of aud and sub, and of what a caller requires.
func audienceRows() []row {
	base := good(jwk.RS256)
	unset := func(v *token.Verifier) { v.Audience = nil }
	skip := func(v *token.Verifier) { v.Audience, v.InsecureSkipAudience = nil, true }
	rows := []row{
		{name: "aud-missing", token: base.claim("aud", nil).String(), want: token.ReasonClaimMissing},
		{name: "aud-unset", token: base.String(), want: token.ReasonAudienceUnset, with: unset},
		{name: "aud-unset/no aud", token: base.claim("aud", nil).String(), with: unset},
		{name: "insecure-skip-aud", token: base.claim("aud", "other").String(), with: skip},
		{name: "insecure-skip-aud/type", token: base.claim("aud", 42).String(), with: skip, want: token.ReasonClaimType},
		{name: "sub-missing/number", token: base.claim("sub", 42).String(), want: token.ReasonClaimType},
		{name: "sub-missing", token: base.claim("sub", nil).String(), want: token.ReasonClaimMissing, with: func(v *token.Verifier) { v.Subject = "alice" }},
		{name: "sub-wrong", token: base.String(), want: token.ReasonSubject, with: func(v *token.Verifier) { v.Subject = "Alice" }},
		{name: "jti-type", token: base.claim("jti", 1).String(), want: token.ReasonClaimType},
	}
	for name, aud := range map[string]any{
		"aud-wrong": "https://other.example", "aud-array-other": []string{"https://a.example", "https://b.example"},
		"aud-near/prefix": audience[:len(audience)-1], "aud-near/suffix": audience + "/", "aud-near/case": "https://API.example",
		"aud-near/joined": audience + " x", "aud-wrong/empty": "",
	} {
		rows = append(rows, row{name: name, token: base.claim("aud", aud).String(), want: token.ReasonAudience})
	}
	for name, aud := range map[string]any{
		"aud-type/number": 42, "aud-type/object": map[string]any{audience: true}, "aud-type/empty array": []string{},
		"aud-type/mixed": []any{audience, map[string]any{}}, "aud-type/null": null, "aud-type/nested": []any{[]any{audience}},
	} {
		rows = append(rows, row{name: name, token: base.claim("aud", aud).String(), want: token.ReasonClaimType})
	}
	return append(rows, requirementRows()...)
}

func requirementRows() []row {
	base := good(jwk.RS256).claim("scope", "read write").claim("roles", []string{"dev", "ops"}).claim("level", 3).claim("on", true).claim("gone", null)
	require := func(claim, value string) func(*token.Verifier) {
		return func(v *token.Verifier) { v.Require = []token.Requirement{{Claim: claim, Value: &value}} }
	}
	scopes := func(scopes ...string) func(*token.Verifier) { return func(v *token.Verifier) { v.Scopes = scopes } }
	whole := base.String()
	return []row{
		{name: "require/there", token: whole, with: func(v *token.Verifier) { v.Require = []token.Requirement{{Claim: "roles"}} }},
		{name: "require/missing", token: whole, want: token.ReasonClaimMissing, with: func(v *token.Verifier) { v.Require = []token.Requirement{{Claim: "role"}} }},
		{name: "require/null", token: whole, want: token.ReasonClaimValue, with: func(v *token.Verifier) { v.Require = []token.Requirement{{Claim: "gone"}} }},
		{name: "require/string", token: whole, with: require("sub", "alice")},
		{name: "require/other string", token: whole, with: require("sub", "alic"), want: token.ReasonClaimValue},
		{name: "require/number", token: whole, with: require("level", "3")},
		{name: "require/other number", token: whole, with: require("level", "4"), want: token.ReasonClaimValue},
		{name: "require/boolean", token: whole, with: require("on", "true")},
		{name: "require/other boolean", token: whole, with: require("on", "false"), want: token.ReasonClaimValue},
		{name: "require/missing, told once", token: base.claim("sub", nil).String(), want: token.ReasonClaimMissing, with: func(v *token.Verifier) {
			v.Subject, v.Require = "alice", []token.Requirement{{Claim: "sub"}}
		}},
		{name: "require/element", token: whole, with: require("roles", "ops")},
		{name: "require/no element", token: whole, with: require("roles", "root"), want: token.ReasonClaimValue},
		{name: "require/nested element", token: base.claim("roles", []any{[]string{"ops"}}).String(), with: require("roles", "ops"), want: token.ReasonClaimValue},
		{name: "require/missing value", token: whole, with: require("role", "ops"), want: token.ReasonClaimMissing},
		{name: "scope/all", token: whole, with: scopes("write", "read")},
		{name: "scope/lacks", token: whole, with: scopes("read", "admin"), want: token.ReasonScope},
		{name: "scope/part of a word", token: whole, with: scopes("rea"), want: token.ReasonScope},
		{name: "scope/missing", token: base.claim("scope", nil).String(), with: scopes("read"), want: token.ReasonClaimMissing},
		{name: "scope/array", token: base.claim("scope", []string{"read"}).String(), with: scopes("read"), want: token.ReasonClaimType},
	}
}

// kindRows are the faults of typ and cty, and the profile of access tokens.
func kindRows() []row {
	base := good(jwk.RS256)
	access := base.head("typ", "at+jwt").claim("client_id", "app")
	profile := func(v *token.Verifier) { v.Profile = token.ProfileAccessToken }
	types := func(types ...string) func(*token.Verifier) { return func(v *token.Verifier) { v.Types = types } }
	nested := base.head("cty", "JWT")
	nested.rawClaims = good(jwk.RS256).head("alg", "none").input() + "."
	rows := []row{
		{name: "typ-missing", token: access.head("typ", nil).String(), with: profile, want: token.ReasonTyp},
		{name: "typ-id-token", token: access.head("typ", "JWT").claim("nonce", "n").String(), with: profile, want: token.ReasonTyp},
		{name: "typ-logout", token: base.head("typ", "logout+jwt").claim("events", map[string]any{}).String(), want: token.ReasonTyp},
		{name: "typ-type", token: base.head("typ", 1).String(), want: token.ReasonHeader},
		{name: "typ-empty", token: base.head("typ", "").String(), want: token.ReasonTyp},
		{name: "typ-own/missing", token: base.head("typ", nil).String(), with: types("x+jwt"), want: token.ReasonTyp},
		{name: "typ-own/other", token: base.String(), with: types("x+jwt", "y+jwt"), want: token.ReasonTyp},
		{name: "typ-own", token: base.head("typ", "Application/Y+JWT").String(), with: types("x+jwt", "y+jwt")},
		{name: "typ-own/any subtype", token: base.head("typ", "application/x/y+jwt").String(), with: types("x/y+jwt"), want: token.ReasonTyp},
		{name: "cty-nested", token: nested.String(), want: token.ReasonPayload},
		{name: "cty-nested/claims", token: base.head("cty", "jwt").String(), want: token.ReasonCty},
		{name: "cty-nested/long", token: base.head("cty", "application/JWT").String(), want: token.ReasonCty},
		{name: "ok-cty-other", token: base.head("cty", "json").String()},
		{name: "client-id-type", token: access.claim("client_id", 1).String(), with: profile, want: token.ReasonClaimType},
		{name: "cty-type", token: base.head("cty", 1).String(), want: token.ReasonHeader},
		{name: "profile-missing/allowed exp", token: access.claim("exp", nil).String(), want: token.ReasonClaimMissing, with: func(v *token.Verifier) {
			v.Profile, v.InsecureAllowNoExpiry = token.ProfileAccessToken, true
		}},
		{name: "profile-missing/skipped iss", token: access.claim("iss", nil).String(), want: token.ReasonClaimMissing, with: func(v *token.Verifier) {
			v.Profile, v.Issuer, v.InsecureSkipIssuer = token.ProfileAccessToken, "", true
		}},
		{name: "typ-missing/skipped aud", token: access.claim("aud", nil).String(), want: token.ReasonClaimMissing, with: func(v *token.Verifier) {
			v.Profile, v.Audience, v.InsecureSkipAudience = token.ProfileAccessToken, nil, true
		}},
	}
	for _, name := range []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} {
		rows = append(rows, row{name: "profile-missing/" + name, token: access.claim(name, nil).String(), with: profile, want: token.ReasonClaimMissing})
	}
	for _, typ := range []string{"secevent+jwt", "dpop+jwt", "at+jwt", "application/logout+jwt", "JWS"} {
		rows = append(rows, row{name: "typ-other/" + typ, token: base.head("typ", typ).String(), want: token.ReasonTyp})
	}
	for _, typ := range []string{"at+jwt", "application/at+jwt", "at+JWT"} {
		rows = append(rows, row{name: "ok-typ-forms/" + typ, token: access.head("typ", typ).String(), with: profile})
	}
	for _, typ := range []string{"jwt", "JWT", "application/jwt"} {
		rows = append(rows, row{name: "ok-typ-forms/" + typ, token: base.head("typ", typ).String()})
	}
	return rows
}

// acceptRows are what a verifier must not refuse.
func acceptRows() []row {
	base := good(jwk.RS256)
	spaces, unicode, longKid := base, base, strings.Repeat("k", 128)
	spaces.rawHeader = strings.ReplaceAll(strings.ReplaceAll(toJSON(base.header), ",", " ,\r\n\t"), ":", " : ") + "\n"
	spaces.rawClaims = " " + strings.ReplaceAll(toJSON(base.claims), `","`, "\" ,\n \"")
	unicode.rawClaims = strings.TrimSuffix(toJSON(base.claims), "}") +
		`,"n\u0061me":"Zo\u00eb \ud83d\ude00 日本 \"\\\/\b\f\n\r\t","empty":{},"none":[ ],"z":[1,-0.5e+3,true,false,null]}`
	rows := []row{
		{name: "ok-plain", token: base.String()},
		{name: "ok-each-alg/Ed25519", token: good(jwk.EdDSA).head("alg", "Ed25519").String()},
		{name: "ok-aud-array", token: base.claim("aud", []string{"https://a.example", audience}).String()},
		{name: "ok-aud-string", token: base.claim("aud", audience).String()},
		{name: "ok-exp-fraction", token: base.claim("exp", json.RawMessage("1800000000.75")).String()},
		{name: "ok-exp-fraction/exponent", token: base.claim("exp", json.RawMessage("1.8000009e9")).String()},
		{name: "ok-nbf-past", token: base.claim("nbf", 1).String()},
		{name: "ok-nbf-past/now", token: base.claim("nbf", at(0)).String()},
		{name: "ok-nbf-past/zero", token: base.claim("nbf", 0).String()},
		{name: "ok-unknown-header", token: base.head("x", []any{1, "a"}).head("CRIT", 1).String()},
		{name: "ok-unknown-claim", token: base.claim("x", map[string]any{"exp": "a", "EXP": 1}).String()},
		{name: "ok-json-whitespace", token: spaces.String()},
		{name: "ok-unicode", token: unicode.String()},
		{name: "ok-kid-missing", token: base.head("kid", nil).String(), keys: onlyKey(jwk.RS256)},
		{name: "ok-skew/iat", token: base.claim("iat", at(2*time.Second)).String(), with: leeway(2 * time.Second)},
		{name: "ok-skew/nbf", token: base.claim("nbf", at(2*time.Second)).String(), with: leeway(2 * time.Second)},
		{name: "ok-long-kid", token: base.head("kid", longKid).String(), keys: func(tb testing.TB) []jwk.PublicKey {
			tb.Helper()
			return []jwk.PublicKey{foreign(tb, keys()[jwk.RS256], map[string]any{"kid": longKid})}
		}},
		{name: "ok-4k", token: base.claim("x", strings.Repeat("x", 4<<10)).String()},
		{name: "ok-typ-absent", token: base.head("typ", nil).String()},
		{name: "ok-alg-allowed", token: base.String(), with: func(v *token.Verifier) { v.Algorithms = []jwk.Algorithm{jwk.RS256} }},
	}
	for _, alg := range jwk.Algorithms() {
		rows = append(rows, row{name: "ok-each-alg/" + string(alg), token: good(alg).String()})
	}
	return rows
}
