package fault

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"time"
)

// keyMaterialRows are tokens that bring their own key, or say where it is.
func keyMaterialRows() []row {
	return []row{
		{
			name: "hdr-jwk", verdict: MustReject, tier: Core, severity: Critical,
			rules: "ASVS 5.0 §9.1.3",
			cves:  "CVE-2018-0114, CVE-2025-24976, CVE-2026-27962, CVE-2026-34240",
			variants: []variant{
				{"own-kid", "jwk holds an attacker's key, which signed; kid is that of the attacker's key", all(attacked, attached)},
				{"known-kid", "jwk holds an attacker's key, which signed; kid is that of the trusted key", all(attached, func(d *draft) { d.sign = by(d.attacker()) })},
			},
		},
		{
			name: "hdr-jku", verdict: MustReject, tier: Core, severity: Critical,
			rules: "rfc8725bis §3.10", cves: "CVE-2026-48522",
			variants: only("jku names the canary, an attacker's key signed; to call the canary is a fault, too", attacked, func(d *draft) {
				d.header["jku"] = d.canary()
			}),
		},
		{
			name: "hdr-x5u", verdict: MustReject, tier: Core, severity: Critical,
			rules: "RFC 7515 §4.1.5, rfc8725bis §3.10",
			variants: only("x5u names the canary, an attacker's key signed; to call the canary is a fault, too", attacked, func(d *draft) {
				d.header["x5u"] = d.canary()
			}),
		},
		{
			name: "hdr-x5c", verdict: MustReject, tier: Core, severity: Critical,
			rules:    "RFC 7515 §4.1.6, rfc8725bis §3.10",
			variants: only("x5c holds a self-signed certificate of an attacker's key, which signed", attacked, certified),
		},
	}
}

// attacked has an attacker's key sign, under its own kid.
func attacked(d *draft) { d.signedBy(d.attacker()) }

// attached puts the attacker's public key in the header.
func attached(d *draft) { d.header["jwk"] = d.attacker().Public() }

// certified puts a self-signed certificate of the attacker's key in the header.
func certified(d *draft) {
	key := d.raw(d.attacker())
	if d.err != nil {
		return
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "attacker.invalid"},
		NotBefore: d.in.Now.Add(-time.Hour), NotAfter: d.in.Now.Add(24 * time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	d.fail(err)
	d.header["x5c"] = [][]byte{certificate} // encoding/json writes bytes in the alphabet that x5c has
}

// headerRows are the faults of kid, crit and b64.
func headerRows() []row {
	return append(kidRows(), []row{
		{
			name: "crit-unknown", verdict: MustReject, tier: Core, severity: High,
			rules: "RFC 7515 §4.1.11", cves: "CVE-2025-59420, CVE-2026-32597, CVE-2026-35042",
			variants: only("crit names an extension that nobody knows, and the header has it",
				header("crit", []string{"urn:example:unknown"}), header("urn:example:unknown", true)),
		},
		{
			name: "crit-malformed", verdict: Reject, tier: ProfileOnly, severity: Medium, rules: "RFC 7515 §4.1.11",
			variants: []variant{
				{"empty", "crit is an empty array", header("crit", []string{})},
				{"text", "crit is a string", header("crit", "exp")},
				{"alg", "crit names alg, which is no extension", header("crit", []string{"alg"})},
				{"absent", "crit names a member that is not there", header("crit", []string{"urn:example:absent"})},
			},
		},
		{
			name: "b64-false", verdict: MustReject, tier: Core, severity: High, rules: "RFC 7797 §6, RFC 7797 §7",
			variants: only("b64 is false, and crit says so; the payload is text that happens to be base64url of the claims",
				header("b64", false), header("crit", []string{"b64"})),
		},
		{
			name: "hdr-duplicate-alg", verdict: MustReject, tier: Core, severity: High, rules: "RFC 7515 §4",
			variants: only("alg stands twice: first the right one, then none", func(d *draft) {
				d.headerText = strings.TrimSuffix(d.json(d.header), "}") + `,"alg":"none"}`
			}),
		},
	}...)
}

// kidRows are the faults of kid.
func kidRows() []row {
	return []row{
		{
			name: "kid-path", verdict: MustReject, tier: Core, severity: Critical, rules: "rfc8725bis §3.10",
			variants: only("kid climbs to /dev/null, HS256 with an empty secret",
				header("kid", "../../../../../../../../dev/null"), mac(nil)),
		},
		{
			name: "kid-metachar", verdict: MustReject, tier: Core, severity: High, rules: "rfc8725bis §3.10",
			variants: []variant{
				{"quote", "kid has a quotation mark, as for SQL; a crash or delay is a fault, too", header("kid", "' OR '1'='1")},
				{"ldap", "kid has LDAP metacharacters", header("kid", "*)(uid=*))(|(uid=*")},
				{"shell", "kid has shell metacharacters, and a command that does nothing", header("kid", "$(true)`true`;true|true&")},
				{"long", "kid has 4096 characters", header("kid", strings.Repeat("k", 4096))},
			},
		},
		{
			name: "kid-unknown", verdict: MustReject, tier: Core, severity: High, rules: "RFC 7515 §6",
			variants: []variant{
				{"renamed", "kid was never published, though a trusted key signed", header("kid", "never-published")},
				{"own-key", "kid and key were never published", attacked},
			},
		},
		{
			name: "kid-type", verdict: Reject, tier: ProfileOnly, severity: Low, rules: "RFC 7515 §4.1.4",
			variants: []variant{
				{"number", "kid is a number", header("kid", 7)},
				{"null", "kid is null", header("kid", nil)},
				{"array", "kid is an array", header("kid", []string{})},
			},
		},
	}
}
