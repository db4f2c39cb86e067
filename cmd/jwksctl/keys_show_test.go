package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

func TestAmbiguousPrefix(t *testing.T) {
	var ks keys.Keyset
	for range 65 { // one more than there are first characters
		k, err := newKey(jwk.EdDSA, 0)
		if err != nil {
			t.Fatal(err)
		}
		ks.Keys = append(ks.Keys, keys.Key{JWK: k.Public()})
	}
	count := map[string]int{}
	for _, k := range ks.Keys {
		count[k.KeyID()[:1]]++
	}
	for prefix, n := range count {
		_, err := findKey(ks, prefix, time.Now())
		if want := fmt.Sprintf("%q matches %d keys: use a longer prefix", prefix, n); n > 1 && (err == nil || err.Error() != want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
