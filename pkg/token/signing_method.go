package token

import (
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
