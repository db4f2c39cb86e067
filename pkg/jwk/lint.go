package jwk

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
)

// Severity says how much a Finding matters.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"   // a secret is out, or some verifier will fail
	SeverityWarning Severity = "warning" // verifiers have to guess
	SeverityInfo    Severity = "info"    // lawful, and good to know
)

// Rule names what Lint looks at: a stable code that scripts may match.
type Rule string

// The rules.
const (
	RuleNotASet       Rule = "not-a-set"        // the whole is no JWK Set, or one of too many members
	RuleEmpty         Rule = "empty"            // no member can verify a signature
	RulePrivate       Rule = "private"          // a member gives its private half away
	RuleSymmetric     Rule = "symmetric"        // a member is a shared secret
	RuleWeak          Rule = "weak"             // an RSA modulus of fewer than 2048 bits
	RuleUnusable      Rule = "unusable"         // a member is broken
	RuleUnknown       Rule = "unknown"          // a kty, crv or alg that is not in the table
	RuleNotSignature  Rule = "not-signature"    // a member is not for signatures
	RuleKidMissing    Rule = "kid-missing"      // tokens cannot name the member
	RuleKidDuplicate  Rule = "kid-duplicate"    // tokens cannot tell two members apart
	RuleKidThumbprint Rule = "kid-thumbprint"   // the kid is another than the thumbprint
	RuleAlgMissing    Rule = "alg-missing"      // verifiers have to guess the alg
	RuleUseMissing    Rule = "use-missing"      // verifiers have to guess the use
	RuleOperations    Rule = "use-contradicted" // key_ops say other than use, or than a public key can
)

// Finding is one thing that Lint has to say of a JWK Set. None holds a value of a
// private member.
type Finding struct {
	Severity Severity `json:"severity"`
	Rule     Rule     `json:"rule"`
	Index    int      `json:"index"`         // the member's place in "keys", from 0; -1 for the set
	KeyID    string   `json:"kid,omitempty"` // the member's kid
	Message  string   `json:"message"`       // what is wrong, one lower-case line
}

// Lint looks at a JWK Set as its readers will: at what gives secrets away, what
// some verifier cannot use (RFC 7517, section 5) and what leaves it guessing. The
// findings come in the order of the members, those on the whole set last.
func Lint(data []byte) []Finding {
	raw, err := rawSet(data)
	if err != nil {
		return []Finding{{SeverityError, RuleNotASet, -1, "", err.Error()}}
	}
	l := linter{kids: map[string][]string{}}
	for i, member := range raw {
		l.index, l.kid = i, keyIDOf(member)
		l.member(member)
	}
	if l.usable == 0 {
		l.index, l.kid = -1, ""
		l.find(SeverityError, RuleEmpty, "no member can verify a signature: every token will be refused")
	}
	return l.findings
}

// linter is one run of Lint.
type linter struct {
	findings []Finding
	index    int
	kid      string              // of the member at index
	kids     map[string][]string // the kty of the members so far, by kid
	usable   int                 // how many members can verify signatures
}

func (l *linter) find(s Severity, r Rule, format string, args ...any) {
	l.findings = append(l.findings, Finding{s, r, l.index, l.kid, fmt.Sprintf(format, args...)})
}

func (l *linter) member(data []byte) {
	found, err := readMembers(data)
	if err != nil {
		l.find(SeverityError, RuleUnusable, "%v", err)
		return
	}
	keyType, _ := found.text("kty") // whatever else it is gets reported below
	l.secrets(found, keyType)
	l.identity(keyType)
	if keyType == "oct" {
		return
	}
	if use, _ := found.text("use"); use != "" && use != "sig" {
		l.find(SeverityInfo, RuleNotSignature, "its use is %q: it verifies no token", use)
		return
	}
	k, err := found.public()
	if err != nil {
		l.unusable(found, keyType, err)
		return
	}
	l.claims(k)
}

// secrets looks for what must never be in a public set.
func (l *linter) secrets(found members, keyType string) {
	if keyType == "oct" {
		l.find(SeverityError, RuleSymmetric, "a shared secret is published: whoever reads it can sign; replace it, and use a key pair")
		return
	}
	for _, name := range privateMembers() {
		if _, ok := found[name]; ok {
			l.find(SeverityError, RulePrivate, "it has the private member %q: the key is leaked; revoke it, and publish the public half alone", name)
			return
		}
	}
}

// identity looks at how tokens name the member.
func (l *linter) identity(keyType string) {
	if l.kid == "" {
		l.find(SeverityWarning, RuleKidMissing, "it has no kid: tokens cannot name it")
		return
	}
	switch before := l.kids[l.kid]; {
	case slices.Contains(before, keyType):
		l.find(SeverityError, RuleKidDuplicate, "another %s key has this kid: verifiers cannot tell which one is meant", keyType)
	case len(before) > 0:
		l.find(SeverityWarning, RuleKidDuplicate, "a key of another kty has this kid: some verifiers take the first that they see")
	}
	l.kids[l.kid] = append(l.kids[l.kid], keyType)
}

// unusable tells a member that is weak or broken from one of a kind that is not
// known here, which is no fault of the set (RFC 7517, section 5).
func (l *linter) unusable(found members, keyType string, err error) {
	if bits := modulusBits(found, keyType); bits > 0 && bits < minRSABits {
		l.find(SeverityError, RuleWeak, "an RSA key of %d bits can be broken: use %d or more", bits, minRSABits)
		return
	}
	curve, _ := found.text("crv")
	name, _ := found.text("alg")
	_, unknownAlg := ParseAlgorithm(name)
	rows := table()
	known := slices.ContainsFunc(rows[:], func(row spec) bool { return row.keyType == keyType && row.curve == curve })
	if (keyType != "" && !known) || (name != "" && unknownAlg != nil) {
		l.find(SeverityWarning, RuleUnknown, "verifiers such as this one pass it over: %v", err)
		return
	}
	l.find(SeverityError, RuleUnusable, "it cannot be used: %v", err)
}

// modulusBits returns the size of an RSA modulus, sound or not; 0 if there is none.
func modulusBits(found members, keyType string) int {
	if keyType != typeRSA {
		return 0
	}
	text, _ := found.text("n")
	n, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return 0
	}
	return new(big.Int).SetBytes(n).BitLen()
}

// claims looks at what a sound key says of itself.
func (l *linter) claims(k PublicKey) {
	verifies := k.ops == nil || slices.Contains(k.ops, "verify")
	if verifies {
		l.usable++
	}
	if k.alg == "" {
		l.find(SeverityWarning, RuleAlgMissing, "it has no alg: it could be used with any that suits a key of type %s", k.KeyType())
	}
	if k.use == "" && k.ops == nil {
		l.find(SeverityWarning, RuleUseMissing, `it has neither use nor key_ops: set use to "sig"`)
	}
	switch {
	case !verifies && k.use == "sig":
		l.find(SeverityError, RuleOperations, `its use is "sig", but its key_ops %q lack "verify" (RFC 7517, section 4.3)`, k.ops)
	case !verifies:
		l.find(SeverityInfo, RuleNotSignature, "its key_ops are %q: it verifies no token", k.ops)
	case k.ops != nil && slices.ContainsFunc(k.ops, func(op string) bool { return op != "verify" }):
		l.find(SeverityWarning, RuleOperations, `its key_ops are %q, of which a public key for signatures has "verify" alone`, k.ops)
	}
	if k.kid != "" && k.kid != k.thumbprint {
		l.find(SeverityInfo, RuleKidThumbprint, "its kid is not its thumbprint (RFC 7638), which is %s", k.thumbprint)
	}
}
