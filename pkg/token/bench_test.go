package token_test

import (
	"testing"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// BenchmarkVerify compares Verify with the verification of the signature alone.
func BenchmarkVerify(b *testing.B) {
	for _, alg := range []jwk.Algorithm{jwk.RS256, jwk.ES256, jwk.EdDSA} {
		key := keys()[alg].Public()
		compact := good(alg).String()
		parts, err := token.Split(compact, 0)
		if err != nil {
			b.Fatal(err)
		}
		v := verifier()
		v.Keys = source(key)
		b.Run(string(alg)+"/raw", func(b *testing.B) {
			for b.Loop() {
				if err := key.Verify(alg, []byte(parts.Input), parts.Signature); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(alg)+"/token", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), compact); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMint compares Mint with the signature alone.
func BenchmarkMint(b *testing.B) {
	for _, alg := range []jwk.Algorithm{jwk.RS256, jwk.ES256, jwk.EdDSA} {
		key := keys()[alg]
		input := []byte(good(alg).input())
		request := token.Request{Issuer: issuer, Subject: "alice", Audience: []string{audience}}
		b.Run(string(alg)+"/raw", func(b *testing.B) {
			for b.Loop() {
				if _, err := key.Sign(input); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(alg)+"/token", func(b *testing.B) {
			for b.Loop() {
				if _, err := token.Mint(b.Context(), minter(alg), request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
