package fault

import (
	"net/url"
	"strings"
	"unicode"

	"github.com/jwksctl/jwksctl/pkg/token"
)

// other names somebody else than the expected issuer or audience.
const other = "https://other.example"

// issuerRows are the faults of iss.
func issuerRows() []row {
	return []row{
		{
			name: "iss-wrong", verdict: MustReject, tier: Core, severity: Critical,
			rules: "RFC 8725 §3.8, RFC 9068 §4", cves: "CVE-2024-5037",
			variants: only("iss is another URL, though the trusted key signed", claim("iss", other)),
		},
		{
			name: "iss-missing", verdict: MustReject, tier: Core, severity: Critical,
			rules: "RFC 8725 §3.8, RFC 9068 §4", cves: "CVE-2024-5037",
			variants: only("there is no iss", noClaim("iss")),
		},
		{
			name: "iss-near", verdict: MustReject, tier: Core, severity: High, rules: "RFC 9068 §4",
			variants: []variant{
				{"slash", "iss has a slash at its end too many, or one too few", nearIssuer(otherSlash)},
				{"case", "one letter of iss is in the other case", nearIssuer(otherCase)},
				{"port", "iss states a port too many, or none where there is one", nearIssuer(otherPort)},
				{"scheme", "iss has http for https, or the other way round", nearIssuer(otherScheme)},
			},
		},
		{
			name: "iss-array", verdict: MustReject, tier: Core, severity: High, rules: "RFC 7519 §4.1.1", cves: "CVE-2025-30144",
			variants: only("iss is an array of another URL and the right one", func(d *draft) {
				d.claims["iss"] = []any{other, d.claims["iss"]}
			}),
		},
	}
}

// nearIssuer changes iss a little; f returns "" where it cannot.
func nearIssuer(f func(iss string) string) change {
	return func(d *draft) {
		near := f(d.in.Request.Issuer)
		if near == "" {
			d.need("an issuer that is an http or https URL")
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
	const crossed = "CVE-2024-5798, CVE-2026-30223, CVE-2026-55669"
	return []row{
		{
			name: "aud-wrong", verdict: MustReject, tier: Core, severity: Critical, rules: "RFC 7519 §4.1.3, RFC 8725 §3.9", cves: crossed,
			variants: only("aud is another API", aud(func(string) any { return other })),
		},
		{
			name: "aud-missing", verdict: MustReject, tier: Core, severity: Critical, rules: "RFC 7519 §4.1.3, RFC 8725 §3.9", cves: crossed,
			variants: only("there is no aud", aud(func(string) any { return nil }), noClaim("aud")),
		},
		{
			name: "aud-array-other", verdict: MustReject, tier: Core, severity: Critical, rules: "RFC 7519 §4.1.3", cves: "CVE-2020-26160",
			variants: only("aud is an array of two strangers", aud(func(string) any { return []string{other, "https://stranger.example"} })),
		},
		{
			name: "aud-near", verdict: MustReject, tier: Core, severity: High, rules: "RFC 7519 §4.1.3",
			variants: []variant{
				{"prefix", "aud lacks its last character", aud(func(me string) any { return me[:len(me)-1] })},
				{"suffix", "aud has a character too many at its end", aud(func(me string) any { return me + "x" })},
				{"case", "one letter of aud is in the other case", func(d *draft) {
					aud(func(me string) any { return otherCase(me) })(d)
					if d.claims["aud"] == "" {
						d.need("an audience with a letter in it")
					}
				}},
			},
		},
		{
			name: "aud-type", verdict: Reject, tier: ProfileOnly, severity: Medium, rules: "RFC 7519 §4.1.3",
			variants: []variant{
				{"number", "aud is a number", aud(func(string) any { return 42 })},
				{"object", "aud is an object with the right name in it", aud(func(me string) any { return map[string]any{me: true} })},
				{"empty", "aud is an empty array", aud(func(string) any { return []string{} })},
				{"mixed", "aud is an array of the right one and an object", aud(func(me string) any { return []any{me, map[string]any{}} })},
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

// aud sets aud to what f makes of the expected audience.
func aud(f func(me string) any) change {
	return func(d *draft) {
		if len(d.in.Request.Audience) == 0 {
			d.need("an audience")
			return
		}
		d.claims["aud"] = f(d.in.Request.Audience[0])
	}
}

// kindRows are tokens of another kind.
func kindRows() []row {
	logout := map[string]any{"http://schemas.openid.net/event/backchannel-logout": struct{}{}}
	revoked := map[string]any{"https://schemas.openid.net/secevent/caep/event-type/session-revoked": struct{}{}}
	return []row{
		{
			name: "typ-missing", verdict: Reject, tier: ProfileOnly, severity: Medium, rules: "RFC 9068 §4",
			profile:  token.ProfileAccessToken,
			variants: only("an access token without typ", noHeader("typ")),
		},
		{
			name: "typ-id-token", verdict: Reject, tier: ProfileOnly, severity: High,
			rules: "RFC 9068 §4, RFC 8725 §3.11, RFC 8725 §3.12, ASVS 5.0 §9.2.2", cves: "CVE-2026-41164",
			profile:  token.ProfileAccessToken,
			variants: only("an ID token: typ is JWT, and there is a nonce", header("typ", "JWT"), claim("nonce", "n-0S6_WzA2Mj")),
		},
		{
			name: "typ-logout", verdict: Reject, tier: Core, severity: High, rules: "rfc8725bis §3.11",
			variants: only("a logout token: typ is logout+jwt, and there are events", header("typ", "logout+jwt"), claim("events", logout)),
		},
		{
			name: "typ-other", verdict: Reject, tier: Core, severity: High, rules: "rfc8725bis §3.11",
			variants: []variant{
				{"secevent", "a security event: typ is secevent+jwt, and there are events", all(header("typ", "secevent+jwt"), claim("events", revoked))},
				{"dpop", "a proof of possession: typ is dpop+jwt", header("typ", "dpop+jwt")},
			},
		},
		{
			name: "cty-nested", verdict: MustReject, tier: ProfileOnly, severity: High, rules: "RFC 7519 §7.2, RFC 8725 §3.3",
			variants: []variant{
				{"unsigned", "cty is JWT, and the payload is an unsigned token", func(d *draft) {
					d.claimsText = d.plain()
					d.header["cty"] = "JWT"
				}},
				{"claims", "cty is JWT, though the payload is claims", header("cty", "JWT")},
			},
		},
	}
}

// plain returns the claims as an unsigned token.
func (d *draft) plain() string {
	return join(encode([]byte(`{"alg":"none"}`)), encode([]byte(d.json(d.claims))), "")
}

// resourceRows are tokens that cost more than a token may.
func resourceRows() []row {
	deep := func(levels int) change {
		return more(`"x":%s%s`, strings.Repeat("[", levels), strings.Repeat("]", levels))
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
			variants: only("it is ten thousand dots", form(func(_, _, _ string) string { return strings.Repeat(".", 10_000) })),
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
