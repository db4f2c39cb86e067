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

// moment is the time at which every test runs.
func moment() time.Time { return time.Date(2030, time.March, 4, 12, 0, 0, 0, time.UTC) }

// ready returns the i-th ready-made RSA key.
func ready(alg jwk.Algorithm, i int) jwk.PrivateKey {
	key, err := keystest.RSA(alg, i)
	if err != nil {
		panic(err)
	}
	return key
}

// input is complete, so that no test waits for RSA keys to be made.
var input = sync.OnceValue(func() fault.Input {
	in := fault.Input{
		Key: ready(jwk.RS256, 0), Now: moment(),
		Request:  token.Request{Issuer: issuer, Subject: "alice", Audience: []string{audience}, TTL: 2 * time.Hour},
		Attacker: ready(jwk.RS256, 1), Retired: ready(jwk.RS256, 2), Expired: ready(jwk.RS256, 3), Revoked: ready(jwk.RS256, 4),
	}
	for i, alg := range []jwk.Algorithm{jwk.RS384, jwk.RS512, jwk.PS256, jwk.PS384, jwk.PS512} {
		in.Others = append(in.Others, ready(alg, 5+i))
	}
	in, err := in.Complete()
	if err != nil {
		panic(err)
	}
	return in
})

// gallery is made once: its tokens do not change.
var gallery = sync.OnceValues(func() (fault.Gallery, error) { return fault.NewGallery(input()) })

func mustGallery(t *testing.T) fault.Gallery {
	t.Helper()
	g, err := gallery()
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Manifest.LeftOut) > 0 {
		t.Fatalf("a complete input leaves nothing out, but: %v", g.Manifest.LeftOut)
	}
	return g
}

// source is a token.KeySource of a gallery: its JWK Set, and what was withdrawn.
type source struct{ fault.Gallery }

func (s source) Keys(_ context.Context, kid string) ([]jwk.PublicKey, error) {
	if kid == "" {
		return s.Gallery.Keys.Keys, nil
	}
	for _, w := range s.Manifest.Withdrawn {
		if w.KeyID == kid {
			return nil, withdrawn(w.State)
		}
	}
	return s.Gallery.Keys.ByKeyID(kid), nil
}

type withdrawn string

func (w withdrawn) Error() string     { return "the key was " + string(w) }
func (w withdrawn) Withdrawn() string { return string(w) }

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
