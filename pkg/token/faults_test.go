package token_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/fault"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
	"github.com/jwksctl/jwksctl/pkg/token"
)

var update = flag.Bool("update", false, "rewrite the golden file")

// gallery returns the tokens of pkg/fault, made with the keys of these tests.
var gallery = sync.OnceValue(func() fault.Gallery {
	in := fault.Input{
		Key: keys()[jwk.RS256], Now: now(),
		Request: token.Request{Issuer: issuer, Subject: "alice", Audience: []string{audience}, TTL: 2 * time.Hour},
	}
	for i, key := range []*jwk.PrivateKey{&in.Attacker, &in.Retired, &in.Expired, &in.Revoked} {
		var err error
		if *key, err = keystest.RSA(jwk.RS256, i); err != nil {
			panic(err)
		}
	}
	for _, alg := range jwk.Algorithms()[1:] {
		in.Others = append(in.Others, keys()[alg])
	}
	g, err := fault.NewGallery(in)
	if err != nil {
		panic(err)
	}
	return g
})

// gallerySource is the KeySource of the gallery.
type gallerySource struct{ fault.Gallery }

func (s gallerySource) Keys(ctx context.Context, kid string) ([]jwk.PublicKey, error) {
	for _, w := range s.Manifest.Withdrawn {
		if w.KeyID == kid {
			return nil, withdrawn(w.State)
		}
	}
	return set{s.Gallery.Keys}.Keys(ctx, kid)
}

// TestFaults verifies the whole gallery. Every verdict must be the one that the
// catalogue demands, and the golden file pins the reasons: a token that is refused for
// another reason than its fault does not test the guard against that fault.
func TestFaults(t *testing.T) {
	if left := gallery().Manifest.LeftOut; len(left) > 0 {
		t.Fatalf("the gallery is incomplete: %v", left)
	}
	v := verifier()
	v.Keys, v.Leeway = gallerySource{gallery()}, 30*time.Second
	var lines string
	for _, entry := range gallery().Manifest.Cases {
		v.Profile = entry.Profile
		compact := gallery().Tokens[entry.File]
		verdict, err := v.Verify(t.Context(), compact)
		if answer := entry.Answer; answer != "either" && verdict.Valid != (answer == "accept") {
			t.Errorf("%s: want %s, got %v", entry.Name, answer, err)
		}
		if err != nil {
			checkRefusal(t, entry.Name, compact, verdict, err)
		}
		lines += entry.Name
		for _, failed := range verdict.Errors {
			lines += " " + string(failed.Reason)
		}
		lines += "\n"
	}
	const path = "testdata/reasons.golden"
	if *update {
		if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), lines); diff != "" {
		t.Errorf("%s (-want +got):\n%s\nif this is right, run the test with -update", path, diff)
	}
}

// TestOneKey verifies a token without kid against a set with one key.
func TestOneKey(t *testing.T) {
	v := verifier()
	v.Keys = source(keys()[jwk.RS256].Public())
	if _, err := v.Verify(t.Context(), gallery().Tokens["ok-kid-missing.jwt"]); err != nil {
		t.Error(err)
	}
}

// withdrawn is the error for a key that is expired or revoked.
type withdrawn string

func (w withdrawn) Error() string     { return "key withdrawn" }
func (w withdrawn) Withdrawn() string { return string(w) }

// reasonOf returns the reason of a refusal, or "" if err is nil.
func reasonOf(t *testing.T, err error) token.Reason {
	t.Helper()
	if err == nil {
		return ""
	}
	refusal, ok := errors.AsType[*token.Refusal](err)
	if !ok {
		t.Fatalf("not a refusal: %v", err)
	}
	return refusal.Reason
}
