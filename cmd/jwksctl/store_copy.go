package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store"
)

type storeCopyOptions struct {
	out  output
	undo bool
}

func (a *app) newStoreCopy() *cobra.Command {
	var o storeCopyOptions
	c := &cobra.Command{
		Use:   "copy FROM TO",
		Short: "Move the keyset to another store",
		Long: `Move the keyset from the store FROM to the store TO, which must be empty. Both are URLs
as --store has them, and --store is not used. The private keys stay sealed, so no sealing
key is needed. The kids stay the same, and every token stays valid.

First FROM is marked as moved. From then on no process changes FROM or opens it again, and
its servers stop signing and publishing within max_staleness. Then TO gets the keyset in
one transaction, and is read back. Servers of FROM and TO may run side by side until those
of FROM stop: no token is lost, because both have the same keys, and only those of TO
change anything. So restart the servers with TO within max_staleness.

If the command is killed, run it again: it goes on where it ended. If TO cannot be used
after all and is empty, --undo takes the mark off FROM.`,
		Example: `  jwksctl store copy sqlite:/var/lib/jwksctl/keyset.db postgres://db.example/jwksctl
  jwksctl store copy --undo sqlite:/var/lib/jwksctl/keyset.db postgres://db.example/jwksctl`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completeStores,
	}
	c.Flags().BoolVar(&o.undo, "undo", false, "take the mark off FROM after a copy that failed; TO must be empty")
	outputFlag(c, &o.out, "text")
	return a.withAudit(c, func(ctx context.Context, cfg settings, args []string) error {
		if c.Flags().Changed("store") {
			return badUsage("--store: the stores are FROM and TO: leave it out")
		}
		return a.storeCopy(ctx, cfg, o, args[0], args[1])
	})
}

// completeStores offers the beginnings of the URLs of stores.
func completeStores(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"sqlite:", "postgres://", "etcd://"}, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

func (a *app) storeCopy(ctx context.Context, cfg settings, o storeCopyOptions, from, to string) error {
	source, target, err := copyPlaces(cfg, a.stateFolder, from, to)
	if err != nil {
		return err
	}
	s, err := openExistingStore(ctx, source)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()                       // each write is committed when it is made
	if err := checkHasKeyset(ctx, source, s); err != nil { // before anything is made at the target
		return err
	}
	t, err := openStore(ctx, target)
	if err != nil {
		return err
	}
	defer func() { _ = t.Close() }() // likewise
	name := storeName(target)
	if o.undo {
		return a.storeCopyUndo(ctx, cfg, o, source, storeOptions(cfg, source, s), storeOptions(cfg, target, t), name)
	}
	ks, err := keys.Copy(ctx, storeOptions(cfg, source, s), storeOptions(cfg, target, t), name)
	if err != nil {
		return err
	}
	cfg.audit.storeChanged(stepCopy, ks.Version, storeName(source), name)
	target.recordKeyset(ctx, cfg.log, ks.ID)
	return a.printCopied(o, ks, source, target)
}

// checkHasKeyset refuses a store that has no keyset, or does not answer within openTimeout.
func checkHasKeyset(ctx context.Context, p places, s keys.Store) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	switch _, err := s.Load(ctx); {
	case errors.Is(err, keys.ErrNoKeyset):
		return noKeyset(p)
	case err != nil:
		return fmt.Errorf("%w: the store to copy from: %w", keys.ErrUnavailable, keys.ExplainTimeout(err))
	}
	return nil
}

// copyPlaces are the places of two stores.
func copyPlaces(cfg settings, stateFolder, from, to string) (source, target places, err error) {
	find := func(argument, url string) places {
		if err != nil {
			return places{}
		}
		switch checked := store.CheckURL(url); {
		case config.HasPassword(url):
			err = badUsage("%s has a password, which every user of this machine can read in the list of processes: name a file with it in password_file or PGPASSFILE", argument)
		case checked != nil:
			err = badUsage("%s: %v", argument, checked)
		case url == "memory:":
			err = badUsage("%s: a store in memory ends with this command", argument)
		}
		c := cfg.Config
		c.Store = url
		return findPlaces(c, stateFolder)
	}
	source, target = find("FROM", from), find("TO", to)
	if err == nil && storeName(source) == storeName(target) {
		err = badUsage("FROM and TO are the same store")
	}
	return source, target, err
}

func (a *app) storeCopyUndo(ctx context.Context, cfg settings, o storeCopyOptions, source places, from, to keys.Options, target string) error {
	if err := keys.UndoCopy(ctx, from, to, target); err != nil {
		return err
	}
	cfg.audit.storeChanged(stepUndoCopy, 0, storeName(source), target)
	if o.out.json {
		return a.printJSON(struct {
			From string `json:"from"`
			To   string `json:"to"`
		}{storeName(source), target})
	}
	a.printMessage("the copy to %s is undone: %s is in use again", target, storeName(source))
	return nil
}

// printCopied says what was copied, and what to do next.
func (a *app) printCopied(o storeCopyOptions, ks keys.Keyset, source, target places) error {
	stops := ks.Policy.MaxStaleness
	if o.out.json {
		return a.printJSON(struct {
			Keyset    string `json:"keyset"`
			Active    string `json:"active"`
			Version   uint64 `json:"version"`
			Epoch     uint64 `json:"epoch"`
			From      string `json:"from"`
			To        string `json:"to"`
			Staleness string `json:"servers_stop_within"` // those of From
		}{ks.ID, ks.Active().KeyID(), ks.Version, ks.Epoch, storeName(source), storeName(target), stops.String()})
	}
	a.print("%s\n", ks.Active().KeyID())
	a.printMessage("%s has the keyset, at version %d, epoch %d. %s is marked as moved: no process changes it,\n"+
		"and its servers stop signing and publishing within max_staleness (%s). Next:", storeName(target), ks.Version, ks.Epoch, storeName(source), roughly(stops))
	sealingKey := fmt.Sprintf("keep the sealing key %s", source.sealKey)
	switch path, isFile := target.sealKey.Path(); {
	case target.sealKey == source.sealKey:
	case isFile:
		from, _ := source.sealKey.Path() // both are files, because neither is in the settings
		sealingKey = fmt.Sprintf("copy the sealing key %s to %s, or name it in seal_key", from, path)
	default:
		sealingKey = fmt.Sprintf("name the sealing key %s in seal_key", source.sealKey)
	}
	for i, step := range []string{
		sealingKey + "; each server needs it",
		fmt.Sprintf("within %s, restart each server with the store %s; until then those of both stores may run side by side", roughly(stops), storeName(target)),
		"use that store with every other command too; run 'jwksctl store check'",
		fmt.Sprintf("when no server uses %s any more, delete it: it still has the sealed private keys", storeName(source)),
	} {
		a.printMessage("  %d. %s", i+1, step)
	}
	return nil
}
