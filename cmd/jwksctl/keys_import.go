package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

type keysImportOptions struct {
	out output
	alg string
}

func (a *app) newKeysImport() *cobra.Command {
	var o keysImportOptions
	c := &cobra.Command{
		Use:   "import FILE | -",
		Short: "Import a private key as the next one to sign",
		Long: `Import a private key as the pending key, in place of the one that jwksctl generated. It
is published at once and signs when caches have it, like any other key. The file is PEM
(PKCS#8, PKCS#1 or SEC 1, not encrypted) or a JWK; its content decides. Its kid will be
its thumbprint, also if a JWK has another one. If the store is empty, 'jwksctl serve
--import-key FILE' creates the keys with yours as the active one.

The file stays where it is: delete it.`,
		Example: `  jwksctl keys import key.pem --alg PS256
  vault kv get -field=key secret/jwt | jwksctl keys import -
  jwksctl keys import key.jwk && jwksctl keys plan`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&o.alg, "alg", "", "algorithm to sign with; default: what a JWK says, or RS256 for an RSA key")
	completeAlgorithms(c, "alg")
	outputFlag(c, &o.out, "text")
	return a.withAudit(c, func(ctx context.Context, cfg settings, args []string) error {
		return a.keysImport(ctx, cfg, o, args[0])
	})
}

func (a *app) keysImport(ctx context.Context, cfg settings, o keysImportOptions, name string) error {
	var alg jwk.Algorithm
	if o.alg != "" {
		var err error
		if alg, err = jwk.ParseAlgorithm(o.alg); err != nil {
			return badUsage("--alg: %v", err)
		}
	}
	data, err := a.read(strings.TrimPrefix(name, "@"))
	if err != nil {
		return usageError{err}
	}
	key, err := jwk.ParsePrivate(alg, data)
	if err == nil {
		err = key.CheckSign()
	}
	if err != nil {
		return badUsage("%s: %v", name, err)
	}
	if other := otherKid(data, key); other != "" {
		a.printMessage("the kid %s is not kept: the key's kid will be its thumbprint %s", printable(other), key.KeyID())
	}
	ring, err := openRing(ctx, cfg)
	if errors.Is(err, keys.ErrNoKeyset) {
		return fmt.Errorf("%w; with --import-key FILE it has this key", err)
	}
	if err != nil {
		return err
	}
	defer func() { _ = ring.Close() }() // each write is committed when it is made
	before := ring.Keyset()
	if err := ring.Import(ctx, key); err != nil {
		return err
	}
	after := ring.Keyset()
	k, err := findKey(after, key.KeyID(), a.now())
	if err != nil {
		return err
	}
	var replaced string
	if p, ok := before.Pending(); ok && p.KeyID() != k.KeyID() {
		replaced = p.KeyID()
	}
	if o.out.json {
		return a.printJSON(struct {
			Imported keyRow `json:"imported"`
			Replaced string `json:"replaced,omitempty"`
		}{rowOf(k, after, a.now()), replaced})
	}
	a.print("%s\n", k.KeyID())
	a.printMessage("%s (%s) is pending; it may sign from %s on", k.KeyID(), k.JWK.Algorithm(), k.ReadyAt.UTC().Format(time.RFC3339))
	if replaced != "" {
		a.printMessage("%s, which never signed, was replaced", replaced)
	}
	return nil
}
