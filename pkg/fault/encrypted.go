package fault

import (
	"bytes"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// encryptedRows are encrypted tokens (JWE) instead of signed ones. Anybody can encrypt
// to a public key, so the content proves nothing.
func encryptedRows() []row {
	const bombs = "CVE-2023-50658, CVE-2024-28180, CVE-2024-28122, CVE-2025-63811"
	return []row{
		{
			name: "jwe-for-jws", verdict: MustReject, tier: ProfileOnly, severity: Critical,
			rules: "rfc8725bis §3.3", cves: "CVE-2023-51774, CVE-2026-29000",
			variants: []variant{
				{"claims", "the claims are encrypted to the trusted public key, not signed", func(d *draft) {
					d.encrypt(d.json(d.claims), "", jose.NONE)
				}},
				{"unsigned", "an unsigned token is encrypted to the trusted public key", func(d *draft) {
					d.encrypt(d.unsignedToken(), "JWT", jose.NONE)
				}},
			},
		},
		{
			name: "jwe-p2c", verdict: Reject, tier: OptIn, severity: Medium, rules: "rfc8725bis §3.13", cves: bombs,
			variants: single("encrypted with a password that must be hashed 1,200,001 times; a verifier that takes long is at fault", slowPassword),
		},
		{
			name: "jwe-zip", verdict: Reject, tier: OptIn, severity: Medium, rules: "rfc8725bis §3.15", cves: bombs,
			variants: single("encrypted to the trusted public key, expands to 10 MiB; a verifier that takes long is at fault", func(d *draft) {
				d.encrypt(d.json(d.claims)+strings.Repeat(" ", 10<<20), "", jose.DEFLATE)
			}),
		},
	}
}

// encrypt makes the token a JWE to a trusted key.
func (d *draft) encrypt(plaintext string, contentType jose.ContentType, zip jose.CompressionAlgorithm) {
	key := d.in.trusted(append(algorithmsOf("RSA"), algorithmsOf("EC")...)...).Public()
	if key.KeyType() == "" {
		d.require("an RSA or EC key: an Ed25519 key cannot encrypt")
		return
	}
	method := jose.RSA_OAEP_256
	if key.KeyType() == "EC" {
		method = jose.ECDH_ES_A256KW
	}
	options := &jose.EncrypterOptions{Compression: zip}
	if contentType != "" {
		options.WithContentType(contentType)
	}
	recipient := jose.Recipient{Algorithm: method, Key: key.Material(), KeyID: key.KeyID()}
	encrypter, err := jose.NewEncrypter(jose.A256GCM, recipient, options)
	if err != nil {
		d.fail(err)
		return
	}
	object, err := encrypter.Encrypt([]byte(plaintext))
	if err != nil {
		d.fail(err)
		return
	}
	compact, err := object.CompactSerialize()
	d.fail(err)
	d.join = func(_, _, _ string) string { return compact }
}

// slowPassword makes the token a JWE with a password. No password decrypts it, but a
// verifier must hash one before it can notice.
func slowPassword(d *draft) {
	const key, iv, tag = 24, 12, 16 // bytes
	zeros := func(n int) string { return encode(bytes.Repeat([]byte{0}, n)) }
	protected := d.json(map[string]any{
		"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 1_200_001, "p2s": zeros(16), "kid": d.header["kid"],
	})
	whole := strings.Join([]string{
		encode([]byte(protected)), zeros(key), zeros(iv), zeros(len(d.json(d.claims))), zeros(tag),
	}, ".")
	d.join = func(_, _, _ string) string { return whole }
}
