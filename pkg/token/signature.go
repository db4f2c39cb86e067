package token

import (
	"context"
	"errors"

	"github.com/golang-jwt/jwt/v5"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// checkSignature refuses parts that key did not sign.
func checkSignature(key jwk.PublicKey, alg jwk.Algorithm, parts Parts) error {
	if len(parts.Signature) == 0 {
		return &Refusal{Reason: ReasonSignatureMissing, Message: "the token has no signature", Hint: "check that it was copied whole"}
	}
	switch err := jwt.SigningMethod(SigningMethod(alg)).Verify(parts.Input, parts.Signature, key); {
	case errors.Is(err, jwk.ErrSignature):
		return &Refusal{
			Reason:  ReasonSignature,
			Message: "the signature is wrong: the token was changed, or another key signed it",
			Hint:    "check that the keys are those of its issuer",
		}
	case err != nil:
		return wrongKey(alg, err)
	}
	return nil
}

// JWS is a token whose signature is valid. Its payload can be any bytes.
type JWS struct {
	Header    Header
	Algorithm jwk.Algorithm
	Key       jwk.PublicKey
	Payload   []byte
}

// VerifySignature checks the encoding, header, key and signature of a compact JWS but
// does not read the payload, which need not be claims. allowed restricts the algorithms;
// if it is empty, all algorithms of pkg/jwk are allowed. The error is a *Refusal, or
// wraps ErrKeysUnavailable.
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
