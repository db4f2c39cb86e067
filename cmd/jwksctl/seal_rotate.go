package main

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/seal"
	"github.com/jwksctl/jwksctl/pkg/store"
	"github.com/jwksctl/jwksctl/pkg/store/witness"
)

func (a *app) newSealRotate() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Seal the private keys under another sealing key",
		Long: `Seal every private key again, under another sealing key, in one change of the keyset.
Servers go on, and tokens are not affected. A command that is killed is run again: it goes
on where it ended.

If the store and the sealing key are files, everything is done here: a new key is added to
the key file, the private keys are sealed again, and the earlier key is moved to a file of
its own beside it, because backups from before need it. Delete it together with them.

If the store is on the network, or the sealing key comes from elsewhere, three steps are
needed. First add the line of a new key to the source of every process, behind the other
one; 'jwksctl seal key' prints a line. A process that meets a key which it does not know
reads its source again, and one whose source is a variable has to be restarted. Then run
this command once. Then remove the earlier line from every source, and keep it with the
backups that need it.`,
		Example: `  jwksctl seal rotate
  jwksctl store check      # says under which sealing key the private keys are`,
		Args: cobra.NoArgs,
	}
	outputFlag(c, &out, "text")
	return a.withAudit(c, func(ctx context.Context, cfg settings, _ []string) error { return a.sealRotate(ctx, cfg, out) })
}

// sealRotation is one run of the command.
type sealRotation struct {
	ring  *keys.Ring
	names []string // of the sealing keys in the source
	file  string   // the key file, if this command changes it; "" if an operator does
	kept  []string // the files to which earlier keys were moved
}

func (a *app) sealRotate(ctx context.Context, cfg settings, out output) error {
	if cfg.places.sealKey.IsZero() {
		return badUsage("the sealing key of a store in memory ends with its process: name another store with --store")
	}
	file := cfg.places.keyFileToChange()
	if file != "" {
		unlock, err := seal.Lock(file)
		if err != nil {
			return err
		}
		defer unlock()
	}
	// The source is read after the lock: another rotation may have changed it.
	ring, err := openRing(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = ring.Close() }() // each write is committed when it is made
	if file != "" {
		if err := checkKeyFileNotShared(file, ring.Keyset().ID); err != nil {
			return err
		}
	}
	r := sealRotation{ring: ring.Ring, names: ring.sealer.Names(), file: file}
	if err := r.run(ctx, cfg); err != nil {
		return err
	}
	return a.printSealRotation(cfg, r, out)
}

// run moves the private keys to the sealing key that waits, and then makes that key the
// only one in the key file.
func (r *sealRotation) run(ctx context.Context, cfg settings) error {
	next, err := r.next(cfg)
	if err != nil {
		return err
	}
	if next != "" {
		if err := r.ring.SetSealingKey(ctx, next); err != nil {
			return err
		}
	}
	if r.file == "" {
		return nil
	}
	if r.kept, err = seal.KeepKey(r.file, r.ring.Keyset().SealingKey); err != nil {
		return fmt.Errorf("the private keys are sealed under %s now, and the earlier key is still in the key file: %w; run the same command again",
			r.ring.Keyset().SealingKey, err)
	}
	return nil
}

// next is the sealing key to which the private keys have to be moved; "" if that is done
// already. Only lines behind that of the current key count, so that no run moves the
// private keys back to an earlier one. It adds a new key to the key file if none waits.
func (r *sealRotation) next(cfg settings) (string, error) {
	ks := r.ring.Keyset()
	waiting := r.names[slices.Index(r.names, ks.SealingKey)+1:]
	switch {
	case len(waiting) > 1:
		return "", badUsage("%s has %d sealing keys behind %s, which seals the private keys: leave the one to move to, and remove the others",
			cfg.places.sealKey, len(waiting), ks.SealingKey)
	case len(waiting) == 1:
		return waiting[0], nil
	case slices.Contains(r.names, ks.SealingKeyBefore): // an earlier run has moved them
		return "", nil
	case r.file == "":
		return "", badUsage("%s has no sealing key behind %s, which seals the private keys: "+
			"add the line of a new key, which 'jwksctl seal key' prints, to the end of the source of every process, then run this command again",
			cfg.places.sealKey, ks.SealingKey)
	}
	name, err := seal.AddKey(r.file)
	if err != nil {
		return "", usageError{err}
	}
	return name, nil
}

// keyFileToChange is the key file if a rotation changes it: all processes that use the
// store are on this machine and read this file. Otherwise it is "", and an operator changes
// the sources of all processes.
func (p places) keyFileToChange() string {
	path, isFile := p.sealKey.Path()
	if _, storeIsFile := store.Path(p.store); !isFile || !storeIsFile || seal.CheckChange(path) != nil {
		return ""
	}
	return path
}

// checkKeyFileNotShared refuses to change a key file that seals another keyset too, which
// could not be opened afterwards. That of SQLite files in one folder is the same.
func checkKeyFileNotShared(file, id string) error {
	record, store, err := witness.Folder(filepath.Dir(file)).OtherRecord(id)
	if err != nil {
		return fmt.Errorf("look for other keysets that %s seals: %w", file, err)
	}
	if record == "" {
		return nil
	}
	return badUsage("the key file %s seals another keyset too, that of %s (%s): copy the key file into another folder, "+
		"name the copy in the seal_key of one of the two stores, and then move that record away; do only the last if that keyset is gone",
		file, cmp.Or(store, "an unknown store"), record)
}

func (a *app) printSealRotation(cfg settings, r sealRotation, out output) error {
	ks := r.ring.Keyset()
	if out.json {
		return a.printJSON(struct {
			SealingKey string   `json:"sealing_key"`
			Before     string   `json:"sealing_key_before"`
			Version    uint64   `json:"version"`
			Kept       []string `json:"kept"` // files with earlier sealing keys
		}{ks.SealingKey, ks.SealingKeyBefore, ks.Version, append([]string{}, r.kept...)})
	}
	a.print("%s\n", ks.SealingKey)
	a.printMessage("the private keys are sealed under %s, as of version %d", ks.SealingKey, ks.Version)
	switch {
	case len(r.kept) > 0:
		a.printMessage("%s has that key alone. The earlier one is in %s: backups from before need it; delete it together with them",
			cfg.places.sealKey, strings.Join(r.kept, " and "))
	case r.file == "":
		a.printMessage("next: remove the line of %s from the source of every process, and keep it with the backups from before, which need it", ks.SealingKeyBefore)
	}
	return nil
}
