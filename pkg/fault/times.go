package fault

import (
	"time"

	"github.com/jwksctl/jwksctl/pkg/token"
)

// timeRows are the faults of exp, nbf and iat.
func timeRows() []row {
	return append(expiryRows(), []row{
		{
			name: "nbf-future", verdict: MustReject, tier: Core, severity: High, rules: "RFC 7519 §4.1.5",
			variants: single("nbf is in one hour", claimAt("nbf", time.Hour)),
		},
		{
			name: "iat-future", verdict: Reject, tier: ProfileOnly, severity: Medium,
			rules: "policy", cves: "GHSA-wxg7-w2v3-w38g",
			variants: []variant{
				{"hour", "iat is in one hour", claimAt("iat", time.Hour)},
				{"after-exp", "iat is one second later than exp", func(d *draft) {
					claimAt("iat", d.in.Request.TTL+time.Second)(d)
				}},
			},
		},
	}...)
}

// expiryRows are the faults of exp.
func expiryRows() []row {
	ended := func(name string, ago time.Duration) variant {
		return variant{name, "exp is " + ago.String() + " ago", expiredFor(ago)}
	}
	exp := func(name, value string) variant {
		return variant{name, "exp is " + value, claim("exp", rawJSON(value))}
	}
	return []row{
		{
			name: "exp-past", verdict: MustReject, tier: Core, severity: Critical, rules: "RFC 7519 §4.1.4, ASVS 5.0 §9.2.1",
			variants: single("exp is one hour ago", expiredFor(time.Hour)),
		},
		{
			name: "exp-leeway", verdict: Either, tier: Core, severity: Medium, rules: "RFC 7519 §4.1.4",
			variants: []variant{
				ended("1s", time.Second), ended("30s", 30*time.Second), ended("60s", time.Minute), ended("300s", 5*time.Minute),
			},
		},
		{
			name: "exp-leeway-beyond", verdict: Reject, tier: Core, severity: Medium, rules: "RFC 7519 §4.1.4",
			variants: single("exp is ten minutes ago, which is more than any leeway (RFC 7519: a few minutes)", expiredFor(token.MaxLeeway+5*time.Minute)),
		},
		{
			name: "exp-missing", verdict: Reject, tier: ProfileOnly, severity: High,
			rules: "RFC 9068 §2.2, OIDC Core §2", cves: "GHSA-wxg7-w2v3-w38g",
			variants: single("there is no exp", noClaim("exp")),
		},
		{
			name: "exp-zero", verdict: MustReject, tier: Core, severity: High, rules: "RFC 7519 §4.1.4",
			variants: []variant{exp("zero", "0"), exp("minus-one", "-1")},
		},
		{
			name: "exp-string", verdict: Reject, tier: Core, severity: Medium, rules: "RFC 7519 §2",
			variants: single("exp is a string of the valid number", func(d *draft) { d.claims["exp"] = rawJSON(`"` + d.json(d.claims["exp"]) + `"`) }),
		},
		{
			name: "exp-type", verdict: Reject, tier: Core, severity: Medium, rules: "RFC 7519 §2",
			variants: []variant{exp("true", "true"), exp("null", "null"), exp("array", "[]"), exp("object", "{}")},
		},
		{
			name: "exp-huge", verdict: Either, tier: ProfileOnly, severity: Low, rules: "RFC 7519 §2",
			variants: []variant{
				exp("1e18", "1e18"), exp("1e300", "1e300"), exp("1e400", "1e400"), exp("2-63", "9223372036854775808"),
				{"milliseconds", "exp counts milliseconds", func(d *draft) {
					d.claims["exp"] = d.in.Now.Add(d.in.Request.TTL).UnixMilli()
				}},
			},
		},
	}
}
