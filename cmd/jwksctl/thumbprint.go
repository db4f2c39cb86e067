package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// thumbprintURN is the prefix of RFC 9278, section 3.
const thumbprintURN = "urn:ietf:params:oauth:jwk-thumbprint:sha-256:"

func (a *app) newThumbprint() *cobra.Command {
	var out output
	var uri bool
	c := &cobra.Command{
		Use:   "thumbprint FILE | -",
		Short: "Print the thumbprint of a key, which is its kid in our JWK Set",
		Long: `Print the SHA-256 thumbprint of a key (RFC 7638). The key is PEM or a JWK,
detected from its content. A private key has the thumbprint of its public key.`,
		Example: `  jwksctl thumbprint public.pem
  jwksctl thumbprint --uri key.jwk
  openssl pkey -in key.pem -pubout | jwksctl thumbprint -`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().BoolVar(&uri, "uri", false, "print it as a URI (RFC 9278)")
	outputFlag(c, &out, "text")
	c.RunE = a.run(func(_ context.Context, args []string) error {
		data, err := a.read(strings.TrimPrefix(args[0], "@"))
		if err != nil {
			return usageError{err}
		}
		text, err := jwk.Thumbprint(data)
		if err != nil {
			return badUsage("%s: %v", args[0], err)
		}
		switch {
		case out.json:
			return a.printJSON(map[string]string{"thumbprint": text, "uri": thumbprintURN + text})
		case uri:
			a.print("%s\n", thumbprintURN+text)
		default:
			a.print("%s\n", text)
		}
		return nil
	})
	return c
}
