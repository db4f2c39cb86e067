package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/config"
)

func (a *app) newConfigInit() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "init",
		Short: "Write a settings file with every default",
		Example: `  jwksctl config init > jwksctl.yaml
  jwksctl config init --out jwksctl.yaml && jwksctl serve --config jwksctl.yaml`,
		Args: cobra.NoArgs,
	}
	c.Flags().StringVar(&path, "out", "", "write to this file, which must not exist yet")
	c.RunE = a.run(func(context.Context, []string) error {
		if path == "" {
			a.print("%s", config.YAML())
			return nil
		}
		if err := createFile(path, []byte(config.YAML()), 0o644); err != nil {
			return err
		}
		a.printMessage("wrote %s", path)
		return nil
	})
	return c
}
