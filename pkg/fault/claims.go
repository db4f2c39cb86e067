package fault

import (
	"net/url"
	"strings"
	"unicode"

	"github.com/jwksctl/jwksctl/pkg/token"
)

// other is neither the expected issuer nor the expected audience.
const other = "https://other.example"

// issuerRows are the faults of iss.
func issuerRows() []row {
	return []row{
		{
			name: "iss-wrong", verdict: MustReject, tier: Core, severity: Critical,
			rules: "RFC 8725 §3.8, RFC 9068 §4", cves: "CVE-2024-5037",
			variants: single("iss is another URL; the trusted key signed", claim("iss", other)),
		},
		{
			name: "iss-missing", verdict: MustReject, tier: Core, severity: Critical,
			rules: "RFC 8725 §3.8, RFC 9068 §4", cves: "CVE-2024-5037",
			variants: single("there is no iss", noClaim("iss")),
		},
		{
			name: "iss-near", verdict: MustReject, tier: Core, severity: High, rules: "RFC 9068 §4",
			variants: []variant{
				{"slash", "a slash is added at the end of iss, or removed", nearIssuer(otherSlash)},
				{"case", "one letter of iss is in the other case", nearIssuer(otherCase)},
				{"port", "a port is added to iss, or removed", nearIssuer(otherPort)},
				{"scheme", "iss has http instead of https, or https instead of http", nearIssuer(otherScheme)},
			},
		},
		{
			name: "iss-array", verdict: MustReject, tier: Core, severity: High, rules: "RFC 7519 §4.1.1", cves: "CVE-2025-30144",
			variants: single("iss is an array of another URL and the expected one", func(d *draft) {
				d.claims["iss"] = []any{other, d.claims["iss"]}
			}),
		},
	}
}

// nearIssuer changes iss with f, which returns "" if it cannot.
func nearIssuer(f func(iss string) string) change {
	return func(d *draft) {
		near := f(d.in.Request.Issuer)
		if near == "" {
			d.require("an issuer that is an http or https URL")
		}
		d.claims["iss"] = near
	}
}

func otherSlash(s string) string {
	if short, ok := strings.CutSuffix(s, "/"); ok {
		return short
	}
	return s + "/"
}

// otherCase changes the case of the first ASCII letter; "" if there is none.
func otherCase(s string) string {
	i := strings.IndexFunc(s, func(c rune) bool { return c < unicode.MaxASCII && unicode.IsLetter(c) })
	if i < 0 {
		return ""
	}
	return s[:i] + string(s[i]^('a'-'A')) + s[i+1:]
}

func otherPort(s string) string {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "":
		return ""
	case u.Port() != "":
		u.Host = strings.TrimSuffix(u.Host, ":"+u.Port())
	case u.Scheme == "http":
		u.Host += ":80"
	default:
		u.Host += ":443"
	}
	return u.String()
}

func otherScheme(s string) string {
	if rest, ok := strings.CutPrefix(s, "https:"); ok {
		return "http:" + rest
	}
	if rest, ok := strings.CutPrefix(s, "http:"); ok {
		return "https:" + rest
	}
	return ""
}

// audienceRows are the faults of aud and sub.
func audienceRows() []row {
	const audienceCVEs = "CVE-2024-5798, CVE-2026-30223, CVE-2026-55669"
	return []row{
		{
			name: "aud-wrong", verdict: MustReject, tier: Core, severity: Critical, rules: "RFC 7519 §4.1.3, RFC 8725 §3.9", cves: audienceCVEs,
			variants: single("aud is another API", aud(func(string) any { return other })),
		},
		{
			name: "aud-missing", verdict: MustReject, tier: Core, severity: Critical, rules: "RFC 7519 §4.1.3, RFC 8725 §3.9", cves: audienceCVEs,
			variants: single("there is no aud", aud(func(string) any { return nil }), noClaim("aud")),
		},
		{
			name: "aud-array-other", verdict: MustReject, tier: Core, severity: Critical, rules: "RFC 7519 §4.1.3", cves: "CVE-2020-26160",
			variants: single("aud is an array of two other APIs", aud(func(string) any { return []string{other, "https://another.example"} })),
		},
		{
			name: "aud-near", verdict: MustReject, tier: Core, severity: High, rules: "RFC 7519 §4.1.3",
			variants: []variant{
				{"prefix", "the last character of aud is missing", aud(func(expected string) any { return expected[:len(expected)-1] })},
				{"suffix", "a character is added at the end of aud", aud(func(expected string) any { return expected + "x" })},
				{"case", "one letter of aud is in the other case", func(d *draft) {
					aud(func(expected string) any { return otherCase(expected) })(d)
					if d.claims["aud"] == "" {
						d.require("an audience that contains a letter")
					}
				}},
			},
		},
		{
			name: "aud-type", verdict: Reject, tier: ProfileOnly, severity: Medium, rules: "RFC 7519 §4.1.3",
			variants: []variant{
				{"number", "aud is a number", aud(func(string) any { return 42 })},
				{"object", "aud is an object whose member is the expected audience", aud(func(expected string) any { return map[string]any{expected: true} })},
				{"empty", "aud is an empty array", aud(func(string) any { return []string{} })},
				{"mixed", "aud is an array of the expected audience and an object", aud(func(expected string) any { return []any{expected, map[string]any{}} })},
			},
		},
		{
			name: "sub-missing", verdict: Reject, tier: ProfileOnly, severity: Medium, rules: "RFC 9068 §2.2",
			profile: token.ProfileAccessToken,
			variants: []variant{
				{"absent", "there is no sub", noClaim("sub")},
				{"number", "sub is a number", claim("sub", 42)},
			},
		},
	}
}

// aud sets aud to f of the expected audience.
func aud(f func(expected string) any) change {
	return func(d *draft) {
		if len(d.in.Request.Audience) == 0 {
			d.require("an audience")
			return
		}
		d.claims["aud"] = f(d.in.Request.Audience[0])
	}
}

// typeRows are tokens of another type.
func typeRows() []row {
	logout := map[string]any{"http://schemas.openid.net/event/backchannel-logout": struct{}{}}
	revoked := map[string]any{"https://schemas.openid.net/secevent/caep/event-type/session-revoked": struct{}{}}
	return []row{
		{
			name: "typ-missing", verdict: Reject, tier: ProfileOnly, severity: Medium, rules: "RFC 9068 §4",
			profile:  token.ProfileAccessToken,
			variants: single("an access token without typ", noHeader("typ")),
		},
		{
			name: "typ-id-token", verdict: Reject, tier: ProfileOnly, severity: High,
			rules: "RFC 9068 §4, RFC 8725 §3.11, RFC 8725 §3.12, ASVS 5.0 §9.2.2", cves: "CVE-2026-41164",
			profile:  token.ProfileAccessToken,
			variants: single("an ID token: typ is JWT, and there is a nonce", header("typ", "JWT"), claim("nonce", "n-0S6_WzA2Mj")),
		},
		{
			name: "typ-logout", verdict: Reject, tier: Core, severity: High, rules: "rfc8725bis §3.11",
			variants: single("a logout token: typ is logout+jwt, and there is an events claim", header("typ", "logout+jwt"), claim("events", logout)),
		},
		{
			name: "typ-other", verdict: Reject, tier: Core, severity: High, rules: "rfc8725bis §3.11",
			variants: []variant{
				{"secevent", "a security event: typ is secevent+jwt, and there is an events claim", all(header("typ", "secevent+jwt"), claim("events", revoked))},
				{"dpop", "a proof of possession: typ is dpop+jwt", header("typ", "dpop+jwt")},
			},
		},
		{
			name: "cty-nested", verdict: MustReject, tier: ProfileOnly, severity: High, rules: "RFC 7519 §7.2, RFC 8725 §3.3",
			variants: []variant{
				{"unsigned", "cty is JWT, and the payload is an unsigned token", func(d *draft) {
					d.claimsText = d.unsignedToken()
					d.header["cty"] = "JWT"
				}},
				{"claims", "cty is JWT, but the payload is claims", header("cty", "JWT")},
			},
		},
	}
}

// unsignedToken returns the claims as an unsigned token.
func (d *draft) unsignedToken() string {
	return join(encode([]byte(`{"alg":"none"}`)), encode([]byte(d.json(d.claims))), "")
}

// resourceRows take much time or memory if they are not refused early.
func resourceRows() []row {
	deep := func(levels int) change {
		return addClaim(`"x":%s%s`, strings.Repeat("[", levels), strings.Repeat("]", levels))
	}
	const cves = "CVE-2025-61920, CVE-2025-30204, CVE-2025-27144"
	return []row{
		{
			name: "res-size", verdict: Reject, tier: OptIn, severity: Medium, rules: "rfc8725bis §3.15", cves: cves,
			variants: []variant{
				{"64k", "a header member has 64 KiB", header("x", strings.Repeat("x", 64<<10))},
				{"256k", "a header member has 256 KiB", header("x", strings.Repeat("x", 256<<10))},
			},
		},
		{
			name: "res-dots", verdict: Reject, tier: OptIn, severity: Medium, rules: "RFC 7515 §7.1", cves: cves,
			variants: single("the token is ten thousand dots", reassemble(func(_, _, _ string) string { return strings.Repeat(".", 10_000) })),
		},
		{
			name: "res-depth", verdict: Reject, tier: OptIn, severity: Medium, rules: "RFC 8259 §9", cves: cves,
			variants: []variant{
				{"200", "the claims nest 200 levels deep", deep(200)},
				{"12000", "the claims nest 12000 levels deep", deep(12_000)},
			},
		},
	}
}
