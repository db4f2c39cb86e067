package token

import (
	"fmt"

	"github.com/golang-jwt/jwt/v5"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// SigningMethod is a golang-jwt signing method. [Mint] signs with it and [Verifier]
// verifies signatures with it. Unlike the methods of golang-jwt, it signs with a
// [jwk.PrivateKey], which may be any crypto.Signer, and verifies with a [jwk.PublicKey]:
// a string can never serve as a key, and a PSS salt must be as long as the hash.
// It is not registered with golang-jwt, so that the parser of golang-jwt goes on using
// its own methods.
type SigningMethod jwk.Algorithm

var _ jwt.SigningMethod = SigningMethod("")

// Alg returns the value of alg in the header.
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
