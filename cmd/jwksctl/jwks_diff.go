package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/remote"
)

type jwksDiffOptions struct {
	out     output
	network networkFlags
}

func (a *app) newJWKSDiff() *cobra.Command {
	var o jwksDiffOptions
	c := &cobra.Command{
		Use:   "diff A B",
		Short: "Compare two JWK Sets, key by key",
		Long: `Compare two JWK Sets, each a FILE, a URL or - for standard input. Keys are matched by
kid, those without one by thumbprint; their order does not matter. The columns are
CHANGE (added, removed or changed), KID, and the MEMBERS that differ.

The exit code is 0 if they are the same, 1 if they differ, and 2 if they cannot be compared.`,
		Example: `  jwksctl jwks diff https://auth.example.com/jwks jwks.json
  jwksctl jwks diff before.json after.json -o json | jq -r '.removed[]'
  jwksctl jwks | jwksctl jwks diff - https://auth.example.com/jwks && echo same`,
		Args: cobra.ExactArgs(2),
	}
	o.network.register(c.Flags())
	outputFlag(c, &o.out, "table")
	c.RunE = a.run(func(ctx context.Context, args []string) error { return a.jwksDiff(ctx, o, args[0], args[1]) })
	return c
}

func (a *app) jwksDiff(ctx context.Context, o jwksDiffOptions, nameA, nameB string) error {
	if err := o.network.checkHeaders(nameA, nameB); err != nil {
		return err
	}
	before, err := a.readSet(ctx, o.network, nameA)
	if err != nil {
		return usageError{err}
	}
	after, err := a.readSet(ctx, o.network, nameB)
	if err != nil {
		return usageError{err}
	}
	d, err := jwk.Diff(before, after)
	if err != nil {
		return usageError{err}
	}
	if o.out.json {
		if err := a.printJSON(d); err != nil {
			return usageError{err}
		}
	} else if !d.Empty() {
		a.table([]string{"CHANGE", "KID", "MEMBERS"}, differenceRows(d))
	}
	if d.Empty() {
		return nil
	}
	return silentError{fmt.Errorf("%s and %s differ", nameA, nameB)}
}

// readSet reads a JWK Set from a file, a URL or standard input.
func (a *app) readSet(ctx context.Context, flags networkFlags, name string) ([]byte, error) {
	if isURL(name) {
		network, err := flags.options()
		if err != nil {
			return nil, err
		}
		doc, err := remote.Fetch(ctx, name, network)
		return doc.Raw, err
	}
	data, err := a.read(strings.TrimPrefix(name, "@"))
	if err != nil {
		return nil, err
	}
	if _, _, err := jwk.ParseSet(data); err != nil {
		return nil, fmt.Errorf("%s: %v", name, err)
	}
	return data, nil
}

func differenceRows(d jwk.Difference) [][]string {
	var rows [][]string
	for _, kid := range d.Removed {
		rows = append(rows, []string{"removed", printable(kid), "-"})
	}
	for _, c := range d.Changed {
		rows = append(rows, []string{"changed", printable(c.KeyID), printable(strings.Join(c.Members, ","))})
	}
	for _, kid := range d.Added {
		rows = append(rows, []string{"added", printable(kid), "-"})
	}
	return rows
}
