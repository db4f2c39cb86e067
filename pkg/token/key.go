package token

import (
	"context"
	"errors"
	"fmt"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// KeySource finds public keys; keys.Ring and remote.Source satisfy it.
type KeySource interface {
	// Keys returns the keys that may verify a token with this kid ("" if the token
	// has no kid), or no keys if the kid is unknown. If the key is known but expired
	// or revoked, the error has a method Withdrawn() string that says which. If the key
	// is known but cannot be used, the error has a method Unusable() string that says
	// why. Any other error means that keys could not be obtained.
	Keys(ctx context.Context, kid string) ([]jwk.PublicKey, error)
}

// ErrKeysUnavailable means that keys could not be obtained, so the token was neither
// accepted nor refused. A later attempt may succeed.
var ErrKeysUnavailable = errors.New("keys could not be obtained")

// findKey gets the keys with this kid from the source and selects one.
func findKey(ctx context.Context, source KeySource, kid string, alg jwk.Algorithm) (jwk.PublicKey, error) {
	candidates, err := source.Keys(ctx, kid)
	if withdrawn, ok := errors.AsType[interface {
		error
		Withdrawn() string
	}](err); ok {
		return jwk.PublicKey{}, &Refusal{
			Reason:  ReasonKeyWithdrawn,
			Message: fmt.Sprintf("key %s was withdrawn: %s", quote(kid), withdrawn.Withdrawn()),
			Hint:    "get a new token",
		}
	}
	if unusable, ok := errors.AsType[interface {
		error
		Unusable() string
	}](err); ok {
		message := fmt.Sprintf("key %s cannot be used: %s", quote(kid), unusable.Unusable())
		if kid == "" {
			message = fmt.Sprintf("no key can be used: %v", err)
		}
		return jwk.PublicKey{}, &Refusal{Reason: ReasonKeyUnusable, Message: message, Hint: "have the issuer correct its JWK Set"}
	}
	if err != nil {
		return jwk.PublicKey{}, fmt.Errorf("%w: %w", ErrKeysUnavailable, err)
	}
	return SelectKey(candidates, kid, alg)
}

// SelectKey returns the one candidate that may verify alg. It skips candidates with
// another kty, curve, size, alg, use or key_ops, because keys of different types may
// share a kid (RFC 7517, section 4.5). If two different candidates remain, the token is
// refused: SelectKey never tries one key after another.
func SelectKey(candidates []jwk.PublicKey, kid string, alg jwk.Algorithm) (jwk.PublicKey, error) {
	if len(candidates) == 0 {
		return jwk.PublicKey{}, noKey(kid)
	}
	var selected jwk.PublicKey
	var mismatch error
	matches := 0
	for _, candidate := range candidates {
		if err := candidate.CheckAlgorithm(alg); err != nil {
			mismatch = err
			continue
		}
		// Some providers list a key twice, also with different kid, alg or use.
		if matches == 0 || candidate.Thumbprint() != selected.Thumbprint() {
			selected = candidate
			matches++
		}
	}
	switch matches {
	case 1:
		return selected, nil
	case 0:
		return jwk.PublicKey{}, wrongKey(alg, mismatch)
	default:
		return jwk.PublicKey{}, ambiguous(matches, kid)
	}
}

func wrongKey(alg jwk.Algorithm, why error) error {
	return &Refusal{
		Reason:  ReasonAlgUnfit,
		Message: fmt.Sprintf("the key cannot verify alg %s: %v", alg, why),
		Hint:    "have the issuer sign with the alg of its key",
	}
}

func noKey(kid string) error {
	if kid == "" {
		return &Refusal{
			Reason:  ReasonKidMissing,
			Message: "the token has no kid, and there are no keys to choose from",
			Hint:    "check that the keys are those of its issuer",
		}
	}
	return &Refusal{
		Reason:  ReasonKidUnknown,
		Message: fmt.Sprintf("no key has kid %s", quote(kid)),
		Hint:    "check that the keys are those of its issuer",
	}
}

func ambiguous(n int, kid string) error {
	if kid == "" {
		return &Refusal{
			Reason:  ReasonKidAmbiguous,
			Message: fmt.Sprintf("the token has no kid, and %d keys match its alg", n),
			Hint:    "have the issuer set kid, or pass one key only",
		}
	}
	return &Refusal{
		Reason:  ReasonKidAmbiguous,
		Message: fmt.Sprintf("%d keys for this alg have kid %s", n, quote(kid)),
		Hint:    "have the issuer give each key its own kid",
	}
}
