package fault

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"time"
)

// keyMaterialRows are tokens with a key, or the URL of one, in the header.
func keyMaterialRows() []row {
	return []row{
		{
			name: "hdr-jwk", verdict: MustReject, tier: Core, severity: Critical,
			rules: "ASVS 5.0 §9.1.3",
			cves:  "CVE-2018-0114, CVE-2025-24976, CVE-2026-27962, CVE-2026-34240",
			variants: []variant{
				{"own-kid", "jwk is an attacker's key, which signed; kid is that of the attacker's key", all(signedByAttacker, embedKey)},
				{"known-kid", "jwk is an attacker's key, which signed; kid is that of the trusted key", all(embedKey, func(d *draft) { d.sign = signWith(d.attacker()) })},
			},
		},
		{
			name: "hdr-jku", verdict: MustReject, tier: Core, severity: Critical,
			rules: "rfc8725bis §3.10", cves: "CVE-2026-48522",
			variants: single("jku is the URL of the canary, and an attacker's key signed; a verifier that calls the canary is at fault, too", signedByAttacker, func(d *draft) {
				d.header["jku"] = d.canary()
			}),
		},
		{
			name: "hdr-x5u", verdict: MustReject, tier: Core, severity: Critical,
			rules: "RFC 7515 §4.1.5, rfc8725bis §3.10",
			variants: single("x5u is the URL of the canary, and an attacker's key signed; a verifier that calls the canary is at fault, too", signedByAttacker, func(d *draft) {
				d.header["x5u"] = d.canary()
			}),
		},
		{
			name: "hdr-x5c", verdict: MustReject, tier: Core, severity: Critical,
			rules:    "RFC 7515 §4.1.6, rfc8725bis §3.10",
			variants: single("x5c is a self-signed certificate of an attacker's key, which signed", signedByAttacker, embedCertificate),
		},
	}
}

// signedByAttacker signs with the attacker's key and its kid.
func signedByAttacker(d *draft) { d.signedBy(d.attacker()) }

// embedKey puts the attacker's public key in the header.
func embedKey(d *draft) { d.header["jwk"] = d.attacker().Public() }

// embedCertificate puts a self-signed certificate of the attacker's key in the header.
func embedCertificate(d *draft) {
	key := d.cryptoSigner(d.attacker())
	if d.err != nil {
		return
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "attacker.invalid"},
		NotBefore: d.in.Now.Add(-time.Hour), NotAfter: d.in.Now.Add(24 * time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	d.fail(err)
	d.header["x5c"] = [][]byte{certificate} // encoding/json writes bytes in base64, as x5c requires
}

// headerRows are the faults of kid, crit and b64.
func headerRows() []row {
	return append(kidRows(), []row{
		{
			name: "crit-unknown", verdict: MustReject, tier: Core, severity: High,
			rules: "RFC 7515 §4.1.11", cves: "CVE-2025-59420, CVE-2026-32597, CVE-2026-35042",
			variants: single("crit lists an unknown extension, which the header has",
				header("crit", []string{"urn:example:unknown"}), header("urn:example:unknown", true)),
		},
		{
			name: "crit-malformed", verdict: Reject, tier: ProfileOnly, severity: Medium, rules: "RFC 7515 §4.1.11",
			variants: []variant{
				{"empty", "crit is an empty array", header("crit", []string{})},
				{"text", "crit is a string", header("crit", "exp")},
				{"alg", "crit lists alg, which is not an extension", header("crit", []string{"alg"})},
				{"absent", "crit lists a member that the header does not have", header("crit", []string{"urn:example:absent"})},
			},
		},
		{
			name: "b64-false", verdict: MustReject, tier: Core, severity: High, rules: "RFC 7797 §6, RFC 7797 §7",
			variants: single("b64 is false and listed in crit; the payload is the base64url of the claims, as text",
				header("b64", false), header("crit", []string{"b64"})),
		},
		{
			name: "hdr-duplicate-alg", verdict: MustReject, tier: Core, severity: High, rules: "RFC 7515 §4",
			variants: single("alg occurs twice: first the valid one, then none", func(d *draft) {
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
			variants: single("kid is a path to /dev/null, signed with HS256 and an empty secret",
				header("kid", "../../../../../../../../dev/null"), signHMAC(nil)),
		},
		{
			name: "kid-metachar", verdict: MustReject, tier: Core, severity: High, rules: "rfc8725bis §3.10",
			variants: []variant{
				{"quote", "kid is an SQL injection; a verifier that crashes or takes long is at fault, too", header("kid", "' OR '1'='1")},
				{"ldap", "kid has LDAP metacharacters", header("kid", "*)(uid=*))(|(uid=*")},
				{"shell", "kid has shell metacharacters, and a harmless command", header("kid", "$(true)`true`;true|true&")},
				{"long", "kid has 4096 characters", header("kid", strings.Repeat("k", 4096))},
			},
		},
		{
			name: "kid-unknown", verdict: MustReject, tier: Core, severity: High, rules: "RFC 7515 §6",
			variants: []variant{
				{"renamed", "kid was never published; a trusted key signed", header("kid", "never-published")},
				{"own-key", "kid and key were never published", signedByAttacker},
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
