package token_test

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// TestSigningMethod has golang-jwt make a token with each algorithm.
func TestSigningMethod(t *testing.T) {
	for _, alg := range jwk.Algorithms() {
		key := keys()[alg]
		made := jwt.NewWithClaims(token.SigningMethod(alg), jwt.MapClaims{
			"iss": issuer, "aud": audience, "exp": moment().Add(time.Hour).Unix(), "jti": "1",
		})
		made.Header["kid"] = key.KeyID()
		compact, err := made.SignedString(key)
		if err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		if _, err := verifier().Verify(t.Context(), compact); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		parts, err := token.Split(compact, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := made.Method.Verify(parts.Input, parts.Signature, key.Public()); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		if err := made.Method.Verify(parts.Input+"x", parts.Signature, key.Public()); err == nil {
			t.Errorf("%s: verified a changed token", alg)
		}
	}
}

func TestSigningMethodTakesNoOtherKeys(t *testing.T) {
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
