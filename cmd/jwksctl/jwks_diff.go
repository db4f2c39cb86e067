package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
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

The exit code is 0 if they are the same, 1 if they differ, and 2 for trouble.`,
		Example: `  jwksctl jwks diff https://auth.example.com/jwks jwks.json
  jwksctl jwks diff before.json after.json -o json | jq -r '.removed[]'
  jwksctl jwks | jwksctl jwks diff - https://auth.example.com/jwks && echo in step`,
		Args: cobra.ExactArgs(2),
	}
	o.network.register(c.Flags())
	outputFlag(c, &o.out, "table")
	c.RunE = a.run(func(ctx context.Context, args []string) error { return a.jwksDiff(ctx, o, args[0], args[1]) })
	return c
}

func (a *app) jwksDiff(ctx context.Context, o jwksDiffOptions, was, is string) error {
	before, err := a.comparable(ctx, o.network, was)
	if err != nil {
		return usageError{err}
	}
	after, err := a.comparable(ctx, o.network, is)
	if err != nil {
		return usageError{err}
	}
	d := compare(before, after)
	if o.out.json {
		if err := a.printJSON(d); err != nil {
			return usageError{err}
		}
	} else if !d.empty() {
		a.table([]string{"CHANGE", "KID", "MEMBERS"}, d.rows())
	}
	if d.empty() {
		return nil
	}
	return silentError{fmt.Errorf("%s and %s differ", was, is)}
}

// comparable reads the members of a set by what they are called: kid, else
// thumbprint, else their place in the set.
func (a *app) comparable(ctx context.Context, flags networkFlags, name string) (map[string][]map[string]any, error) {
	var data []byte
	var err error
	if isURL(name) {
		network, err := flags.options()
		if err != nil {
			return nil, err
		}
		doc, err := remote.Fetch(ctx, name, network)
		if err != nil {
			return nil, err
		}
		data = doc.Raw
	} else if data, err = a.read(strings.TrimPrefix(name, "@")); err != nil {
		return nil, err
	}
	if _, _, err := jwk.ParseSet(data); err != nil {
		return nil, fmt.Errorf("%s: %v", name, err)
	}
	var set map[string]json.RawMessage // a struct would take "KEYS" for "keys"
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("%s: %v", name, err)
	}
	var raws []json.RawMessage
	if err := json.Unmarshal(set["keys"], &raws); err != nil {
		return nil, fmt.Errorf("%s: %v", name, err)
	}
	found := map[string][]map[string]any{}
	for i, raw := range raws {
		var members map[string]any
		if err := json.Unmarshal(raw, &members); err != nil {
			members = map[string]any{"": string(raw)} // no JWK, but something to compare
		}
		id, _ := members["kid"].(string)
		if id == "" {
			id = fmt.Sprintf("#%d", i)
			if key, err := jwk.Parse(raw); err == nil {
				id = key.Thumbprint()
			}
		}
		found[id] = append(found[id], members)
	}
	return found, nil
}

// difference is what became of the keys of one set in another.
type difference struct {
	Added   []string    `json:"added"`
	Removed []string    `json:"removed"`
	Changed []keyChange `json:"changed"`
}

type keyChange struct {
	KeyID   string   `json:"kid"`
	Members []string `json:"members"` // that differ; their values are not shown
}

func (d difference) empty() bool { return len(d.Added)+len(d.Removed)+len(d.Changed) == 0 }

func compare(before, after map[string][]map[string]any) difference {
	d := difference{[]string{}, []string{}, []keyChange{}}
	for _, id := range slices.Sorted(maps.Keys(before)) {
		if now, ok := after[id]; !ok {
			d.Removed = append(d.Removed, id)
		} else if members := differing(before[id], now); len(members) > 0 {
			d.Changed = append(d.Changed, keyChange{id, members})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(after)) {
		if _, ok := before[id]; !ok {
			d.Added = append(d.Added, id)
		}
	}
	return d
}

// differing names the members that are not the same. Most sets have one key of a
// kid; where one has several, they are compared in their order.
func differing(before, after []map[string]any) []string {
	names := map[string]bool{}
	for i := range max(len(before), len(after)) {
		var was, is map[string]any
		if i < len(before) {
			was = before[i]
		}
		if i < len(after) {
			is = after[i]
		}
		for _, members := range []map[string]any{was, is} {
			for name := range members {
				if !reflect.DeepEqual(was[name], is[name]) {
					names[name] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func (d difference) rows() [][]string {
	var rows [][]string
	for _, id := range d.Removed {
		rows = append(rows, []string{"removed", printable(id), "-"})
	}
	for _, c := range d.Changed {
		rows = append(rows, []string{"changed", printable(c.KeyID), printable(strings.Join(c.Members, ","))})
	}
	for _, id := range d.Added {
		rows = append(rows, []string{"added", printable(id), "-"})
	}
	return rows
}
