package fault

import (
	"encoding/base64"
	"fmt"
	"maps"
	"strings"
	"time"
)

// serializationRows are the faults of serialization and base64url.
func serializationRows() []row {
	rows := []row{
		{
			name: "enc-segments", verdict: MustReject, tier: Core, severity: Medium, rules: "RFC 7515 §7.1",
			variants: []variant{
				{"one", "the token is the header alone", reassemble(func(h, _, _ string) string { return h })},
				{"two", "the signature and its dot are missing", reassemble(func(h, p, _ string) string { return h + "." + p })},
				{"four", "the signature is repeated as a fourth part", reassemble(func(h, p, s string) string { return join(h, p, s) + "." + s })},
				{"trailing-dot", "a dot follows the signature", reassemble(func(h, p, s string) string { return join(h, p, s) + "." })},
			},
		},
		{
			name: "enc-json-jws", verdict: MustReject, tier: Core, severity: High,
			rules: "RFC 7519 §1, rfc8725bis §3.14", cves: "GHSA-jc38-x7x8-2xc8",
			variants: []variant{
				{"flattened", "a validly signed JWS in flattened JSON form", reassemble(func(h, p, s string) string {
					return fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, p, h, s)
				})},
				{"general", "a validly signed JWS in general JSON form", reassemble(func(h, p, s string) string {
					return fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, p, h, s)
				})},
				{"unprotected-alg", "a JWS in flattened JSON form, with alg in the unsigned header", func(d *draft) {
					alg := d.header["alg"]
					delete(d.header, "alg")
					d.join = func(h, p, s string) string {
						return fmt.Sprintf(`{"header":{"alg":%q},"payload":%q,"protected":%q,"signature":%q}`, alg, p, h, s)
					}
				}},
			},
		},
		{
			name: "enc-polyglot", verdict: MustReject, tier: Core, severity: Critical,
			rules: "rfc8725bis §2.13", cves: "CVE-2022-39227",
			variants: single("a validly signed JWS in JSON form that also splits into three parts at its dots, with other claims between them", func(d *draft) {
				forged := maps.Clone(d.claims)
				forged["sub"] = "mallory"
				between := d.encode([]byte(d.json(forged)))
				d.join = func(h, p, s string) string {
					return fmt.Sprintf(`{"%s.%s.":"","payload":%q,"protected":%q,"signature":%q}`, h, between, p, h, s)
				}
			}),
		},
	}
	return append(rows, alphabetRows()...)
}

// alphabetRows are non-canonical encodings.
func alphabetRows() []row {
	return []row{
		{
			name: "enc-padding", verdict: MustReject, tier: Core, severity: Low, rules: "RFC 7515 §2",
			variants: single("the parts are padded with =, before they are signed", payload(needsPadding), func(d *draft) {
				d.encode = base64.URLEncoding.EncodeToString
			}),
		},
		{
			name: "enc-std-alphabet", verdict: MustReject, tier: Core, severity: Low, rules: "RFC 7515 §2",
			// ??? is Pz8/ in base64 if it starts a group of three bytes, and ????? contains such a ???.
			variants: single("the parts use the alphabet with + and /, before they are signed", claim("x", "?????"), func(d *draft) {
				d.encode = base64.RawStdEncoding.EncodeToString
			}),
		},
		{
			name: "enc-linebreak", verdict: MustReject, tier: ProfileOnly, severity: Low,
			rules: "RFC 7515 §2, rfc8725bis §3.14", cves: "CVE-2026-102269",
			variants: []variant{
				{"lf", "there is a line feed in the signature", insertIntoSignature("\n")},
				{"cr", "there is a carriage return in the signature", insertIntoSignature("\r")},
			},
		},
		{
			name: "enc-trailing-bits", verdict: Reject, tier: ProfileOnly, severity: Low, rules: "RFC 4648 §3.5",
			variants: single("an unused bit of the last character is set", func(d *draft) {
				d.join = func(h, p, s string) string {
					if len(s)%4 == 0 {
						d.require("a key whose signatures leave bits unused (not ES384, ES512 or RSA of 3072 bits)")
						return ""
					}
					const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
					last := len(s) - 1
					return join(h, p, s[:last]+string(alphabet[strings.IndexByte(alphabet, s[last])|1]))
				}
			}),
		},
	}
}

// needsPadding gives the claims a length that base64 has to pad.
func needsPadding(claims string) string {
	if len(claims)%3 == 0 {
		claims += " "
	}
	return claims
}

// insertIntoSignature inserts text in the middle of the encoded signature.
func insertIntoSignature(text string) change {
	return reassemble(func(h, p, s string) string { return join(h, p, s[:len(s)/2]+text+s[len(s)/2:]) })
}

// jsonRows are the faults of the JSON of the claims.
func jsonRows() []row {
	rows := []row{
		{
			name: "enc-bad-utf8", verdict: MustReject, tier: ProfileOnly, severity: Medium, rules: "RFC 7519 §7.2, RFC 8725 §3.7",
			variants: []variant{
				{"byte", "a string in the claims is not valid UTF-8", addClaim(`"x":"%s"`, "\xff")},
				{"bom", "the claims begin with a byte order mark", payload(func(claims string) string { return "\ufeff" + claims })},
			},
		},
		{
			name: "payload-not-object", verdict: MustReject, tier: Core, severity: High,
			rules: "RFC 7519 §7.2", cves: "CVE-2026-107723",
			variants: []variant{
				{"null", "the payload is null", payload(func(string) string { return "null" })},
				{"array", "the claims are the element of an array", payload(func(claims string) string { return "[" + claims + "]" })},
				{"string", "the payload is a string", payload(func(string) string { return `"claims"` })},
				{"empty", "the payload is empty", func(d *draft) {
					sign := d.sign
					d.sign = func(input string) ([]byte, error) {
						h, _, _ := strings.Cut(input, ".")
						return sign(h + ".")
					}
					d.join = func(h, _, s string) string { return join(h, "", s) }
				}},
			},
		},
		{
			name: "payload-trailing", verdict: MustReject, tier: ProfileOnly, severity: Medium, rules: "RFC 7519 §7.2",
			variants: single("a second JSON value follows the claims", payload(func(claims string) string { return claims + "{}" })),
		},
	}
	return append(rows, nameRows()...)
}

// nameRows are the faults of claim names. iat is earlier than the past exp, so that only
// the name is at fault.
func nameRows() []row {
	const past = time.Hour
	then := claimAt("iat", -2*past)
	return []row{
		{
			name: "claims-duplicate", verdict: MustReject, tier: Core, severity: High, rules: "RFC 7519 §4",
			variants: single("exp occurs twice: first in the future, then in the past", then, func(d *draft) {
				addClaim(`"exp":%d`, d.in.Now.Add(-past).Unix())(d)
			}),
		},
		{
			name: "claims-duplicate-rev", verdict: Either, tier: ProfileOnly, severity: Info, rules: "RFC 7519 §4",
			variants: single("exp occurs twice: first in the past, then in the future", then, func(d *draft) {
				payload(func(claims string) string { return fmt.Sprintf(`{"exp":%d,%s`, d.in.Now.Add(-past).Unix(), claims[1:]) })(d)
			}),
		},
		{
			name: "claims-case", verdict: MustReject, tier: Core, severity: High, rules: "RFC 7519 §4, RFC 7519 §7.3",
			variants: single("exp is in the past, EXP in the future", then, func(d *draft) {
				d.claims["EXP"], d.claims["exp"] = d.claims["exp"], d.in.Now.Add(-past).Unix()
			}),
		},
		{
			name: "claims-escaped", verdict: MustReject, tier: Core, severity: High, rules: "RFC 7519 §7.3",
			variants: single(`exp is in the past, and its name is written \u0065xp`, then, noClaim("exp"), func(d *draft) {
				addClaim(`"\u0065xp":%d`, d.in.Now.Add(-past).Unix())(d)
			}),
		},
	}
}
