package token_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// oneKey is a Signer with one key, whose tokens expire within 15 minutes.
type oneKey struct{ key jwk.PrivateKey }

func (k oneKey) SigningKey(context.Context) (jwk.PrivateKey, time.Time, time.Time, error) {
	now := time.Now()
	return k.key, now, now.Add(15 * time.Minute), nil
}

// Mint a token, and verify it in a service that is https://api.example.
func Example() {
	key, err := jwk.Generate(jwk.ES256, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	minted, err := token.Mint(ctx, oneKey{key}, token.Request{
		Issuer: "https://issuer.example", Subject: "alice", Audience: []string{"https://api.example"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	verifier := token.Verifier{
		Keys:     source(key.Public()), // in a service: a *remote.Source
		Issuer:   []string{"https://issuer.example"},
		Audience: []string{"https://api.example"},
		Leeway:   30 * time.Second,
	}
	verdict, err := verifier.Verify(ctx, minted.Compact)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("hello", verdict.Claims["sub"])

	verifier.Audience = []string{"https://other.example"}
	_, err = verifier.Verify(ctx, minted.Compact)
	refusal, _ := errors.AsType[*token.Refusal](err)
	fmt.Println(refusal.Reason, "-", err)
	// Output:
	// hello alice
	// aud - the token is for "https://api.example", not for https://other.example: have the issuer name you in aud
}
