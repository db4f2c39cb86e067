package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (a *app) newConfigView() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:   "view",
		Short: "Show every setting, its value and where it came from",
		Long: `Show every setting, its value and where it came from: a flag, the environment, the
file, or the default. The columns are KEY, VALUE and SOURCE. The policy is recorded in
the keyset and may differ from these settings; only serve changes it.

Settings with which serve would not create a keyset are refused with the same messages
and exit code 2. Nothing is opened: no keyset, no file and no port.`,
		Example: `  jwksctl config view
  jwksctl config view --config prod.yaml -o json`,
		Args: cobra.NoArgs,
	}
	outputFlag(c, &out, "table")
	settingsFlags(c.Flags())
	return a.withSettings(c, func(_ context.Context, cfg settings, _ []string) error {
		if err := checkServe(cfg.Config); err != nil {
			return err
		}
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
