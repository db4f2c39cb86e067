package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

func (a *app) newJWKS() *cobra.Command {
	show := a.jwksCommand(&cobra.Command{
		Use:     "show",
		Short:   "Print the JWK Set as it is published now",
		Example: "  jwksctl jwks show > jwks.json",
		Args:    cobra.NoArgs,
	})
	c := a.jwksCommand(&cobra.Command{
		Use:   "jwks",
		Short: "Print the JWK Set as it is published now",
		Example: `  jwksctl jwks > jwks.json
  jwksctl jwks | jq -r '.keys[].kid'`,
		Args: noCommand,
	})
	c.AddCommand(show, a.newJWKSFetch(), a.newJWKSLint(), a.newJWKSDiff())
	return c
}

func (a *app) jwksCommand(c *cobra.Command) *cobra.Command {
	outputFlag(c, new(output), "json")
	return a.withSettings(c, a.jwksShow)
}

func (a *app) jwksShow(ctx context.Context, cfg settings, _ []string) error {
	ks, err := readKeyset(ctx, cfg)
	if err != nil {
		return err
	}
	return a.printJSON(jwk.Set{Keys: ks.Public(a.now())})
}
