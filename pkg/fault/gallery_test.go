package fault_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/fault"
	"github.com/jwksctl/jwksctl/pkg/jwk"
)

func mustSigner(t *testing.T, der []byte) crypto.Signer {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return key.(crypto.Signer)
}

// TestFiles reads a gallery from its files: every case has a file, there are no other
// files, and the JWK Set contains the keys that the manifest promises.
func TestFiles(t *testing.T) {
	g := mustGallery(t)
	files, err := g.Files()
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Version                             int
		Time, Issuer, Subject, JWKS, Canary string
		Audience                            []string
		Withdrawn                           []fault.Withdrawn
		Cases                               []struct{ File, Answer, Name, Group, Differs, Verdict, Tier string }
	}
	decoder := json.NewDecoder(bytes.NewReader(files[fault.ManifestFile]))
	if err := decoder.Decode(&manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.Version != 1 || manifest.Time != "2030-03-04T12:00:00Z" || manifest.Issuer != issuer || manifest.Subject != "alice" ||
		manifest.JWKS != fault.KeysFile || manifest.Canary != fault.DefaultCanary || len(manifest.Audience) != 1 {
		t.Errorf("manifest: %+v", manifest)
	}
	for _, c := range manifest.Cases {
		if len(files[c.File]) == 0 || !strings.HasPrefix(c.Verdict, c.Answer) || c.Name == "" || c.Group == "" || c.Differs == "" || c.Tier == "" {
			t.Errorf("incomplete: %+v", c)
		}
	}
	if len(files) != len(manifest.Cases)+2 || len(manifest.Cases) != len(fault.Cases()) {
		t.Errorf("%d files for %d cases of %d", len(files), len(manifest.Cases), len(fault.Cases()))
	}
	set, problems, err := jwk.ParseSet(files[manifest.JWKS])
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	for _, w := range manifest.Withdrawn {
		if len(set.ByKeyID(w.KeyID)) > 0 {
			t.Errorf("the %s key is published", w.State)
		}
	}
	if kid := input().Attacker.KeyID(); len(set.ByKeyID(kid)) > 0 {
		t.Error("the attacker's key is published")
	}
	// Tokens name the algorithm of the Ed25519 key EdDSA or Ed25519, so the key has no alg.
	for _, key := range set.Keys {
		if _, ed25519 := key.Material().(ed25519.PublicKey); ed25519 != (key.Algorithm() == "") {
			t.Errorf("a key has alg %q: %v", key.Algorithm(), key)
		}
	}
	if len(manifest.Withdrawn) != 2 || len(set.Keys) != len(jwk.Algorithms())+2 {
		t.Errorf("%d keys published, withdrawn %v", len(set.Keys), manifest.Withdrawn)
	}
}

// TestRepeatable makes each token twice. The tokens are the same, unless the algorithm is
// randomized.
func TestRepeatable(t *testing.T) {
	random := "ecdsa eddsa-s-plus-l pss-salt jwe ok-each-alg alg-same-key-other"
	g := mustGallery(t)
	for _, c := range fault.Cases() {
		again, err := c.Make(input())
		if err != nil {
			t.Fatal(err)
		}
		same := again == g.Tokens[strings.ReplaceAll(c.Name, "/", ".")+".jwt"]
		exempt := false
		for prefix := range strings.FieldsSeq(random) {
			exempt = exempt || strings.HasPrefix(c.Name, prefix)
		}
		if !same && !exempt {
			t.Errorf("%s is a different token each time", c.Name)
		}
	}
}

// TestLeftOut makes a gallery with a key that cannot be exported. Only the cases that
// need the exported key are left out, with the reason.
func TestLeftOut(t *testing.T) {
	in := input()
	in.Key = notExportable(t, in.Key)
	g, err := fault.NewGallery(in)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, left := range g.Manifest.LeftOut {
		names = append(names, left.Name)
		if left.Reason != left.Name+" needs a key that can be exported from its signer" {
			t.Errorf("reason: %s", left.Reason)
		}
	}
	want := []string{"alg-same-key-other/padding", "alg-same-key-other/hash", "rsa-padding/digest-info"}
	if diff := cmp.Diff(want, names); diff != "" || len(g.Manifest.Cases)+len(want) != len(fault.Cases()) {
		t.Errorf("left out of %d (-want +got):\n%s", len(fault.Cases()), diff)
	}
}

// TestGalleryRefuses makes no gallery from an invalid request.
func TestGalleryRefuses(t *testing.T) {
	in := input()
	in.Request.Claims = map[string]any{"exp": 1}
	if g, err := fault.NewGallery(in); err == nil || g.Tokens != nil {
		t.Errorf("made %d tokens: %v", len(g.Tokens), err)
	}
}
