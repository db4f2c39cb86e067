package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

func (a *app) newKeysAcceptRestore() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:   "accept-restore",
		Short: "Go on with a store that was restored from a backup",
		Long: `Go on with a store that was restored from a backup. Such a store is refused by every
command, because it has forgotten which keys were revoked or have expired since. What
this machine has seen lies in a witness file beside the sealing key; accepting puts
that back, so that what was gone stays gone. If the backup is so old that it lacks the
private half of the active key, 'jwksctl keys rotate' has another one sign.

A machine without the witness file cannot tell that a store was restored.`,
		Example: `  jwksctl keys accept-restore`,
		Args:    cobra.NoArgs,
	}
	outputFlag(c, &out, "text")
	return a.keysCommand(c, func(ctx context.Context, cfg config.Config, _ []string) error {
		return a.keysAcceptRestore(ctx, cfg, out)
	})
}

func (a *app) keysAcceptRestore(ctx context.Context, cfg config.Config, out output) error {
	s, err := openExisting(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // every write was committed by itself
	sealer, err := openSealer(cfg, false)
	if err != nil {
		return err
	}
	ring, err := keys.AcceptRestore(ctx, keys.Options{Store: s, Sealer: sealer, Witness: openWitness(cfg), Generate: newKey})
	if err != nil {
		return err
	}
	if err := ring.Step(ctx); err != nil {
		a.say("jwksctl: a step that is due was not taken: %v", err)
	}
	ks, trouble := ring.Keyset(), ring.Status().Ready()
	if trouble != nil {
		text := strings.ReplaceAll(trouble.Error(), "\n", ": ")
		a.say("%s %s; 'jwksctl keys rotate' has another key sign", a.paint(a.stderr, yellow, "warning:"), text)
	}
	if out.json {
		return a.printJSON(struct {
			Active  string `json:"active"`
			Version uint64 `json:"version"`
			Epoch   uint64 `json:"epoch"`
			Ready   bool   `json:"ready"` // whether this process can sign
		}{ks.Active().KeyID(), ks.Version, ks.Epoch, trouble == nil})
	}
	a.print("%s\n", ks.Active().KeyID())
	a.say("the keyset goes on at version %d, epoch %d", ks.Version, ks.Epoch)
	return nil
}
