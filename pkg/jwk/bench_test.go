package jwk_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// BenchmarkSign sets this package ("jwk") beside the bare calls ("raw").
func BenchmarkSign(b *testing.B) {
	input := make([]byte, 300)
	for _, alg := range []jwk.Algorithm{jwk.RS256, jwk.ES256, jwk.EdDSA} {
		key, raw := private(b, alg), signer(b, file(alg))
		b.Run(string(alg)+"/jwk", func(b *testing.B) {
			for b.Loop() {
				if _, err := key.Sign(input); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(alg)+"/raw", func(b *testing.B) {
			for b.Loop() {
				if _, err := rawSign(raw, input); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func rawSign(key crypto.Signer, input []byte) ([]byte, error) {
	if key, ok := key.(ed25519.PrivateKey); ok {
		return ed25519.Sign(key, input), nil
	}
	digest := sha256.Sum256(input)
	return key.Sign(rand.Reader, digest[:], crypto.SHA256)
}

// BenchmarkVerify sets this package ("jwk") beside the bare calls ("raw").
func BenchmarkVerify(b *testing.B) {
	input := make([]byte, 300)
	for _, alg := range []jwk.Algorithm{jwk.RS256, jwk.ES256, jwk.EdDSA} {
		key, raw := private(b, alg), signer(b, file(alg))
		ours, err := key.Sign(input)
		if err != nil {
			b.Fatal(err)
		}
		theirs, err := rawSign(raw, input)
		if err != nil {
			b.Fatal(err)
		}
		public := key.Public()
		b.Run(string(alg)+"/jwk", func(b *testing.B) {
			for b.Loop() {
				if err := public.Verify(alg, input, ours); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(alg)+"/raw", func(b *testing.B) {
			for b.Loop() {
				if !rawVerify(raw.Public(), input, theirs) {
					b.Fatal("wrong signature")
				}
			}
		})
	}
}

func rawVerify(key crypto.PublicKey, input, signature []byte) bool {
	digest := sha256.Sum256(input)
	switch key := key.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, digest[:], signature)
	case ed25519.PublicKey:
		return ed25519.Verify(key, input, signature)
	default:
		return false
	}
}

// BenchmarkSetMarshal is the cost of the bytes of a JWK Set.
func BenchmarkSetMarshal(b *testing.B) {
	key := private(b, jwk.RS256).Public()
	for _, n := range []int{1, 4, 16} {
		var set jwk.Set
		for range n {
			set.Keys = append(set.Keys, key)
		}
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := json.Marshal(set); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
