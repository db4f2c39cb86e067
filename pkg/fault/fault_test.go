package fault_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/fault"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
	"github.com/jwksctl/jwksctl/pkg/token"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	issuer   = "https://issuer.example"
	audience = "https://api.example"
)

// now is the time of every test.
func now() time.Time { return time.Date(2030, time.March, 4, 12, 0, 0, 0, time.UTC) }

// rsaKey returns the i-th ready-made RSA key.
func rsaKey(alg jwk.Algorithm, i int) jwk.PrivateKey {
	key, err := keystest.RSA(alg, i)
	if err != nil {
		panic(err)
	}
	return key
}

// input returns a complete Input with ready-made RSA keys, which are slow to generate.
var input = sync.OnceValue(func() fault.Input {
	in := fault.Input{
		Key: rsaKey(jwk.RS256, 0), Now: now(),
		Request:  token.Request{Issuer: issuer, Subject: "alice", Audience: []string{audience}, TTL: 2 * time.Hour},
		Attacker: rsaKey(jwk.RS256, 1), Retired: rsaKey(jwk.RS256, 2), Expired: rsaKey(jwk.RS256, 3), Revoked: rsaKey(jwk.RS256, 4),
	}
	for i, alg := range []jwk.Algorithm{jwk.RS384, jwk.RS512, jwk.PS256, jwk.PS384, jwk.PS512} {
		in.Others = append(in.Others, rsaKey(alg, 5+i))
	}
	in, err := in.Complete()
	if err != nil {
		panic(err)
	}
	return in
})

// gallery returns the gallery of input().
var gallery = sync.OnceValues(func() (fault.Gallery, error) { return fault.NewGallery(input()) })

func mustGallery(t *testing.T) fault.Gallery {
	t.Helper()
	g, err := gallery()
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Manifest.LeftOut) > 0 {
		t.Fatalf("cases are left out of a complete gallery: %v", g.Manifest.LeftOut)
	}
	return g
}

// keySource is a token.KeySource.
type keySource struct{ jwk.Set }

func (k keySource) Keys(_ context.Context, kid string) ([]jwk.PublicKey, error) {
	if kid == "" {
		return k.Set.Keys, nil
	}
	return k.ByKeyID(kid), nil
}

// golden compares got with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s\nif this is right, run the test with -update", path, diff)
	}
}
