package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

func (a *app) newStoreRestore() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Create the keyset of a backup in an empty store",
		Long: `Create the keyset in the file of 'jwksctl store backup' in an empty store of any engine,
with the same version. "-" is standard input. A file that is damaged anywhere is refused,
and nothing is written. The sealing key is not needed now; servers need it later.

A machine that has seen a later version of the keyset then refuses the store, because it
lacks the keys that were made, revoked or expired since the backup. They are listed.
'jwksctl keys accept-restore' puts back what that machine has recorded.

Restore a keyset only if its earlier store is gone for good: two stores with the same
keyset do not know each other's keys. 'jwksctl store copy' moves a keyset.`,
		Example: `  jwksctl store restore jwksctl-2026-01-02.json
  jwksctl store restore --store postgres://db.example/jwksctl backup.json`,
		Args: cobra.ExactArgs(1),
	}
	outputFlag(c, &out, "text")
	return a.withAudit(c, func(ctx context.Context, cfg settings, args []string) error {
		return a.storeRestore(ctx, cfg, out, args[0])
	})
}

func (a *app) storeRestore(ctx context.Context, cfg settings, out output, path string) error {
	if cfg.places.store == "memory:" {
		return badUsage("a store in memory ends with this command: name another one with --store")
	}
	data, err := a.read(path)
	if err != nil {
		return usageError{err}
	}
	b, err := keys.ParseBackup(data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	s, err := openStore(ctx, cfg.places)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // each write is committed when it is made
	o := storeOptions(cfg, cfg.places, s)
	if err := keys.Restore(ctx, o, b); err != nil {
		return err
	}
	cfg.audit.storeChanged(stepRestore, b.Keyset().Version, "", storeName(cfg.places))
	cfg.places.recordKeyset(ctx, cfg.log, b.Keyset().ID)
	missing, refused := keys.MissingSince(ctx, o)
	return a.printRestored(out, cfg, b.Keyset(), missing, refused)
}

// missingRow is a key that a restored store lacks, or publishes although it has left.
type missingRow struct {
	KeyID string     `json:"kid"`
	State keys.State `json:"state"` // as this machine has seen it
}

// printRestored says what was restored, what is missing, and what to do next.
func (a *app) printRestored(out output, cfg settings, ks keys.Keyset, missing []keys.Key, refused error) error {
	rows := []missingRow{}
	for _, k := range missing {
		rows = append(rows, missingRow{k.KeyID(), k.State(a.now())})
	}
	if out.json {
		return a.printJSON(struct {
			Keyset     string       `json:"keyset"`
			Active     string       `json:"active"`
			Version    uint64       `json:"version"`
			Epoch      uint64       `json:"epoch"`
			Store      string       `json:"store"`
			SealingKey string       `json:"sealing_key"`
			Accepted   bool         `json:"accepted"` // whether this machine uses the store as it is
			Missing    []missingRow `json:"missing"`
		}{ks.ID, ks.Active().KeyID(), ks.Version, ks.Epoch, storeName(cfg.places), ks.SealingKey, refused == nil, rows})
	}
	a.print("%s\n", ks.Active().KeyID())
	a.printMessage("restored version %d, epoch %d, of %s to %s", ks.Version, ks.Epoch, ks.ChangedAt.UTC().Format(time.RFC3339), storeName(cfg.places))
	a.printMessage("servers need the sealing key %s in %s", ks.SealingKey, cfg.places.sealKey)
	if refused == nil {
		return nil
	}
	warning := a.paint(a.stderr, yellow, "warning:")
	if _, behind := errors.AsType[*keys.Refusal](refused); !behind {
		a.printMessage("%s it is not known whether the backup is the newest: %v", warning, refused)
		return nil
	}
	a.printMessage("%s %v", warning, refused)
	for _, r := range rows {
		a.printMessage("  key %s, %s since the backup", r.KeyID, r.State)
	}
	return nil
}
