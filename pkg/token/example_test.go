package token_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// clockwork is the smallest Signer: one key, and tokens of at most a quarter of an hour.
type clockwork struct{ key jwk.PrivateKey }

func (c clockwork) SigningKey(context.Context) (jwk.PrivateKey, time.Time, time.Time, error) {
	now := time.Now()
	return c.key, now, now.Add(15 * time.Minute), nil
}

// A service that takes tokens for https://api.example.
func Example() {
	key, err := jwk.Generate(jwk.ES256, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	minted, err := token.Mint(ctx, clockwork{key}, token.Request{
		Issuer: "https://issuer.example", Subject: "alice", Audience: []string{"https://api.example"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	verifier := token.Verifier{
		Keys:     source(key.Public()), // in a service: a *remote.Source
		Issuer:   "https://issuer.example",
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
