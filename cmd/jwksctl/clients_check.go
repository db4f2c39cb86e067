package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/config"
)

func (a *app) newClientsCheck() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:   "check FILE",
		Short: "Check the clients of a settings file before a server reads it",
		Long: `Check the clients of a settings file before a server reads it. What a server would refuse
is an error, and the exit code is 2. Standard output has what a server accepts but a
reader should know, such as subjects with a wildcard and secrets that can be removed: the
columns are ID and WARNING. Nothing is fetched.`,
		Example: `  jwksctl clients check jwksctl.yaml
  jwksctl clients check jwksctl.yaml -o json | jq -e '. == []'`,
		Args: cobra.ExactArgs(1),
	}
	outputFlag(c, &out, "table")
	c.RunE = a.run(func(_ context.Context, args []string) error { return a.clientsCheck(args[0], out) })
	return c
}

func (a *app) clientsCheck(path string, out output) error {
	cfg, err := config.Load(path, nil, a.environ)
	if err != nil {
		return err
	}
	list, err := parseClients(cfg)
	if err != nil {
		return err
	}
	// A registry also refuses what contradicts the issuer.
	if err := newRegistry(func() string { return cfg.Issuer }).Set(list); err != nil {
		return clientErrors(cfg, err)
	}
	findings := client.Lint(list)
	if out.json {
		return a.printJSON(findings)
	}
	var rows [][]string
	for _, f := range findings {
		rows = append(rows, []string{f.ClientID, printable(f.Message)})
	}
	if len(rows) > 0 {
		a.table([]string{"ID", "WARNING"}, rows)
	}
	return nil
}
