package token_test

import (
	"testing"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// BenchmarkVerify sets the whole of Verify beside the bare check of the signature.
func BenchmarkVerify(b *testing.B) {
	for _, alg := range []jwk.Algorithm{jwk.RS256, jwk.ES256, jwk.EdDSA} {
		draft := good(alg)
		key := keys()[alg].Public()
		input := draft.input()
		signature := draft.sign(input)
		compact := input + "." + b64(signature)
		v := verifier()
		v.Keys = source(key)
		b.Run(string(alg)+"/raw", func(b *testing.B) {
			for b.Loop() {
				if err := key.Verify(alg, []byte(input), signature); err != nil {
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

// BenchmarkMint sets the whole of Mint beside the bare signature.
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
