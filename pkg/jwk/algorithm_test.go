package jwk_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

func TestTable(t *testing.T) {
	rsa := []int{2048, 3072, 4096}
	want := []struct {
		Name, KeyType string
		Sizes         []int
		DefaultSize   int
	}{
		{"RS256", "RSA", rsa, 2048},
		{"RS384", "RSA", rsa, 2048},
		{"RS512", "RSA", rsa, 2048},
		{"PS256", "RSA", rsa, 2048},
		{"PS384", "RSA", rsa, 2048},
		{"PS512", "RSA", rsa, 2048},
		{"ES256", "EC", nil, 256},
		{"ES384", "EC", nil, 384},
		{"ES512", "EC", nil, 521},
		{"EdDSA", "OKP", nil, 256},
	}
	got := want[:0:0]
	for _, alg := range jwk.Algorithms() {
		row := want[0]
		row.Name, row.KeyType, row.Sizes, row.DefaultSize = alg.String(), alg.KeyType(), alg.Sizes(), alg.DefaultSize()
		got = append(got, row)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestParseAlgorithm(t *testing.T) {
	for _, alg := range jwk.Algorithms() {
		if got, err := jwk.ParseAlgorithm(string(alg)); got != alg || err != nil {
			t.Errorf("ParseAlgorithm(%q) = %q, %v", alg, got, err)
		}
	}
	if got, err := jwk.ParseAlgorithm("Ed25519"); got != jwk.EdDSA || err != nil {
		t.Errorf("ParseAlgorithm(Ed25519) = %q, %v, want EdDSA", got, err)
	}
	for _, bad := range []string{"", "rs256", "RS256 ", "HS256", "none", "Ed448", "ES256K", "eddsa"} {
		got, err := jwk.ParseAlgorithm(bad)
		if err == nil {
			t.Errorf("ParseAlgorithm(%q) = %q, want an error", bad, got)
			continue
		}
		for _, alg := range jwk.Algorithms() {
			if !strings.Contains(err.Error(), string(alg)) {
				t.Errorf("ParseAlgorithm(%q): the error %q does not name %s", bad, err, alg)
			}
		}
	}
}

func TestAlgorithmInJSON(t *testing.T) {
	var got struct{ Alg jwk.Algorithm }
	if err := json.Unmarshal([]byte(`{"alg":"Ed25519"}`), &got); err != nil || got.Alg != jwk.EdDSA {
		t.Errorf("Ed25519 gave %q, %v", got.Alg, err)
	}
	if err := json.Unmarshal([]byte(`{"alg":"HS256"}`), &got); err == nil {
		t.Error("HS256 was accepted")
	}
}

func TestUnknownAlgorithm(t *testing.T) {
	alg := jwk.Algorithm("HS256")
	if alg.KeyType() != "" || alg.Sizes() != nil || alg.DefaultSize() != 0 {
		t.Errorf("an unknown algorithm has key type %q, sizes %v, default %d", alg.KeyType(), alg.Sizes(), alg.DefaultSize())
	}
	key := private(t, jwk.RS256)
	if _, err := jwk.NewPublicKey(alg, key.Public().Material()); err == nil {
		t.Error("NewPublicKey accepted it")
	}
	if _, err := jwk.Generate(alg, 0); err == nil {
		t.Error("Generate accepted it")
	}
	if err := key.Public().Verify(alg, nil, nil); err == nil {
		t.Error("Verify accepted it")
	}
}
