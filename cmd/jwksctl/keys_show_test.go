package main

import (
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

func TestAmbiguousPrefix(t *testing.T) {
	now := time.Now()
	byPrefix := map[string]jwk.PublicKey{} // of one character, so that two keys soon have the same
	for {
		private, err := newKey(jwk.EdDSA, 0)
		if err != nil {
			t.Fatal(err)
		}
		key := private.Public()
		prefix := key.KeyID()[:1]
		other, ok := byPrefix[prefix]
		if !ok {
			byPrefix[prefix] = key
			continue
		}
		ks := keys.Keyset{Keys: []keys.Key{{JWK: key, CreatedAt: now}, {JWK: other, CreatedAt: now}}}
		_, err = findKey(ks, prefix, now)
		if want := `"` + prefix + `" matches 2 keys: use a longer prefix`; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if k, err := findKey(ks, key.KeyID(), now); err != nil || k.KeyID() != key.KeyID() {
			t.Errorf("the whole kid finds %s, %v", k.KeyID(), err)
		}
		return
	}
}
