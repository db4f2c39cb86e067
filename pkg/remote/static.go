package remote

import (
	"context"
	"slices"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// Static is a source of keys that are at hand already, from a file for example:
//
//	remote.Static(set.Keys)
type Static []jwk.PublicKey

// Keys returns the keys with this kid, or all for "". It never fails.
func (s Static) Keys(_ context.Context, kid string) ([]jwk.PublicKey, error) {
	return find(s, kid), nil
}

// find returns the keys that may have signed under kid; a token that names none
// may be anybody's. A key without a kid answers to no name.
func find(keys []jwk.PublicKey, kid string) []jwk.PublicKey {
	if kid == "" {
		return slices.Clone(keys)
	}
	return jwk.Set{Keys: keys}.ByKeyID(kid)
}
