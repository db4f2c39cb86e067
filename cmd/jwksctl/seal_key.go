package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/seal"
)

func (a *app) newSealKey() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:   "key",
		Short: "Print a new sealing key",
		Long: `Print a new sealing key, one line, on standard output. It is kept nowhere. Put the line into
the source that seal_key names: a file, an environment variable, a systemd credential, or
whatever a command prints. The source has one line for each key: the first one seals the
private keys of a new keyset, and 'jwksctl seal rotate' moves those of a keyset to another.

A file that does not exist is made by the command that creates the keyset, so it needs no
key from here.`,
		Example: `  jwksctl seal key | systemd-creds encrypt --name=seal - seal.cred
  jwksctl seal key >> seal.key`,
		Args: cobra.NoArgs,
	}
	outputFlag(c, &out, "text")
	c.RunE = a.run(func(context.Context, []string) error {
		line, name, err := seal.NewLine()
		if err != nil {
			return err
		}
		if out.json {
			return a.printJSON(map[string]string{"key": line, "name": name})
		}
		a.print("%s\n", line)
		a.printMessage("this is the sealing key %s: put the line into the source that seal_key names", name)
		return nil
	})
	return c
}
