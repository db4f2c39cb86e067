package remote

import (
	"context"
	"fmt"
	"slices"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// Static is a source of the keys of a JWK Set that was read already, from a file for
// example. Make one with the results of jwk.ParseSet.
type Static struct {
	Set      jwk.Set
	Problems []jwk.Problem // the keys that cannot be used
}

// Keys returns the keys with this kid, or all for "". Errors: *UnusableError,
// ErrUnavailable if the set has no key at all.
func (s Static) Keys(_ context.Context, kid string) ([]jwk.PublicKey, error) {
	if len(s.Set.Keys) == 0 && len(s.Problems) == 0 {
		return nil, fmt.Errorf("the keys are %w: the JWK Set is empty", ErrUnavailable)
	}
	return find(s.Set.Keys, s.Problems, kid)
}

// UnusableError says that the set has the key that was looked for, but that it cannot be
// used.
type UnusableError struct{ Problem jwk.Problem }

// Error names the key and the reason.
func (e *UnusableError) Error() string { return e.Problem.String() }

// Unusable returns the reason.
func (e *UnusableError) Unusable() string { return e.Problem.Err.Error() }

// find returns the keys that may have signed under kid. A token without a kid may be
// signed by any key. A key without a kid is not found by one.
func find(keys []jwk.PublicKey, problems []jwk.Problem, kid string) ([]jwk.PublicKey, error) {
	found := slices.Clone(keys)
	if kid != "" {
		found = jwk.Set{Keys: keys}.ByKeyID(kid)
	}
	if len(found) > 0 {
		return found, nil
	}
	i := slices.IndexFunc(problems, func(p jwk.Problem) bool { return kid == "" || p.KeyID == kid })
	if i < 0 {
		return nil, nil
	}
	return nil, &UnusableError{problems[i]}
}
