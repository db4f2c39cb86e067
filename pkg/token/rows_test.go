package token_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

func rows() []row {
	return slices.Concat(
		encodingRows(), headerRows(), nameRows(), timeRows(), optionalTimeRows(), issuerRows(), audienceRows(),
		requirementRows(), typeRows(), profileRows(),
	)
}

func encodingRows() []row {
	whole := good(jwk.RS256).String()
	header, rest, _ := strings.Cut(whole, ".")
	limit := func(n int) func(*token.Verifier) { return func(v *token.Verifier) { v.MaxSize = n } }
	return []row{
		{name: "valid/Ed25519", token: good(jwk.EdDSA).head("alg", "Ed25519")},
		{name: "empty", token: text(""), want: refuse(token.ReasonNotCompact)},
		{name: "empty header", token: text("." + rest), want: refuse(token.ReasonNotCompact)},
		{name: "bearer", token: text("Bearer " + whole), want: refuse(token.ReasonEncoding)},
		{name: "two tokens", token: text(whole + "\n" + whole), want: refuse(token.ReasonNotCompact)},
		{name: "JSON after white space", token: text("\n {}"), want: refuse(token.ReasonJSONForm)},
		{name: "padding/header", token: text(header + "=." + rest), want: refuse(token.ReasonEncoding)},
		{name: "line break/header", token: text(header[:4] + "\n" + whole[4:]), want: refuse(token.ReasonEncoding)},
		{name: "line break/end", token: text(whole + "\r\n"), want: refuse(token.ReasonEncoding)},
		{name: "space/end", token: text(whole + " "), want: refuse(token.ReasonEncoding)},
		{name: "size/limit", token: text(whole), with: limit(len(whole))},
		{name: "size/over limit", token: text(whole), with: limit(len(whole) - 1), want: refuse(token.ReasonTooLarge)},
	}
}

func headerRows() []row {
	base := good(jwk.RS256)
	allow := func(alg jwk.Algorithm) func(*token.Verifier) {
		return func(v *token.Verifier) { v.Algorithms = []jwk.Algorithm{alg} }
	}
	return []row{
		{name: "alg/null", token: base.head("alg", null), want: refuse(token.ReasonAlgMissing)},
		{name: "alg/empty", token: base.head("alg", ""), want: refuse(token.ReasonAlgUnknown)},
		{name: "alg/lower case", token: base.head("alg", "rs256"), want: refuse(token.ReasonAlgUnknown)},
		{name: "alg/allowed", token: base, with: allow(jwk.RS256)},
		{name: "alg/not allowed", token: base, with: allow(jwk.ES256), want: refuse(token.ReasonAlgNotAllowed)},
		{name: "kid/control characters", token: base.head("kid", "a\n\x1b[2J"), want: refuse(token.ReasonKidUnknown)},
		{name: "kid/long", token: base.head("kid", strings.Repeat("k", 20_000)), want: refuse(token.ReasonKidUnknown)},
		{name: "crit/null", token: base.head("crit", null), want: refuse(token.ReasonCrit)},
		{name: "crit/upper case", token: base.head("CRIT", 1)},
		{name: "b64/without crit", token: base.head("b64", true), want: refuse(token.ReasonB64)},
		{name: "zip", token: base.head("zip", "DEF"), want: refuse(token.ReasonZip)},
		{name: "enc/three parts", token: base.head("enc", "A256GCM"), want: refuse(token.ReasonEncrypted)},
		{name: "typ/number", token: base.head("typ", 1), want: refuse(token.ReasonHeader)},
		{name: "cty/number", token: base.head("cty", 1), want: refuse(token.ReasonHeader)},
	}
}

// nameRows have claims that differ from a known one in case only.
func nameRows() []row {
	base := good(jwk.RS256)
	rows := []row{
		{
			name: "case/Exp alone", token: base.claim("exp", nil).claim("Exp", now().Unix()+60),
			want: refuse(token.ReasonClaimMissing, token.ReasonClaimCase),
		},
		{name: "case/nested", token: base.claim("x", map[string]any{"exp": "a", "EXP": 1})},
	}
	for _, name := range []string{"ISS", "Sub", "AUD", "NBF", "iAt", "JTI", "Scope", "SCP", "Client_ID", "i\u017fs"} {
		rows = append(rows, row{name: "case/" + name, token: base.claim(name, "x"), want: refuse(token.ReasonClaimCase)})
	}
	return rows
}

// at returns the NumericDate at this distance from now.
func at(d time.Duration) json.Number {
	t := now().Add(d)
	return json.Number(fmt.Sprintf("%d.%03d", t.Unix(), t.Nanosecond()/1e6))
}

func leeway(d time.Duration) func(*token.Verifier) {
	return func(v *token.Verifier) { v.Leeway = d }
}

func timeRows() []row {
	base, allow := good(jwk.RS256), leeway(30*time.Second)
	return []row{
		{name: "exp/now", token: base.claim("exp", at(0)), want: refuse(token.ReasonExpired)},
		{name: "exp/1ms ago", token: base.claim("exp", at(-time.Millisecond)), want: refuse(token.ReasonExpired)},
		{name: "exp/leeway", token: base.claim("exp", at(-29*time.Second)), with: allow},
		{name: "exp/leeway passed", token: base.claim("exp", at(-30*time.Second)), with: allow, want: refuse(token.ReasonExpired)},
		{name: "exp/fraction", token: base.claim("exp", json.RawMessage("1800000000.75"))},
		{name: "exp/exponent", token: base.claim("exp", json.RawMessage("1.8000009e9"))},
		{name: "exp/huge and negative", token: base.claim("exp", json.RawMessage("-1e300")), want: refuse(token.ReasonClaimType)},
		{name: "nbf/now", token: base.claim("nbf", at(0))},
		{name: "nbf/zero", token: base.claim("nbf", 0)},
		{name: "nbf/leeway", token: base.claim("nbf", at(30*time.Second)), with: allow},
		{name: "nbf/beyond leeway", token: base.claim("nbf", at(31*time.Second)), with: allow, want: refuse(token.ReasonNotYetValid)},
		{name: "nbf/null", token: base.claim("nbf", null), want: refuse(token.ReasonClaimType)},
		{name: "iat/leeway", token: base.claim("iat", at(30*time.Second)), with: allow},
		{name: "iat/beyond leeway", token: base.claim("iat", at(31*time.Second)), with: allow, want: refuse(token.ReasonIssuedInFuture)},
		{
			name: "iat/after exp", token: base.claim("iat", at(20*time.Second)).claim("exp", at(10*time.Second)), with: allow,
			want: refuse(token.ReasonIssuedAfterExp),
		},
		{name: "iat/string", token: base.claim("iat", "1"), want: refuse(token.ReasonClaimType)},
	}
}

// optionalTimeRows cover MinTTL, MaxAge and InsecureAllowNoExpiry.
func optionalTimeRows() []row {
	base := good(jwk.RS256)
	minTTL := func(d time.Duration) func(*token.Verifier) { return func(v *token.Verifier) { v.MinTTL = d } }
	maxAge := func(d time.Duration) func(*token.Verifier) { return func(v *token.Verifier) { v.MaxAge = d } }
	noExpiry := func(v *token.Verifier) { v.InsecureAllowNoExpiry = true }
	hour := base.claim("exp", at(time.Hour)).claim("iat", at(-time.Hour))
	return []row{
		{name: "min ttl/enough", token: hour, with: minTTL(time.Hour)},
		{name: "min ttl/short", token: hour, with: minTTL(time.Hour + time.Millisecond), want: refuse(token.ReasonTTLShort)},
		{name: "min ttl/leeway does not count", token: base.claim("exp", at(-time.Second)), want: refuse(token.ReasonTTLShort), with: func(v *token.Verifier) {
			v.Leeway, v.MinTTL = time.Minute, time.Millisecond
		}},
		{name: "min ttl/no exp", token: base.claim("exp", nil), want: refuse(token.ReasonClaimMissing), with: func(v *token.Verifier) {
			v.InsecureAllowNoExpiry, v.MinTTL = true, time.Second
		}},
		{name: "max age/young", token: hour, with: maxAge(time.Hour)},
		{name: "max age/old", token: hour, with: maxAge(time.Hour - time.Millisecond), want: refuse(token.ReasonTooOld)},
		{name: "max age/longest", token: hour, with: func(v *token.Verifier) { v.MaxAge, v.Leeway = math.MaxInt64, time.Second }},
		{name: "max age/leeway", token: hour, with: func(v *token.Verifier) { v.MaxAge, v.Leeway = time.Hour-time.Second, time.Second }},
		{name: "max age/no iat", token: base.claim("iat", nil), with: maxAge(time.Hour), want: refuse(token.ReasonClaimMissing)},
		{name: "no exp/allowed", token: base.claim("exp", nil), with: noExpiry},
		{name: "no exp/expired", token: base.claim("exp", at(-time.Hour)), with: noExpiry, want: refuse(token.ReasonExpired)},
		{name: "no exp/null", token: base.claim("exp", null), with: noExpiry, want: refuse(token.ReasonClaimType)},
	}
}

func issuerRows() []row {
	base := good(jwk.RS256)
	skip := func(v *token.Verifier) { v.Issuer, v.InsecureSkipIssuer = nil, true }
	return []row{
		{name: "iss/second of two", token: base, with: func(v *token.Verifier) { v.Issuer = []string{issuer + "/", issuer} }},
		{name: "iss/none of two", token: base, want: refuse(token.ReasonIssuer), with: func(v *token.Verifier) {
			v.Issuer = []string{issuer + "/", "https://other.example"}
		}},
		{name: "iss/empty", token: base.claim("iss", ""), want: refuse(token.ReasonIssuer)},
		{name: "iss/long", token: base.claim("iss", strings.Repeat("x", 4096)), want: refuse(token.ReasonIssuer)},
		{name: "iss/null", token: base.claim("iss", null), want: refuse(token.ReasonClaimType)},
		{name: "iss/skipped", token: base.claim("iss", "https://other.example"), with: skip},
		{name: "iss/skipped, missing", token: base.claim("iss", nil), with: skip},
		{name: "iss/skipped, number", token: base.claim("iss", 1), with: skip, want: refuse(token.ReasonClaimType)},
	}
}

func audienceRows() []row {
	base := good(jwk.RS256)
	unset := func(v *token.Verifier) { v.Audience = nil }
	skip := func(v *token.Verifier) { v.Audience, v.InsecureSkipAudience = nil, true }
	subject := func(s string) func(*token.Verifier) { return func(v *token.Verifier) { v.Subject = s } }
	return []row{
		{name: "aud/empty", token: base.claim("aud", ""), want: refuse(token.ReasonAudience)},
		{name: "aud/null", token: base.claim("aud", null), want: refuse(token.ReasonClaimType)},
		{name: "aud/unset", token: base, want: refuse(token.ReasonAudienceUnset), with: unset},
		{name: "aud/unset, missing", token: base.claim("aud", nil), with: unset},
		{name: "aud/skipped", token: base.claim("aud", "other"), with: skip},
		{name: "aud/skipped, number", token: base.claim("aud", 42), with: skip, want: refuse(token.ReasonClaimType)},
		{name: "sub/missing", token: base.claim("sub", nil), with: subject("alice"), want: refuse(token.ReasonClaimMissing)},
		{name: "sub/equal", token: base, with: subject("alice")},
		{name: "sub/other", token: base, with: subject("Alice"), want: refuse(token.ReasonSubject)},
		{name: "jti/number", token: base.claim("jti", 1), want: refuse(token.ReasonClaimType)},
	}
}

// requirementRows cover Require and Scopes.
func requirementRows() []row {
	base := good(jwk.RS256).claim("scope", "read write").claim("roles", []string{"dev", "ops"}).claim("level", 3).claim("on", true).claim("gone", null)
	nested := base.claim("realm_access", map[string]any{"roles": []string{"admin"}}).
		claim("a/b", map[string]any{"c~.d": "yes"}).claim("https://app.example/roles", []string{"admin"})
	present := func(claim string) func(*token.Verifier) {
		return func(v *token.Verifier) { v.Require = []token.Requirement{{Claim: claim}} }
	}
	value := func(claim, value string) func(*token.Verifier) {
		return func(v *token.Verifier) { v.Require = []token.Requirement{{Claim: claim, Value: &value}} }
	}
	scopes := func(scopes ...string) func(*token.Verifier) { return func(v *token.Verifier) { v.Scopes = scopes } }
	return []row{
		{name: "require/present", token: base, with: present("roles")},
		{name: "require/missing", token: base, with: present("role"), want: refuse(token.ReasonClaimMissing)},
		{name: "require/null", token: base, with: present("gone"), want: refuse(token.ReasonClaimValue)},
		{name: "require/string", token: base, with: value("sub", "alice")},
		{name: "require/other string", token: base, with: value("sub", "alic"), want: refuse(token.ReasonClaimValue)},
		{name: "require/number", token: base, with: value("level", "3")},
		{name: "require/other number", token: base, with: value("level", "4"), want: refuse(token.ReasonClaimValue)},
		{name: "require/boolean", token: base, with: value("on", "true")},
		{name: "require/other boolean", token: base, with: value("on", "false"), want: refuse(token.ReasonClaimValue)},
		{name: "require/missing, reported once", token: base.claim("sub", nil), want: refuse(token.ReasonClaimMissing), with: func(v *token.Verifier) {
			v.Subject, v.Require = "alice", []token.Requirement{{Claim: "sub"}}
		}},
		{name: "require/element", token: base, with: value("roles", "ops")},
		{name: "require/no element", token: base, with: value("roles", "root"), want: refuse(token.ReasonClaimValue)},
		{name: "require/nested element", token: base.claim("roles", []any{[]string{"ops"}}), with: value("roles", "ops"), want: refuse(token.ReasonClaimValue)},
		{name: "require/missing value", token: base, with: value("role", "ops"), want: refuse(token.ReasonClaimMissing)},
		{name: "scope/all", token: base, with: scopes("write", "read")},
		{name: "scope/one missing", token: base, with: scopes("read", "admin"), want: refuse(token.ReasonScope)},
		{name: "scope/part of a word", token: base, with: scopes("rea"), want: refuse(token.ReasonScope)},
		{name: "scope/missing", token: base.claim("scope", nil), with: scopes("read"), want: refuse(token.ReasonClaimMissing)},
		{name: "scope/array", token: base.claim("scope", []string{"read", "write"}), with: scopes("write")},
		{name: "scope/number", token: base.claim("scope", 1), with: scopes("read"), want: refuse(token.ReasonClaimType)},
		{name: "scp/text", token: base.claim("scope", nil).claim("scp", "read write"), with: scopes("write")},
		{name: "scp/array", token: base.claim("scope", nil).claim("scp", []string{"read", "write"}), with: scopes("write")},
		{name: "scp/one missing", token: base.claim("scope", nil).claim("scp", "read"), with: scopes("write"), want: refuse(token.ReasonScope)},
		{name: "scp/beside scope", token: base.claim("scp", "admin"), with: scopes("read", "admin")},
		{name: "scp/number", token: base.claim("scope", nil).claim("scp", 1), with: scopes("read"), want: refuse(token.ReasonClaimType)},
		{name: "scp/number, no scope required", token: base.claim("scp", 1)},
		{name: "require/path", token: nested, with: value("realm_access.roles", "admin")},
		{name: "require/path, another value", token: nested, with: value("realm_access.roles", "root"), want: refuse(token.ReasonClaimValue)},
		{name: "require/path, missing", token: nested, with: present("realm_access.groups"), want: refuse(token.ReasonClaimMissing)},
		{name: "require/path into a text", token: nested, with: present("sub.roles"), want: refuse(token.ReasonClaimMissing)},
		{name: "require/pointer", token: nested, with: value("/realm_access/roles", "admin")},
		{name: "require/pointer, and a claim of that name", token: nested.claim("/realm_access/roles", "root"), with: value("/realm_access/roles", "root"), want: refuse(token.ReasonClaimValue)},
		{name: "require/pointer to a name with slashes", token: nested.claim("/a/b", "yes"), with: value("/~1a~1b", "yes")},
		{name: "require/pointer with escapes", token: nested, with: value("/a~1b/c~0.d", "yes")},
		{name: "require/name with dots", token: nested, with: value("https://app.example/roles", "admin")},
		{name: "require/name before path", token: nested.claim("realm_access.roles", "other"), with: value("realm_access.roles", "admin"), want: refuse(token.ReasonClaimValue)},
	}
}

// typeRows cover typ and cty.
func typeRows() []row {
	base := good(jwk.RS256)
	types := func(types ...string) func(*token.Verifier) { return func(v *token.Verifier) { v.Types = types } }
	return []row{
		{name: "typ/missing", token: base.head("typ", nil)},
		{name: "typ/lower case", token: base.head("typ", "jwt")},
		{name: "typ/long", token: base.head("typ", "application/jwt")},
		{name: "typ/empty", token: base.head("typ", ""), want: refuse(token.ReasonTyp)},
		{name: "typ/access token", token: base.head("typ", "at+jwt"), want: refuse(token.ReasonTyp)},
		{name: "typ/expected", token: base.head("typ", "Application/Y+JWT"), with: types("x+jwt", "y+jwt")},
		{name: "typ/expected, missing", token: base.head("typ", nil), with: types("x+jwt"), want: refuse(token.ReasonTyp)},
		{name: "typ/expected, other", token: base, with: types("x+jwt", "y+jwt"), want: refuse(token.ReasonTyp)},
		{name: "typ/two slashes", token: base.head("typ", "application/x/y+jwt"), with: types("x/y+jwt"), want: refuse(token.ReasonTyp)},
		{name: "cty/long", token: base.head("cty", "application/JWT"), want: refuse(token.ReasonCty)},
		{name: "cty/other", token: base.head("cty", "json")},
	}
}

func profileRows() []row {
	access := good(jwk.RS256).head("typ", "at+jwt").claim("client_id", "app")
	profile := func(v *token.Verifier) { v.Profile = token.ProfileAccessToken }
	rows := []row{
		{name: "profile/valid", token: access, with: profile},
		{name: "profile/client_id type", token: access.claim("client_id", 1), with: profile, want: refuse(token.ReasonClaimType)},
		{name: "profile/allowed exp", token: access.claim("exp", nil), want: refuse(token.ReasonClaimMissing), with: func(v *token.Verifier) {
			v.Profile, v.InsecureAllowNoExpiry = token.ProfileAccessToken, true
		}},
		{name: "profile/skipped iss", token: access.claim("iss", nil), want: refuse(token.ReasonClaimMissing), with: func(v *token.Verifier) {
			v.Profile, v.Issuer, v.InsecureSkipIssuer = token.ProfileAccessToken, nil, true
		}},
		{name: "profile/skipped aud", token: access.claim("aud", nil), want: refuse(token.ReasonClaimMissing), with: func(v *token.Verifier) {
			v.Profile, v.Audience, v.InsecureSkipAudience = token.ProfileAccessToken, nil, true
		}},
	}
	for _, name := range []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} {
		rows = append(rows, row{name: "profile/no " + name, token: access.claim(name, nil), with: profile, want: refuse(token.ReasonClaimMissing)})
	}
	return rows
}
