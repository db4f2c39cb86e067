package jwk

import (
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
)

// Severity says how much a Finding matters.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"   // a secret is published, or verifiers will fail
	SeverityWarning Severity = "warning" // verifiers have to guess
	SeverityInfo    Severity = "info"    // correct, but worth knowing
)

// Rule is the stable name of a check, which scripts may match.
type Rule string

// The rules.
const (
	RuleNotASet       Rule = "not-a-set"        // the document is no JWK Set, or has too many keys
	RuleEmpty         Rule = "empty"            // no key can verify a signature
	RulePrivate       Rule = "private"          // a private key is published
	RuleSymmetric     Rule = "symmetric"        // a shared secret is published
	RuleWeak          Rule = "weak"             // an RSA key that is short, easy to factor, or has a small exponent
	RuleTestKey       Rule = "test-key"         // the private key is published in an RFC or a well-known tool
	RuleUnusable      Rule = "unusable"         // a key is broken
	RuleUnknown       Rule = "unknown"          // an unknown kty, crv or alg
	RuleEncoding      Rule = "encoding"         // a parameter is not written as RFC 7518 demands
	RuleEmptyMember   Rule = "empty-member"     // a member is null, "" or an empty array
	RuleNotSignature  Rule = "not-signature"    // a key is not for signatures
	RuleKidMissing    Rule = "kid-missing"      // tokens cannot name the key
	RuleKidDuplicate  Rule = "kid-duplicate"    // tokens cannot distinguish two keys
	RuleKidThumbprint Rule = "kid-thumbprint"   // the kid is not the thumbprint
	RuleAlgMissing    Rule = "alg-missing"      // verifiers have to guess the alg
	RuleUseMissing    Rule = "use-missing"      // verifiers have to guess the use
	RuleOperations    Rule = "use-contradicted" // key_ops contradict use, or are not for a public key
)

// Finding is a result of Lint. It never contains the value of a private member.
type Finding struct {
	Severity Severity `json:"severity"`
	Rule     Rule     `json:"rule"`
	Index    int      `json:"index"`         // the index of the key in "keys", from 0; -1 for the whole set
	KeyID    string   `json:"kid,omitempty"` // the kid of the key
	Message  string   `json:"message"`       // what is wrong: one line in lower case
}

// Lint checks a JWK Set for published secrets, for keys that some verifier cannot
// use (RFC 7517, section 5), and for missing members that make verifiers guess. The
// findings are in the order of the keys; those about the whole set are last.
func Lint(data []byte) []Finding {
	values, err := readSet(data)
	if err != nil {
		return []Finding{{SeverityError, RuleNotASet, -1, "", err.Error()}}
	}
	l := linter{keyTypes: map[string][]string{}}
	for i, value := range values {
		l.index, l.kid = i, keyIDOf(value)
		l.lintKey(value)
	}
	if l.usable == 0 {
		l.index, l.kid = -1, ""
		l.report(SeverityError, RuleEmpty, "no key can verify a signature: every token will be refused")
	}
	return l.findings
}

// linter is the state of one call of Lint.
type linter struct {
	findings []Finding
	index    int                 // of the current key
	kid      string              // of the current key
	keyTypes map[string][]string // the kty of the keys before it, by kid
	usable   int                 // the number of keys that can verify signatures
}

func (l *linter) report(s Severity, r Rule, format string, args ...any) {
	l.findings = append(l.findings, Finding{s, r, l.index, l.kid, fmt.Sprintf(format, args...)})
}

func (l *linter) lintKey(data []byte) {
	object, err := readMembers(data)
	if err != nil {
		l.report(SeverityError, RuleUnusable, "it cannot be used: %v", err)
		return
	}
	keyType, _ := object.text("kty") // public reports the error
	if keyType == "oct" {
		l.report(SeverityError, RuleSymmetric, "a shared secret is published, and every reader can sign with it: replace it with a key pair")
	} else if name := object.privateName(); name != "" {
		l.report(SeverityError, RulePrivate, "the private member %q is published: revoke the key, and publish only public keys", name)
	}
	l.lintKeyID(keyType)
	if keyType == "oct" {
		return
	}
	if use, _ := object.text("use"); use != "" && !verifiesTokens(use) {
		l.report(SeverityInfo, RuleNotSignature, "its use is %q: it verifies no token", use)
		return
	}
	k, err := object.public()
	if err != nil {
		l.reportUnusable(object, keyType, err)
		return
	}
	l.lintForm(object)
	l.lintStrength(k)
	l.lintUse(k)
}

// lintForm checks how the members are written. Verifiers that are stricter than this
// program refuse a key for that.
func (l *linter) lintForm(object members) {
	if p, err := object.params(); err == nil {
		_, odd, _ := p.canonical() // the error is reported when the key is read
		for _, what := range odd {
			l.report(SeverityWarning, RuleEncoding, "%s: some verifiers refuse the key (RFC 7518, section 6)", what)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if !object.has(name) {
			l.report(SeverityWarning, RuleEmptyMember, "the member %.80q has no value: some verifiers refuse the key; leave the member out", name)
		}
	}
}

// lintStrength checks whether the private key is known or easier to attack than usual.
func (l *linter) lintStrength(k PublicKey) {
	if source, ok := testKeys()[k.thumbprint]; ok {
		l.report(SeverityError, RuleTestKey, "its private key is published in %s, and every reader can sign with it: replace the key", source)
	}
	if k.hasSmallExponent() {
		l.report(SeverityError, RuleWeak, "its exponent is less than %d: replace the key", commonExponent)
	}
}

// lintKeyID checks whether a token can name the key.
func (l *linter) lintKeyID(keyType string) {
	if l.kid == "" {
		l.report(SeverityWarning, RuleKidMissing, "it has no kid: tokens cannot name it")
		return
	}
	switch others := l.keyTypes[l.kid]; {
	case slices.Contains(others, keyType):
		l.report(SeverityError, RuleKidDuplicate, "another %s key has this kid: verifiers cannot choose between them", keyType)
	case len(others) > 0:
		l.report(SeverityWarning, RuleKidDuplicate, "a key of another kty has this kid: some verifiers use the first key with a kid")
	}
	l.keyTypes[l.kid] = append(l.keyTypes[l.kid], keyType)
}

// reportUnusable reports a key that is weak or broken as an error, and a key of an
// unknown kind as a warning, because a set may contain it (RFC 7517, section 5).
func (l *linter) reportUnusable(object members, keyType string, err error) {
	if bits := modulusBits(object, keyType); bits > 0 && bits < minRSABits {
		l.report(SeverityError, RuleWeak, "an RSA key of %d bits can be broken: use %d or more", bits, minRSABits)
		return
	}
	if errors.Is(err, errROCA) || errors.Is(err, errFermat) {
		l.report(SeverityError, RuleWeak, "%v", err)
		return
	}
	curve, _ := object.text("crv")
	name, _ := object.text("alg")
	_, unknownAlg := ParseAlgorithm(name)
	schemes := table()
	known := slices.ContainsFunc(schemes[:], func(s scheme) bool { return s.keyType == keyType && s.curve == curve })
	if (keyType != "" && !known) || (name != "" && unknownAlg != nil) {
		l.report(SeverityWarning, RuleUnknown, "many verifiers ignore it: %v", err)
		return
	}
	l.report(SeverityError, RuleUnusable, "it cannot be used: %v", err)
}

// modulusBits returns the size of an RSA modulus in bits, 0 if there is none.
func modulusBits(object members, keyType string) int {
	if keyType != typeRSA {
		return 0
	}
	text, _ := object.text("n")
	var r reader
	return new(big.Int).SetBytes(r.bytes("n", text)).BitLen()
}

// lintUse checks alg, use, key_ops and kid of a key that is not broken.
func (l *linter) lintUse(k PublicKey) {
	verifies := k.ops == nil || slices.Contains(k.ops, "verify")
	if verifies {
		l.usable++
	}
	if k.alg == "" {
		l.report(SeverityWarning, RuleAlgMissing, "it has no alg: verifiers may use any algorithm for %s keys", k.KeyType())
	}
	if k.use == "" && k.ops == nil {
		l.report(SeverityWarning, RuleUseMissing, `it has neither use nor key_ops: set use to "sig"`)
	}
	switch {
	case !verifies && k.use != "":
		l.report(SeverityError, RuleOperations, `its use is %q, but its key_ops %q lack "verify" (RFC 7517, section 4.3)`, k.use, k.ops)
	case !verifies:
		l.report(SeverityInfo, RuleNotSignature, "its key_ops are %q: it verifies no token", k.ops)
	case k.ops != nil && slices.ContainsFunc(k.ops, func(op string) bool { return op != "verify" }):
		l.report(SeverityWarning, RuleOperations, `its key_ops are %q, but a public key for signatures has "verify" only`, k.ops)
	}
	if k.kid != "" && k.kid != k.thumbprint {
		l.report(SeverityInfo, RuleKidThumbprint, "its kid is not its thumbprint (RFC 7638) %s", k.thumbprint)
	}
}
