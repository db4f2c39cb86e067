package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

type keysListOptions struct {
	out   output
	all   bool
	check bool
	state string
}

func (a *app) newKeysList() *cobra.Command {
	var o keysListOptions
	c := &cobra.Command{
		Use:   "list",
		Short: "List the keys, their states and their stamps",
		Long: `List the keys, their states and their stamps: a table with ages on a terminal,
lines with tabs and RFC 3339 times when piped. The columns are KID, ALG, STATE,
CREATED, READY, ACTIVE, RETIRED, EXPIRES, REVOKED and NOTE; a stamp that does not
apply is "-". Only --check needs the sealing key: it opens each private key and
notes those that cannot be opened.`,
		Example: `  jwksctl keys list
  jwksctl keys list --check
  jwksctl keys list --state active | cut -f1
  jwksctl keys list --all -o json | jq '.[] | select(.state == "revoked")'`,
		Args: cobra.NoArgs,
	}
	c.Flags().BoolVar(&o.all, "all", false, "list the history too: expired and revoked keys")
	c.Flags().BoolVar(&o.check, "check", false, "check that the private keys can be opened")
	c.Flags().StringVar(&o.state, "state", "", "list only the keys in this state")
	complete(c, "state", stateNames()...)
	outputFlag(c, &o.out, "table")
	return a.withSettings(c, func(ctx context.Context, cfg settings, _ []string) error { return a.keysList(ctx, cfg, o) })
}

func stateNames() []string {
	return []string{string(keys.Pending), string(keys.Active), string(keys.Retired), string(keys.Expired), string(keys.Revoked)}
}

func (a *app) keysList(ctx context.Context, cfg settings, o keysListOptions) error {
	if o.state != "" && !slices.Contains(stateNames(), o.state) {
		return badUsage("--state: %q is not a state: want one of %s", o.state, strings.Join(stateNames(), ", "))
	}
	s, err := openStoreToRead(ctx, cfg.places)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // nothing was written
	ks, err := readKeysetIn(ctx, cfg, s)
	if err != nil {
		return err
	}
	var unreadable map[string]error
	if o.check {
		if unreadable, err = unreadableKeys(ctx, cfg, s); err != nil {
			a.printMessage("%s private keys not checked: %v", a.paint(a.stderr, yellow, "warning:"), err)
		}
	}
	now := a.now()
	rows := []keyRow{}
	for _, k := range ks.Sorted(now) {
		row := rowOf(k, ks, now)
		if err := unreadable[row.KeyID]; err != nil {
			row.Unreadable = err.Error()
		}
		if o.selects(row) {
			rows = append(rows, row)
		}
	}
	if o.out.json {
		return a.printJSON(rows)
	}
	var cells [][]string
	for _, r := range rows {
		line := []string{r.KeyID, r.Algorithm, string(r.State)}
		for _, t := range []time.Time{r.CreatedAt, r.ReadyAt, r.ActiveAt, r.RetiredAt, r.ExpiresAt, r.RevokedAt} {
			line = append(line, a.when(t, now))
		}
		cells = append(cells, append(line, r.note()))
	}
	a.table([]string{"KID", "ALG", "STATE", "CREATED", "READY", "ACTIVE", "RETIRED", "EXPIRES", "REVOKED", "NOTE"}, cells)
	return nil
}

// selects tells whether a key is to be listed.
func (o keysListOptions) selects(r keyRow) bool {
	if o.state != "" {
		return string(r.State) == o.state
	}
	return r.Published || r.Specimen || o.all
}

// unreadableKeys opens the private keys and returns why some cannot be opened, by kid.
func unreadableKeys(ctx context.Context, c settings, s keys.Store) (map[string]error, error) {
	sealer, err := openSealer(ctx, c, false)
	if err != nil {
		return nil, err
	}
	ring, err := keys.Open(ctx, keys.Options{Store: s, Sealer: sealer, Witness: c.places.witness, Log: c.log})
	if err != nil {
		return nil, err
	}
	return ring.Status().Unreadable, nil
}
