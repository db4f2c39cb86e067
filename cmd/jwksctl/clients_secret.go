package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"

	"github.com/spf13/cobra"
)

// secretPrefix begins each secret, so that scanners of repositories and logs find it.
const secretPrefix = "jwksctl_" //nolint:gosec // it is public

func (a *app) newClientsSecret() *cobra.Command {
	c := &cobra.Command{
		Use:   "secret",
		Short: "Make a secret for a client",
		Long: `Make a secret for a client: 256 random bits. Standard output is the secret and one newline,
and nothing keeps it. Standard error has the line to paste into the entry of the client. It is
the hash of the secret, and no secret itself.

To replace a secret, list the new hash beside the old one, give the client the new secret,
and then remove the old hash.`,
		Example: `  jwksctl clients secret
  (umask 077; jwksctl clients secret > billing.secret)`,
		Args: cobra.NoArgs,
	}
	c.RunE = a.run(func(context.Context, []string) error { return a.clientsSecret() })
	return c
}

func (a *app) clientsSecret() error {
	if othersMayRead(a.stdout) {
		return badUsage("other users may read the file that standard output goes to: use umask 077 and a new file")
	}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it never fails
	secret := secretPrefix + base64.RawURLEncoding.EncodeToString(random)
	a.print("%s\n", secret)
	a.printMessage("secret_sha256: [%x]", sha256.Sum256([]byte(secret)))
	return nil
}
