package fault

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// keyStateRows are signed by keys in other states than active.
func keyStateRows() []row {
	signed := func(state string, key func(Input) jwk.PrivateKey) change {
		return func(d *draft) {
			if key := key(d.in); !key.IsZero() {
				d.signedBy(key)
				return
			}
			d.require("a key that is " + state + ", as in a gallery")
		}
	}
	return []row{
		{
			name: "key-expired", verdict: MustReject, tier: Core, severity: High, rules: "OIDC Core §10.1.1",
			variants: single("signed by a key that left the JWK Set on schedule",
				signed("expired", func(in Input) jwk.PrivateKey { return in.Expired })),
		},
		{
			name: "key-revoked", verdict: MustReject, tier: Core, severity: Critical, rules: "OIDC Core §10.1.1", cves: "CVE-2025-22149",
			variants: single("signed by a key that was revoked",
				signed("revoked", func(in Input) jwk.PrivateKey { return in.Revoked })),
		},
		{
			name: "ok-key-retired", verdict: MustAccept, tier: Core, rules: "OIDC Core §10.1.1",
			variants: single("signed by a retired key, which is still published",
				signed("retired", func(in Input) jwk.PrivateKey { return in.Retired })),
		},
	}
}

// acceptRows must be accepted.
func acceptRows() []row {
	return append([]row{
		{
			name: "ok-plain", verdict: MustAccept, tier: Core, rules: "RFC 7515 §5.2",
			variants: single("nothing: this is the good token"),
		},
		{name: "ok-each-alg", verdict: MustAccept, tier: Core, rules: "RFC 7515 §5.2, RFC 9864 §2.2", variants: algorithmVariants()},
		{
			name: "ok-aud-array", verdict: MustAccept, tier: Core, rules: "RFC 7519 §4.1.3",
			variants: single("aud is an array with another audience before the expected one", aud(func(expected string) any { return []string{other, expected} })),
		},
		{
			name: "ok-aud-string", verdict: MustAccept, tier: Core, rules: "RFC 7519 §4.1.3",
			variants: single("aud is a string", aud(func(expected string) any { return expected })),
		},
		{
			name: "ok-exp-fraction", verdict: MustAccept, tier: Core, rules: "RFC 7519 §2",
			variants: single("exp has a fraction", func(d *draft) { d.claims["exp"] = rawJSON(d.json(d.claims["exp"]) + ".75") }),
		},
		{
			name: "ok-nbf-past", verdict: MustAccept, tier: Core, rules: "RFC 7519 §4.1.5",
			variants: single("nbf is one hour ago", claimAt("nbf", -time.Hour)),
		},
		{
			name: "ok-unknown-header", verdict: MustAccept, tier: Core, rules: "RFC 7515 §4",
			variants: single("the header has an unknown member that crit does not list",
				header("urn:example:unknown", map[string]any{"a": []int{1}})),
		},
		{
			name: "ok-unknown-claim", verdict: MustAccept, tier: Core, rules: "RFC 7519 §4",
			variants: single("there is an unknown claim", claim("urn:example:unknown", map[string]any{"a": []int{1}})),
		},
	}, spellingRows()...)
}

func algorithmVariants() []variant {
	var variants []variant
	for _, alg := range jwk.Algorithms() {
		variants = append(variants, variant{strings.ToLower(alg.String()), "alg is " + alg.String(), signedByTrusted(alg)})
	}
	return append(variants, variant{
		"ed25519", "alg is Ed25519, the new name of EdDSA with that curve", all(signedByTrusted(jwk.EdDSA), header("alg", "Ed25519")),
	})
}

// spellingRows write the same JSON, or the same typ, in another way.
func spellingRows() []row {
	return []row{
		{
			name: "ok-json-whitespace", verdict: MustAccept, tier: Core, rules: "RFC 8259 §2",
			variants: single("the JSON has spaces, tabs and line breaks", func(d *draft) {
				header, claims := d.jsonTexts()
				d.headerText, d.claimsText = d.indented(header), d.indented(claims)
			}),
		},
		{
			name: "ok-unicode", verdict: MustAccept, tier: Core, rules: "RFC 8259 §7, RFC 8259 §8.1",
			variants: single("a claim has non-ASCII letters, some of them escaped",
				addClaim(`"n\u0061me":"%s"`, `Zoë Zo\u00eb 日本 \ud83d\ude00 \"\\\/\b\f\n\r\t`)),
		},
		{
			name: "ok-typ-forms", verdict: MustAccept, tier: ProfileOnly, rules: "RFC 9068 §4, RFC 7515 §4.1.9",
			profile: token.ProfileAccessToken,
			variants: []variant{
				{"short", "typ is at+jwt", header("typ", "at+jwt")},
				{"long", "typ is application/at+jwt", header("typ", "application/at+jwt")},
				{"upper", "typ is at+JWT", header("typ", "at+JWT")},
			},
		},
	}
}

// indented writes JSON on several lines, like RFC 7515 in appendix A.1.
func (d *draft) indented(compact string) string {
	var b bytes.Buffer
	d.fail(json.Indent(&b, []byte(compact), "", "\t"))
	return " " + strings.ReplaceAll(b.String(), "\n", "\r\n") + "\n"
}

// toleranceRows should be accepted, though no standard demands it.
func toleranceRows() []row {
	return []row{
		{
			name: "ok-kid-missing", verdict: Either, tier: Core, rules: "OIDC Core §10.1",
			variants: single("there is no kid: a verifier with one key should accept it, one with several may refuse", noHeader("kid")),
		},
		{
			name: "ok-skew", verdict: Accept, tier: Core, rules: "interoperability",
			variants: []variant{
				{"iat", "iat is in two seconds", claimAt("iat", 2*time.Second)},
				{"nbf", "nbf is in two seconds", claimAt("nbf", 2*time.Second)},
			},
		},
		{
			name: "ok-long-kid", verdict: Accept, tier: Core, rules: "interoperability",
			variants: single("kid has 128 characters", func(d *draft) {
				if d.in.Alias == "" {
					d.require("a key that is published with a kid of 128 characters, as in a gallery")
				}
				d.header["kid"] = d.in.Alias
			}),
		},
		{
			name: "ok-4k", verdict: Accept, tier: Core, rules: "interoperability",
			variants: single("a claim has 4 KiB", claim("urn:example:long", strings.Repeat("x", 4<<10))),
		},
	}
}
