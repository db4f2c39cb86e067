package token

import (
	"slices"
	"strconv"
)

// Reason says why a token is refused: a stable code that scripts may match.
// Reasons lists them all with their meaning.
type Reason string

// Class groups reasons by what a caller does about them. Classes gives their order.
type Class string

// The classes.
const (
	ClassMalformed    Class = "malformed"
	ClassAlgorithm    Class = "algorithm"
	ClassNoKey        Class = "no-key"
	ClassKeyWithdrawn Class = "key-withdrawn"
	ClassSignature    Class = "signature"
	ClassExpired      Class = "expired"
	ClassNotYetValid  Class = "not-yet-valid"
	ClassClaimMissing Class = "claim-missing"
	ClassClaim        Class = "claim"
)

// Classes returns the classes in the order in which a token is judged: the first
// failing one gives a verdict its reason.
func Classes() []Class {
	return []Class{
		ClassMalformed, ClassAlgorithm, ClassNoKey, ClassKeyWithdrawn, ClassSignature,
		ClassExpired, ClassNotYetValid, ClassClaimMissing, ClassClaim,
	}
}

// The reasons; their meaning stands in Reasons.
const (
	ReasonTooLarge   Reason = "too-large"
	ReasonNotCompact Reason = "not-compact"
	ReasonJSONForm   Reason = "json-form"
	ReasonEncrypted  Reason = "encrypted"
	ReasonEncoding   Reason = "encoding"
	ReasonHeader     Reason = "header"
	ReasonPayload    Reason = "payload"

	ReasonAlgMissing    Reason = "alg-missing"
	ReasonAlgNone       Reason = "alg-none"
	ReasonAlgUnknown    Reason = "alg-unknown"
	ReasonAlgNotAllowed Reason = "alg-not-allowed"
	ReasonAlgUnfit      Reason = "alg-unfit"
	ReasonB64           Reason = "b64"
	ReasonCrit          Reason = "crit"
	ReasonZip           Reason = "zip"

	ReasonKidUnknown   Reason = "kid-unknown"
	ReasonKidMissing   Reason = "kid-missing"
	ReasonKidAmbiguous Reason = "kid-ambiguous"
	ReasonKeyWithdrawn Reason = "key-withdrawn"

	ReasonSignatureMissing Reason = "signature-missing"
	ReasonSignature        Reason = "signature"

	ReasonExpired     Reason = "expired"
	ReasonTTLShort    Reason = "ttl-short"
	ReasonTooOld      Reason = "too-old"
	ReasonNotYetValid Reason = "not-yet-valid"
	ReasonIssuedAhead Reason = "issued-in-future"

	ReasonClaimMissing  Reason = "claim-missing"
	ReasonClaimType     Reason = "claim-type"
	ReasonClaimCase     Reason = "claim-case"
	ReasonClaimValue    Reason = "claim-value"
	ReasonTyp           Reason = "typ"
	ReasonCty           Reason = "cty"
	ReasonIssuer        Reason = "iss"
	ReasonAudience      Reason = "aud"
	ReasonAudienceUnset Reason = "aud-unset"
	ReasonSubject       Reason = "sub"
	ReasonScope         Reason = "scope"
	ReasonIssuedLate    Reason = "iat-after-exp"
)

// ReasonInfo is one line of the table of reasons.
type ReasonInfo struct {
	Reason  Reason `json:"reason"`
	Class   Class  `json:"class"`
	Meaning string `json:"meaning"`
}

// Reasons returns the table of reasons, in the order of Classes.
func Reasons() []ReasonInfo {
	return []ReasonInfo{
		{ReasonTooLarge, ClassMalformed, "the token is longer than the limit"},
		{ReasonNotCompact, ClassMalformed, "the token does not have three parts"},
		{ReasonJSONForm, ClassMalformed, "the token is a JWS in its JSON form, which a JWT never is"},
		{ReasonEncrypted, ClassMalformed, "the token is encrypted (JWE), not signed"},
		{ReasonEncoding, ClassMalformed, "a part is not canonical base64url"},
		{ReasonHeader, ClassMalformed, "the header is not a sound JSON object, or a member has the wrong type"},
		{ReasonPayload, ClassMalformed, "the claims are not a sound JSON object"},

		{ReasonAlgMissing, ClassAlgorithm, "the header has no alg, or one that is not a string"},
		{ReasonAlgNone, ClassAlgorithm, "the token says that it is unsigned"},
		{ReasonAlgUnknown, ClassAlgorithm, "alg is no public-key algorithm known here"},
		{ReasonAlgNotAllowed, ClassAlgorithm, "alg is not among those the caller allows"},
		{ReasonAlgUnfit, ClassAlgorithm, "the key that kid names must not be used with this alg"},
		{ReasonB64, ClassAlgorithm, "the header has b64 (RFC 7797), which a JWT must not use"},
		{ReasonCrit, ClassAlgorithm, "the header demands an extension with crit; none is known here"},
		{ReasonZip, ClassAlgorithm, "the header asks for decompression, which a JWS does not have"},

		{ReasonKidUnknown, ClassNoKey, "no key has this kid"},
		{ReasonKidMissing, ClassNoKey, "the token names no key, and no key could be meant"},
		{ReasonKidAmbiguous, ClassNoKey, "more than one key could be meant"},
		{ReasonKeyWithdrawn, ClassKeyWithdrawn, "the key was revoked or has expired"},

		{ReasonSignatureMissing, ClassSignature, "the signature is empty"},
		{ReasonSignature, ClassSignature, "the signature is not by this key over this token"},

		{ReasonExpired, ClassExpired, "exp has passed"},
		{ReasonTTLShort, ClassExpired, "less time is left than the caller asks for"},
		{ReasonTooOld, ClassExpired, "iat is longer ago than the caller allows"},
		{ReasonNotYetValid, ClassNotYetValid, "nbf is in the future"},
		{ReasonIssuedAhead, ClassNotYetValid, "iat is in the future"},

		{ReasonClaimMissing, ClassClaimMissing, "a required claim is absent"},
		{ReasonClaimType, ClassClaim, "a claim has the wrong type or is out of range"},
		{ReasonClaimCase, ClassClaim, "a claim differs from a registered one in case only"},
		{ReasonClaimValue, ClassClaim, "a claim does not have the value that the caller requires"},
		{ReasonTyp, ClassClaim, "the token is of another kind than the one expected"},
		{ReasonCty, ClassClaim, "the payload is another token"},
		{ReasonIssuer, ClassClaim, "the issuer is another one"},
		{ReasonAudience, ClassClaim, "the token is meant for others"},
		{ReasonAudienceUnset, ClassClaim, "the token names an audience, but the caller does not say which one it is"},
		{ReasonSubject, ClassClaim, "the subject is another one"},
		{ReasonScope, ClassClaim, "the token lacks a scope"},
		{ReasonIssuedLate, ClassClaim, "the token was issued after its own end"},
	}
}

// Class returns the class of r, "" for a reason that is not in the table.
func (r Reason) Class() Class {
	table := Reasons()
	i := slices.IndexFunc(table, func(info ReasonInfo) bool { return info.Reason == r })
	if i < 0 {
		return ""
	}
	return table[i].Class
}

// Refusal is one check that a token failed. It is the error of every layer of the
// verifier; any other error means that nothing was decided.
type Refusal struct {
	Reason  Reason `json:"reason"`
	Claim   string `json:"claim,omitempty"` // the claim at fault, if it is one
	Message string `json:"message"`         // what is wrong, one lower-case line
	Hint    string `json:"hint,omitempty"`  // what would make it pass
}

// Error returns the message and the hint.
func (r *Refusal) Error() string {
	if r.Hint == "" {
		return r.Message
	}
	return r.Message + ": " + r.Hint
}

// quote makes text of a token fit for one line of a terminal or log.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
