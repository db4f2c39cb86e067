package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/audit"
)

type keysExportOptions struct {
	format, out string
	private     bool
}

func (a *app) newKeysExport() *cobra.Command {
	var o keysExportOptions
	c := &cobra.Command{
		Use:   "export KID",
		Short: "Print a key as a JWK or PEM",
		Long: `Print a public key as a JWK or PEM. With --private it is the private key, which the
store has only for some keys, such as the active and the pending one: it goes to a new
file that only you can read, or into a pipe, never to a terminal or to a file that other
users may read. The beginning of a kid
is enough, if it is unique.`,
		Example: `  jwksctl keys export Fb3k --format pem > public.pem
  jwksctl keys export Fb3k --private --format pem --out key.pem
  jwksctl keys export Fb3k --private | age -r "$RECIPIENT" > key.jwk.age`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeKeys,
	}
	c.Flags().StringVar(&o.format, "format", "jwk", "jwk or pem")
	c.Flags().BoolVar(&o.private, "private", false, "export the private key, not encrypted")
	c.Flags().StringVar(&o.out, "out", "", "write to this file, which must not exist yet")
	complete(c, "format", "jwk", "pem")
	return a.withSettings(c, func(ctx context.Context, cfg settings, args []string) error {
		if o.private {
			if err := a.openAudit(ctx, &cfg, commandName(c)); err != nil {
				return err
			}
			defer cfg.audit.close()
		}
		return a.keysExport(ctx, cfg, o, args[0])
	})
}

func (a *app) keysExport(ctx context.Context, cfg settings, o keysExportOptions, prefix string) error {
	switch {
	case o.format != "jwk" && o.format != "pem":
		return badUsage("--format: %q is neither jwk nor pem", o.format)
	case o.private && o.out == "" && a.terminal(a.stdout):
		return badUsage("--private: a private key is not printed on a terminal: name a file with --out, or use a pipe")
	case o.private && o.out == "" && othersMayRead(a.stdout):
		return badUsage("--private: other users may read the file that standard output goes to: name a new one with --out, or use umask 077 and a new file")
	}
	export, mode := exportPublic, fs.FileMode(0o644)
	if o.private {
		export, mode = exportPrivate, 0o600
	}
	data, err := export(ctx, cfg, o.format, prefix, a.now())
	if err != nil {
		return err
	}
	if o.out == "" {
		_, err := a.stdout.Write(data)
		return err
	}
	if err := createFile(o.out, data, mode); err != nil {
		return err
	}
	a.printMessage("wrote %s", o.out)
	return nil
}

func exportPublic(ctx context.Context, cfg settings, format, prefix string, now time.Time) ([]byte, error) {
	ks, err := readKeyset(ctx, cfg)
	if err != nil {
		return nil, err
	}
	k, err := findKey(ks, prefix, now)
	if err != nil {
		return nil, err
	}
	if format == "pem" {
		return k.JWK.PEM()
	}
	data, err := json.Marshal(k.JWK)
	return append(data, '\n'), err
}

// exportPrivate records the export before the key leaves.
func exportPrivate(ctx context.Context, cfg settings, format, prefix string, now time.Time) ([]byte, error) {
	ring, err := openRingToRead(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { _ = ring.Close() }() // nothing was written
	k, err := findKey(ring.Keyset(), prefix, now)
	if err != nil {
		return nil, err
	}
	key, err := ring.Export(k.KeyID())
	if err != nil {
		return nil, err
	}
	e := audit.Event{Kind: audit.KeyChanged, Step: stepExport, KeyID: k.KeyID(), Version: ring.Keyset().Version}
	if err := cfg.audit.record(e); err != nil {
		return nil, err
	}
	if format == "pem" {
		der, err := key.MarshalPKCS8()
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
	}
	data, err := key.MarshalJWK()
	return append(data, '\n'), err
}
