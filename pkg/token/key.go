package token

import (
	"context"
	"errors"
	"fmt"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// KeySource finds public keys; keys.Ring and remote.Source satisfy it.
type KeySource interface {
	// Keys returns the keys that may verify a token that names kid ("" when it
	// names none), none if the source knows no such key. A kid that the source
	// knows but withdrew (expired, revoked) is an error with a method
	// Withdrawn() string that says why; any other error means that keys could not
	// be obtained.
	Keys(ctx context.Context, kid string) ([]jwk.PublicKey, error)
}

// ErrKeysUnavailable says that keys could not be obtained, so that nothing is known
// of the token. The attempt may be repeated.
var ErrKeysUnavailable = errors.New("keys could not be obtained")

// findKey asks the source and selects.
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
	if err != nil {
		return jwk.PublicKey{}, fmt.Errorf("%w: %w", ErrKeysUnavailable, err)
	}
	return SelectKey(candidates, kid, alg)
}

// SelectKey returns the one candidate that may verify alg. Candidates of another
// kty, curve, size, alg, use or key_ops are passed over: sets with decoys under one
// kid are lawful (RFC 7517, section 4.5). Two that fit are one too many, with or
// without a kid, even if they are equal: nothing is ever tried in turn.
func SelectKey(candidates []jwk.PublicKey, kid string, alg jwk.Algorithm) (jwk.PublicKey, error) {
	if len(candidates) == 0 {
		return jwk.PublicKey{}, noKey(kid)
	}
	var found jwk.PublicKey
	var misfit error
	fitting := 0
	for _, candidate := range candidates {
		if err := candidate.Fits(alg); err != nil {
			misfit = err
			continue
		}
		found = candidate
		fitting++
	}
	switch fitting {
	case 1:
		return found, nil
	case 0:
		return jwk.PublicKey{}, unfit(alg, misfit)
	default:
		return jwk.PublicKey{}, ambiguous(fitting, kid)
	}
}

func unfit(alg jwk.Algorithm, why error) error {
	return &Refusal{
		Reason:  ReasonAlgUnfit,
		Message: fmt.Sprintf("%s does not fit the key: %v", alg, why),
		Hint:    "the key decides which alg its tokens have",
	}
}

func noKey(kid string) error {
	if kid == "" {
		return &Refusal{
			Reason:  ReasonKidMissing,
			Message: "the token has no kid, and there is no key that it could mean",
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
			Message: fmt.Sprintf("the token has no kid, and %d keys could be meant", n),
			Hint:    "have the issuer set kid, or give one key only",
		}
	}
	return &Refusal{
		Reason:  ReasonKidAmbiguous,
		Message: fmt.Sprintf("%d keys for the same alg have kid %s", n, quote(kid)),
		Hint:    "have the issuer give each key its own kid",
	}
}
