package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/config"
)

func (a *app) newConfig() *cobra.Command {
	c := group("config", "Show the settings, or write a file of them", a.newConfigView(), a.newConfigInit())
	c.Long = configHelp() // so that the topic of this name is no other page
	c.Example = "  jwksctl config view\n  jwksctl config init --out jwksctl.yaml"
	return c
}

func (a *app) newConfigView() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:   "view",
		Short: "Show every setting, its value and where it came from",
		Long: `Show every setting, its value and where it came from: a flag, the environment, the
file, or the default. The columns are KEY, VALUE and SOURCE. What the keyset records
may differ: only serve changes that ('jwksctl keys plan', discovery).`,
		Example: `  jwksctl config view
  jwksctl config view --config prod.yaml -o json`,
		Args: cobra.NoArgs,
	}
	outputFlag(c, &out, "table")
	var keys []string
	for _, k := range config.Keys() {
		if c.Flags().Lookup(k.Flag[2:]) == nil && k.Name != "store" && k.Name != "seal_key_file" {
			keys = append(keys, k.Name)
		}
	}
	config.Flags(c.Flags(), keys...)
	return a.keysCommand(c, func(_ context.Context, cfg config.Config, _ []string) error {
		if out.json {
			return a.printJSON(cfg.Settings())
		}
		var rows [][]string
		for _, s := range cfg.Settings() {
			value := s.Value
			if value == "" {
				value = "-"
			}
			rows = append(rows, []string{s.Key, value, string(s.Source)})
		}
		a.table([]string{"KEY", "VALUE", "SOURCE"}, rows)
		return nil
	})
}

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
		if err := writeNew(path, []byte(config.YAML()), 0o644); err != nil {
			return err
		}
		a.say("wrote %s", path)
		return nil
	})
	return c
}
