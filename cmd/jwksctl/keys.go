package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (a *app) newKeys() *cobra.Command {
	return group("keys", "Show the keys and change which one signs",
		a.newKeysList(), a.newKeysShow(), a.newKeysRotate(), a.newKeysRevoke(), a.newKeysPlan(),
		a.newKeysImport(), a.newKeysExport(), a.newKeysAcceptRestore())
}

// keysCommand completes a command whose code needs the settings and its arguments.
func (a *app) keysCommand(c *cobra.Command, do func(ctx context.Context, cfg settings, args []string) error) *cobra.Command {
	c.RunE = a.run(func(ctx context.Context, args []string) error {
		cfg, err := a.settings(c.Flags())
		if err != nil {
			return err
		}
		return do(ctx, cfg, args)
	})
	return c
}
