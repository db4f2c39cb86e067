package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/atomicfile"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

type storeBackupOptions struct {
	out   output
	force bool
}

func (a *app) newStoreBackup() *cobra.Command {
	var o storeBackupOptions
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write the keyset to a file, as of one version",
		Long: `Write the keyset and its sealed private keys to a file, as of one version, while servers
use the store. "-" is standard output. The file is JSON, is the same for every engine, and
has a checksum.

The private keys in it can be opened only with the sealing key, which it does not contain.
Keep that in another place: with both, anyone can sign.`,
		Example: `  jwksctl store backup jwksctl-$(date +%F).json
  jwksctl store backup - | age -r "$RECIPIENT" > backup.json.age`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().BoolVar(&o.force, "force", false, "replace FILE if it exists")
	outputFlag(c, &o.out, "text")
	return a.withSettings(c, func(ctx context.Context, cfg settings, args []string) error {
		return a.storeBackup(ctx, cfg, o, args[0])
	})
}

func (a *app) storeBackup(ctx context.Context, cfg settings, o storeBackupOptions, path string) error {
	switch {
	case path == "-" && a.terminal(a.stdout):
		return badUsage("a backup is not printed on a terminal: name a file, or use a pipe")
	case path == "-" && o.out.json:
		return badUsage("-o json: standard output is the backup itself, which is JSON")
	}
	s, err := openStoreToRead(ctx, cfg.places)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // nothing was written
	b, err := keys.ReadBackup(ctx, storeOptions(cfg, cfg.places, s))
	if errors.Is(err, keys.ErrNoKeyset) {
		return noKeyset(cfg.places)
	}
	if err != nil {
		return err
	}
	data, err := b.Encode()
	if err == nil {
		_, err = keys.ParseBackup(data)
	}
	if err != nil {
		return err
	}
	if path == "-" {
		_, err := a.stdout.Write(data)
		return err
	}
	if err := writeBackup(path, data, o.force); err != nil {
		return err
	}
	return a.printBackup(cfg, o, path, b)
}

// writeBackup writes the file of a backup, and reads it back.
func writeBackup(path string, data []byte, force bool) error {
	write := atomicfile.Create
	if force {
		write = atomicfile.Replace
	}
	err := write(path, data, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return badUsage("%s exists already: name another file, or replace it with --force", path)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		if cause, ok := errors.AsType[*fs.PathError](err); ok {
			err = cause.Err // the path is that of a temporary file
		}
		return badUsage("cannot create %s: %v", path, err)
	case err != nil:
		return err
	}
	written, err := readFile(path)
	if err == nil && !bytes.Equal(written, data) {
		err = errors.New("it differs from what was written")
	}
	if err != nil {
		return fmt.Errorf("%s cannot be read back: %w", path, err)
	}
	return nil
}

func (a *app) printBackup(cfg settings, o storeBackupOptions, path string, b keys.Backup) error {
	ks := b.Keyset()
	if o.out.json {
		return a.printJSON(struct {
			File        string `json:"file"`
			Keyset      string `json:"keyset"`
			Version     uint64 `json:"version"`
			Epoch       uint64 `json:"epoch"`
			PrivateKeys int    `json:"private_keys"`
			SealingKey  string `json:"sealing_key"`
		}{path, ks.ID, ks.Version, ks.Epoch, b.PrivateKeys(), ks.SealingKey})
	}
	a.printMessage("wrote %s: version %d of keyset %s, with %d sealed private keys", path, ks.Version, ks.ID, b.PrivateKeys())
	a.printMessage("it can be used only with the sealing key %s (%s), which it does not contain: keep that in another place", ks.SealingKey, cfg.places.sealKey)
	return nil
}
