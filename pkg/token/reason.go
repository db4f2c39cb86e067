package token

import (
	"slices"
	"strconv"
)

// Reason is why a token is refused: a stable code for scripts. Reasons lists them all.
type Reason string

// Class groups reasons by what a caller can do about them.
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

// Classes returns the classes in the order of the checks. The first check that fails
// gives the verdict its reason.
func Classes() []Class {
	return []Class{
		ClassMalformed, ClassAlgorithm, ClassNoKey, ClassKeyWithdrawn, ClassSignature,
		ClassExpired, ClassNotYetValid, ClassClaimMissing, ClassClaim,
	}
}

// The reasons. Reasons explains them.
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
	ReasonKeyUnusable  Reason = "key-unusable"
	ReasonKeyWithdrawn Reason = "key-withdrawn"

	ReasonSignatureMissing Reason = "signature-missing"
	ReasonSignature        Reason = "signature"

	ReasonExpired        Reason = "expired"
	ReasonTTLShort       Reason = "ttl-short"
	ReasonTooOld         Reason = "too-old"
	ReasonNotYetValid    Reason = "not-yet-valid"
	ReasonIssuedInFuture Reason = "issued-in-future"

	ReasonClaimMissing   Reason = "claim-missing"
	ReasonClaimType      Reason = "claim-type"
	ReasonClaimCase      Reason = "claim-case"
	ReasonClaimValue     Reason = "claim-value"
	ReasonTyp            Reason = "typ"
	ReasonCty            Reason = "cty"
	ReasonIssuer         Reason = "iss"
	ReasonAudience       Reason = "aud"
	ReasonAudienceUnset  Reason = "aud-unset"
	ReasonSubject        Reason = "sub"
	ReasonScope          Reason = "scope"
	ReasonIssuedAfterExp Reason = "iat-after-exp"
)

// ReasonInfo describes one reason.
type ReasonInfo struct {
	Reason  Reason `json:"reason"`
	Class   Class  `json:"class"`
	Meaning string `json:"meaning"`
}

// Reasons returns all reasons, in the order of Classes.
func Reasons() []ReasonInfo {
	return []ReasonInfo{
		{ReasonTooLarge, ClassMalformed, "the token is longer than the limit"},
		{ReasonNotCompact, ClassMalformed, "the token does not have three parts"},
		{ReasonJSONForm, ClassMalformed, "the token is a JWS in JSON form; a JWT is always compact"},
		{ReasonEncrypted, ClassMalformed, "the token is encrypted (JWE), not signed"},
		{ReasonEncoding, ClassMalformed, "a part is not canonical, unpadded base64url"},
		{ReasonHeader, ClassMalformed, "the header is not one JSON object without duplicate names, or a member has the wrong type"},
		{ReasonPayload, ClassMalformed, "the claims are not one JSON object without duplicate names"},

		{ReasonAlgMissing, ClassAlgorithm, "alg is missing, or not a string"},
		{ReasonAlgNone, ClassAlgorithm, "alg is none: the token is not signed"},
		{ReasonAlgUnknown, ClassAlgorithm, "alg is not a supported public-key algorithm"},
		{ReasonAlgNotAllowed, ClassAlgorithm, "alg is not one that the caller allows"},
		{ReasonAlgUnfit, ClassAlgorithm, "the key with this kid cannot be used with this alg"},
		{ReasonB64, ClassAlgorithm, "the header has b64 (RFC 7797), which a JWT must not use"},
		{ReasonCrit, ClassAlgorithm, "the header has crit, but no extension is supported"},
		{ReasonZip, ClassAlgorithm, "the header has zip, but a JWS is never compressed"},

		{ReasonKidUnknown, ClassNoKey, "no key has this kid"},
		{ReasonKidMissing, ClassNoKey, "the token has no kid, and there are no keys to choose from"},
		{ReasonKidAmbiguous, ClassNoKey, "more than one key matches kid and alg"},
		{ReasonKeyUnusable, ClassNoKey, "the key with this kid is broken, too weak, or of an unknown kind"},
		{ReasonKeyWithdrawn, ClassKeyWithdrawn, "the key was revoked or has expired"},

		{ReasonSignatureMissing, ClassSignature, "the signature is empty"},
		{ReasonSignature, ClassSignature, "the signature is not valid for this key and this token"},

		{ReasonExpired, ClassExpired, "exp is in the past"},
		{ReasonTTLShort, ClassExpired, "exp is sooner than the caller allows"},
		{ReasonTooOld, ClassExpired, "iat is longer ago than the caller allows"},
		{ReasonNotYetValid, ClassNotYetValid, "nbf is in the future"},
		{ReasonIssuedInFuture, ClassNotYetValid, "iat is in the future"},

		{ReasonClaimMissing, ClassClaimMissing, "a required claim is absent"},
		{ReasonClaimType, ClassClaim, "a claim has the wrong type or is out of range"},
		{ReasonClaimCase, ClassClaim, "a name differs from that of a known claim in case only"},
		{ReasonClaimValue, ClassClaim, "a claim does not have the value that the caller requires"},
		{ReasonTyp, ClassClaim, "typ is not the expected type of token"},
		{ReasonCty, ClassClaim, "the payload is another token"},
		{ReasonIssuer, ClassClaim, "iss is not the expected issuer"},
		{ReasonAudience, ClassClaim, "aud does not contain an expected audience"},
		{ReasonAudienceUnset, ClassClaim, "the token has aud, but the caller expects no audience"},
		{ReasonSubject, ClassClaim, "sub is not the expected subject"},
		{ReasonScope, ClassClaim, "the token lacks a required scope"},
		{ReasonIssuedAfterExp, ClassClaim, "iat is later than exp"},
	}
}

// Class returns the class of r, or "" for an unknown reason.
func (r Reason) Class() Class {
	table := Reasons()
	i := slices.IndexFunc(table, func(info ReasonInfo) bool { return info.Reason == r })
	if i < 0 {
		return ""
	}
	return table[i].Class
}

// Refusal is one check that a token failed. All functions of this package that refuse
// a token return it as their error.
type Refusal struct {
	Reason  Reason `json:"reason"`
	Claim   string `json:"claim,omitempty"` // the invalid claim, if any
	Message string `json:"message"`         // what is wrong, one lower-case line
	Hint    string `json:"hint,omitempty"`  // what to do about it
}

// Error returns the message and the hint.
func (r *Refusal) Error() string {
	if r.Hint == "" {
		return r.Message
	}
	return r.Message + ": " + r.Hint
}

// quote quotes text of a token for a terminal or log, and cuts it at 80 bytes.
func quote(s string) string {
	const limit = 80
	if len(s) > limit {
		return strconv.Quote(s[:limit]) + "…"
	}
	return strconv.Quote(s)
}
