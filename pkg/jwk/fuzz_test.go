package jwk_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// FuzzPublicKey searches for a JWK that is accepted, but changes when it is written
// and read again, or makes a method panic.
func FuzzPublicKey(f *testing.F) {
	for _, alg := range jwk.Algorithms() {
		f.Add(toJSON(f, private(f, alg).Public()))
	}
	f.Add([]byte(`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","key_ops":[],"kid":"\u0000"}`))
	f.Add([]byte(`{"kty":"EC","crv":"P-256","x":"","y":"","d":""}`))
	f.Add([]byte(`{"kty":"RSA","n":"AQAB","e":"AQAB","x5c":["AAAA"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var key jwk.PublicKey
		if key.UnmarshalJSON(data) != nil {
			return
		}
		checkKey(t, key)
	})
}

// checkKey checks a key that a parser accepted.
func checkKey(t *testing.T, key jwk.PublicKey) {
	t.Helper()
	var back jwk.PublicKey
	if err := back.UnmarshalJSON(toJSON(t, key)); err != nil || !back.Equal(key) {
		t.Fatalf("JSON changed the key to %v, %v", back, err)
	}
	text, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	if parsed, err := jwk.Parse(text); err != nil || parsed.Thumbprint() != key.Thumbprint() {
		t.Fatalf("PEM changed the key to %v, %v", parsed, err)
	}
	for _, alg := range jwk.Algorithms() {
		if key.Verify(alg, nil, make([]byte, 256)) == nil {
			t.Fatalf("%s: a signature of zeros is accepted", alg)
		}
	}
}

func FuzzSet(f *testing.F) {
	var set jwk.Set
	for _, alg := range jwk.Algorithms() {
		set.Keys = append(set.Keys, private(f, alg).Public())
	}
	f.Add(toJSON(f, set))
	f.Add([]byte(`{"keys":[{"kty":"AKP"},null,7,{"kid":1}]}`))
	f.Add([]byte(`{"keys":[],"keys":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, problems, err := jwk.ParseSet(data)
		findings := jwk.Lint(data)
		if notASet := len(findings) > 0 && findings[0].Rule == jwk.RuleNotASet; notASet != (err != nil) {
			t.Fatal("only one of Lint and ParseSet accepts the set")
		}
		if err != nil {
			if set.Keys != nil || problems != nil {
				t.Fatal("ParseSet returned both keys and an error")
			}
			return
		}
		again, none, err := jwk.ParseSet(toJSON(t, set))
		if err != nil || none != nil || !bytes.Equal(toJSON(t, again), toJSON(t, set)) {
			t.Fatalf("JSON changed the set: %v, %v", none, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	names, err := filepath.Glob("testdata/*.pem")
	if err != nil || names == nil {
		f.Fatal("no fixtures", err)
	}
	for _, name := range names {
		f.Add(fixture(f, filepath.Base(name)))
	}
	f.Add([]byte(`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		public, err := jwk.Parse(data)
		if err == nil {
			checkKey(t, public)
		}
		key, err := jwk.ParsePrivate("", data)
		if err != nil {
			return
		}
		if key.Public().Thumbprint() != public.Thumbprint() {
			t.Fatal("Parse and ParsePrivate return different keys")
		}
		signature, err := key.Sign(data)
		if err != nil {
			t.Fatal(err)
		}
		if err := key.Public().Verify(key.Algorithm(), data, signature); err != nil {
			t.Fatal(err)
		}
	})
}
