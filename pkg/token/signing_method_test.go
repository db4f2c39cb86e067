package token_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// TestSigningMethod makes and verifies a token of each algorithm with golang-jwt alone,
// once with our methods and once, for a token of Mint, with its own.
func TestSigningMethod(t *testing.T) {
	for _, alg := range jwk.Algorithms() {
		key := keys()[alg]
		unsigned := jwt.NewWithClaims(token.SigningMethod(alg), jwt.MapClaims{
			"iss": issuer, "aud": audience, "exp": now().Add(time.Hour).Unix(), "jti": "1",
		})
		unsigned.Header["kid"] = key.KeyID()
		compact, err := unsigned.SignedString(key)
		if err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		if _, err := verifier().Verify(t.Context(), compact); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		minted, err := token.Mint(t.Context(), minter(alg), token.Request{Issuer: issuer})
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := jwt.Parse(minted.Compact, func(*jwt.Token) (any, error) { return key.Public().Material(), nil }, jwt.WithTimeFunc(now))
		if err != nil || parsed.Header["kid"] != key.KeyID() {
			t.Errorf("%s: golang-jwt refuses a minted token: %v", alg, err)
			continue
		}
		end := strings.LastIndexByte(minted.Compact, '.')
		if err := unsigned.Method.Verify(minted.Compact[:end], parsed.Signature, key.Public()); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		if err := unsigned.Method.Verify(minted.Compact[:end]+"x", parsed.Signature, key.Public()); err == nil {
			t.Errorf("%s: verified a changed token", alg)
		}
	}
}

// TestOnlySigningMethodSigns checks the source: golang-jwt and SigningMethod make and
// verify every signature of this package.
func TestOnlySigningMethodSigns(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "signing_method.go" {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source += string(data)
	}
	for _, call := range []string{"jwt.NewWithClaims(SigningMethod(", ".SignedString(key)", "jwt.SigningMethod(SigningMethod(alg)).Verify("} {
		if !strings.Contains(source, call) {
			t.Errorf("nothing calls %s", call)
		}
	}
	for _, call := range []string{"key.Sign(", "key.Verify("} {
		if strings.Contains(source, call) {
			t.Errorf("%s is called without golang-jwt", call)
		}
	}
}

func TestSigningMethodRefusesOtherKeys(t *testing.T) {
	secret := []byte("secret")
	for _, key := range []any{nil, secret, string(secret), jwk.PrivateKey{}, keys()[jwk.ES256], keys()[jwk.RS512], keys()[jwk.RS256].Public()} {
		_, err := token.SigningMethod(jwk.RS256).Sign("input", key)
		if err == nil || !strings.Contains(err.Error(), "RS256") || strings.Contains(err.Error(), string(secret)) {
			t.Errorf("%T signs: %v", key, err)
		}
	}
	for name, want := range map[string]string{"": "unknown", "none": "unknown", "HS256": "unknown", "Ed25519": ""} {
		_, err := token.SigningMethod(name).Sign("input", keys()[jwk.EdDSA])
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
	signature, err := keys()[jwk.RS256].Sign([]byte("input"))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []any{nil, secret, string(secret), jwk.PublicKey{}, keys()[jwk.RS512].Public(), keys()[jwk.RS256]} {
		err := token.SigningMethod(jwk.RS256).Verify("input", signature, key)
		if err == nil || strings.Contains(err.Error(), string(secret)) {
			t.Errorf("%T verifies: %v", key, err)
		}
	}
}
