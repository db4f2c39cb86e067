package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

func (a *app) newKeysAcceptRestore() *cobra.Command {
	var out output
	var confirm string
	c := &cobra.Command{
		Use:   "accept-restore",
		Short: "Accept a store that was restored from a backup",
		Long: `Accept a store that was restored from a backup. Until then every command refuses such a
store, because it does not record the keys that were revoked or have expired since the
backup. This machine has recorded them in the witness file beside the sealing key, and
accept-restore puts them back, so that they stay revoked or expired. If the backup is so
old that it lacks the private key of the active key, use 'jwksctl keys rotate' to sign
with another one.

If a clock that was far ahead wrote the backup or the witness, give today's date in UTC
with --confirm. Stamps from the future are then moved back too; see 'jwksctl keys
accept-clock' for what that may cost.

A machine without the witness file cannot tell that a store was restored.`,
		Example: `  jwksctl keys accept-restore
  jwksctl keys accept-restore --confirm 2026-01-02     # this machine's clock is right`,
		Args: cobra.NoArgs,
	}
	c.Flags().StringVar(&confirm, "confirm", "", "today's date in UTC, YYYY-MM-DD, to accept this machine's clock too")
	outputFlag(c, &out, "text")
	return a.withAudit(c, func(ctx context.Context, cfg settings, _ []string) error {
		return a.keysAcceptRestore(ctx, cfg, out, confirm)
	})
}

func (a *app) keysAcceptRestore(ctx context.Context, cfg settings, out output, confirm string) error {
	accept := keys.AcceptRestore
	if confirm != "" {
		if err := checkDate(confirm, a.now()); err != nil {
			return err
		}
		accept = keys.AcceptRestoreAndClock
	}
	s, err := openExistingStore(ctx, cfg.places)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // each write is committed when it is made
	sealer, err := openSealer(ctx, cfg, false)
	if err != nil {
		return err
	}
	ring, err := accept(ctx, keys.Options{Store: s, Sealer: sealer, Witness: cfg.places.witness, Log: cfg.log, Generate: newKey, Changed: cfg.audit.keysetChanged})
	if refusal, ok := errors.AsType[*keys.Refusal](err); ok && refusal.Guard == keys.GuardClock && confirm == "" {
		return fmt.Errorf("%w; for a restored store, that is 'jwksctl keys accept-restore --confirm YYYY-MM-DD' with today's date in UTC", err)
	}
	if err != nil {
		return err
	}
	cfg.places.recordKeyset(ctx, cfg.log, ring.Keyset().ID)
	if err := ring.Step(ctx); err != nil {
		a.printMessage("jwksctl: a step that is due was not taken: %v", err)
	}
	ks, notReady := ring.Keyset(), ring.Status().Ready()
	if notReady != nil {
		text := strings.ReplaceAll(notReady.Error(), "\n", ": ")
		a.printMessage("%s %s; use 'jwksctl keys rotate' to sign with another key", a.paint(a.stderr, yellow, "warning:"), text)
	}
	if out.json {
		return a.printJSON(struct {
			Active  string `json:"active"`
			Version uint64 `json:"version"`
			Epoch   uint64 `json:"epoch"`
			Ready   bool   `json:"ready"` // whether this process can sign
		}{ks.Active().KeyID(), ks.Version, ks.Epoch, notReady == nil})
	}
	a.print("%s\n", ks.Active().KeyID())
	a.printMessage("the keyset is now at version %d, epoch %d", ks.Version, ks.Epoch)
	return nil
}
