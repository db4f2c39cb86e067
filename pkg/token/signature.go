package token

import (
	"context"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// SigningMethod is an algorithm as golang-jwt has it, for programs that make their
// tokens with that library. Its RSA and ECDSA methods take the keys of the standard
// library alone. This one signs with a [jwk.PrivateKey], so with any crypto.Signer,
// and verifies with a [jwk.PublicKey]: no text can serve as a secret, and PSS is held
// to a salt as long as the hash. It is handed over by value and registered nowhere, so
// golang-jwt's parser does not know it: verify with [Verifier].
type SigningMethod jwk.Algorithm

var _ jwt.SigningMethod = SigningMethod("")

// Alg returns the name for the header.
func (m SigningMethod) Alg() string { return string(m) }

// Sign signs with a jwk.PrivateKey for this algorithm.
func (m SigningMethod) Sign(input string, key any) ([]byte, error) {
	alg, err := jwk.ParseAlgorithm(string(m))
	if err != nil {
		return nil, err
	}
	private, ok := key.(jwk.PrivateKey)
	switch {
	case !ok:
		return nil, fmt.Errorf("a %T cannot sign: pass a jwk.PrivateKey for %s", key, alg)
	case private.Algorithm() != alg:
		return nil, fmt.Errorf("a key for %q cannot sign: pass one for %s", private.Algorithm(), alg)
	}
	return private.Sign([]byte(input))
}

// Verify verifies with a jwk.PublicKey.
func (m SigningMethod) Verify(input string, signature []byte, key any) error {
	public, ok := key.(jwk.PublicKey)
	if !ok {
		return fmt.Errorf("a %T cannot verify: pass a jwk.PublicKey", key)
	}
	return public.Verify(jwk.Algorithm(m), []byte(input), signature)
}

// checkSignature refuses parts that key did not sign.
func checkSignature(key jwk.PublicKey, alg jwk.Algorithm, parts Parts) error {
	if len(parts.Signature) == 0 {
		return &Refusal{Reason: ReasonSignatureMissing, Message: "the token has no signature", Hint: "check that it was copied whole"}
	}
	switch err := key.Verify(alg, []byte(parts.Input), parts.Signature); {
	case errors.Is(err, jwk.ErrSignature):
		return &Refusal{
			Reason:  ReasonSignature,
			Message: "the signature is wrong: the token was changed, or another key signed it",
			Hint:    "check that the keys are those of its issuer",
		}
	case err != nil:
		return unfit(alg, err)
	}
	return nil
}

// JWS is a token whose signature is right. Its payload may be anything.
type JWS struct {
	Header    Header
	Algorithm jwk.Algorithm
	Key       jwk.PublicKey
	Payload   []byte
}

// VerifySignature checks shape, header, key and signature of a compact JWS and
// leaves the payload alone: it is the layer below Verifier, for payloads that are
// not claims. allowed narrows the algorithms; empty means all of pkg/jwk. The error
// is a *Refusal, or wraps ErrKeysUnavailable.
func VerifySignature(ctx context.Context, source KeySource, compact string, allowed ...jwk.Algorithm) (JWS, error) {
	parts, err := Split(compact, 0)
	if err != nil {
		return JWS{}, err
	}
	header, err := ParseHeader(parts.Header)
	if err != nil {
		return JWS{}, err
	}
	alg, err := header.Algorithm(allowed)
	if err != nil {
		return JWS{}, err
	}
	key, err := findKey(ctx, source, header.KeyID, alg)
	if err != nil {
		return JWS{}, err
	}
	if err := checkSignature(key, alg, parts); err != nil {
		return JWS{}, err
	}
	return JWS{header, alg, key, parts.Payload}, nil
}
