package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/client"
)

func (a *app) newClientsList() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:   "list",
		Short: "List the clients of the settings file",
		Long: `List the clients of the settings file. The columns are ID, WAY (the member that says how
the client authenticates), AUDIENCES, SCOPES and MAX_TTL; one that does not apply is "-".`,
		Example: `  jwksctl clients list --config jwksctl.yaml
  jwksctl clients list --config jwksctl.yaml -o json | jq -r '.[].id'`,
		Args: cobra.NoArgs,
	}
	outputFlag(c, &out, "table")
	return a.withSettings(c, func(_ context.Context, cfg settings, _ []string) error { return a.clientsList(cfg, out) })
}

// clientRow is a client as it is listed.
type clientRow struct {
	ID            string   `json:"id"`
	Way           string   `json:"way"`
	Audiences     []string `json:"audiences"`
	Scopes        []string `json:"scopes,omitempty"`
	MaxTTL        string   `json:"max_ttl,omitempty"`
	ExpiredTokens bool     `json:"expired_tokens,omitempty"`
	RateLimit     float64  `json:"rate_limit,omitempty"`
}

func (a *app) clientsList(cfg settings, out output) error {
	list, err := parseClients(cfg.Config)
	if err != nil {
		return err
	}
	rows := []clientRow{}
	for _, c := range list {
		rows = append(rows, rowOfClient(c))
	}
	if out.json {
		return a.printJSON(rows)
	}
	if len(rows) == 0 {
		a.printMessage("no clients: the settings file, which --config names, lists them; see 'jwksctl clients --help'")
		return nil
	}
	var cells [][]string
	for _, r := range rows {
		line := []string{r.ID, r.Way, strings.Join(r.Audiences, ","), strings.Join(r.Scopes, " "), r.MaxTTL}
		for i := range line {
			if line[i] == "" {
				line[i] = "-"
			}
		}
		cells = append(cells, line)
	}
	a.table([]string{"ID", "WAY", "AUDIENCES", "SCOPES", "MAX_TTL"}, cells)
	return nil
}

func rowOfClient(c client.Client) clientRow {
	row := clientRow{
		ID: c.ID, Way: "secret_sha256", Audiences: c.Audiences, Scopes: c.Scopes,
		ExpiredTokens: c.ExpiredTokens, RateLimit: c.RateLimit,
	}
	if c.MaxTTL > 0 {
		row.MaxTTL = c.MaxTTL.String()
	}
	switch {
	case len(c.Trust) > 0:
		row.Way = "trust"
	case c.JWKS != nil:
		row.Way = "jwks"
	case c.JWKSURI != "":
		row.Way = "jwks_uri"
	}
	return row
}
