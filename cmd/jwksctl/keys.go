package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

func (a *app) newKeys() *cobra.Command {
	return group("keys", "Show the keys and change which one signs",
		a.newKeysList(), a.newKeysShow(), a.newKeysRotate(), a.newKeysRevoke(), a.newKeysPlan(),
		a.newKeysImport(), a.newKeysExport(), a.newKeysAcceptRestore())
}

// keysCommand completes a command that reads the keyset.
func (a *app) keysCommand(c *cobra.Command, do func(ctx context.Context, cfg config.Config, args []string) error) *cobra.Command {
	c.RunE = a.run(func(ctx context.Context, args []string) error {
		cfg, err := a.settings(c.Flags())
		if err != nil {
			return err
		}
		return do(ctx, cfg, args)
	})
	return c
}

// keyRow is a key as the commands show it.
type keyRow struct {
	KeyID     string     `json:"kid"`
	Algorithm string     `json:"alg"`
	Size      int        `json:"size"`
	State     keys.State `json:"state"`
	Published bool       `json:"published"`
	Specimen  bool       `json:"specimen,omitempty"`

	CreatedAt   time.Time `json:"created_at"`
	ReadyAt     time.Time `json:"ready_at,omitzero"`
	ActiveAt    time.Time `json:"active_at,omitzero"`
	RetiredAt   time.Time `json:"retired_at,omitzero"`
	DestroyAt   time.Time `json:"destroy_at,omitzero"`
	DestroyedAt time.Time `json:"destroyed_at,omitzero"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	RevokedAt   time.Time `json:"revoked_at,omitzero"`

	Reason     string `json:"reason,omitempty"`
	Forced     bool   `json:"forced,omitempty"`
	Unreadable string `json:"unreadable,omitempty"` // why the private half cannot be opened
}

func rowOf(k keys.Key, ks keys.Keyset, now time.Time) keyRow {
	state := k.State(now)
	return keyRow{
		KeyID: k.KeyID(), Algorithm: string(k.JWK.Algorithm()), Size: k.JWK.Size(), State: state,
		Published: state == keys.Pending || state == keys.Active || state == keys.Retired,
		Specimen:  ks.Specimen != nil && ks.Specimen.KeyID() == k.KeyID(),
		CreatedAt: k.CreatedAt, ReadyAt: k.ReadyAt, ActiveAt: k.ActiveAt, RetiredAt: k.RetiredAt,
		DestroyAt: k.DestroyAt, DestroyedAt: k.DestroyedAt, ExpiresAt: k.ExpiresAt, RevokedAt: k.RevokedAt,
		Reason: k.Reason, Forced: k.Forced,
	}
}

// stamps names the stamps of a row in the order of a key's life.
func (r keyRow) stamps() []namedTime {
	return []namedTime{
		{"created_at", r.CreatedAt},
		{"ready_at", r.ReadyAt},
		{"active_at", r.ActiveAt},
		{"retired_at", r.RetiredAt},
		{"destroy_at", r.DestroyAt},
		{"destroyed_at", r.DestroyedAt},
		{"expires_at", r.ExpiresAt},
		{"revoked_at", r.RevokedAt},
	}
}

type namedTime struct {
	name string
	time time.Time
}

type keysListOptions struct {
	out   output
	all   bool
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
apply is "-".`,
		Example: `  jwksctl keys list
  jwksctl keys list --state active | cut -f1
  jwksctl keys list --all -o json | jq '.[] | select(.state == "revoked")'`,
		Args: cobra.NoArgs,
	}
	c.Flags().BoolVar(&o.all, "all", false, "list the history too: expired and revoked keys")
	c.Flags().StringVar(&o.state, "state", "", "list only the keys in this state")
	complete(c, "state", stateNames()...)
	outputFlag(c, &o.out, "table")
	return a.keysCommand(c, func(ctx context.Context, cfg config.Config, _ []string) error { return a.keysList(ctx, cfg, o) })
}

func stateNames() []string {
	return []string{string(keys.Pending), string(keys.Active), string(keys.Retired), string(keys.Expired), string(keys.Revoked)}
}

func (a *app) keysList(ctx context.Context, cfg config.Config, o keysListOptions) error {
	if o.state != "" && !strings.Contains(" "+strings.Join(stateNames(), " ")+" ", " "+o.state+" ") {
		return badUsage("--state: %q is none of %s", o.state, strings.Join(stateNames(), ", "))
	}
	ks, err := readKeyset(ctx, cfg)
	if err != nil {
		return err
	}
	now := a.now()
	rows := []keyRow{}
	broken := a.unreadable(ctx, cfg)
	for _, k := range ks.Sorted(now) {
		row := rowOf(k, ks, now)
		if err := broken[k.KeyID()]; err != nil {
			row.Unreadable = err.Error()
		}
		wanted := row.Published || row.Specimen || o.all
		if o.state != "" {
			wanted = string(row.State) == o.state
		}
		if wanted {
			rows = append(rows, row)
		}
	}
	if o.out.json {
		return a.printJSON(rows)
	}
	var cells [][]string
	for _, r := range rows {
		line := []string{r.KeyID, r.Algorithm, string(r.State)}
		for _, s := range []time.Time{r.CreatedAt, r.ReadyAt, r.ActiveAt, r.RetiredAt, r.ExpiresAt, r.RevokedAt} {
			line = append(line, a.when(s, now))
		}
		cells = append(cells, append(line, r.note()))
	}
	a.table([]string{"KID", "ALG", "STATE", "CREATED", "READY", "ACTIVE", "RETIRED", "EXPIRES", "REVOKED", "NOTE"}, cells)
	return nil
}

// unreadable says which private halves cannot be opened. Looking at keys needs
// no sealing key; without it, that they were not tried is all that can be said.
func (a *app) unreadable(ctx context.Context, cfg config.Config) map[string]error {
	ring, err := openRing(ctx, cfg)
	if err != nil {
		a.say("%s the private halves were not tried: %v", a.paint(a.stderr, yellow, "warning:"), err)
		return nil
	}
	defer func() { _ = ring.Close() }() // nothing was written
	return ring.Status().Unreadable
}

// note says in a word or two what the states do not.
func (r keyRow) note() string {
	switch {
	case r.Unreadable != "":
		return "unreadable: " + strings.Join(strings.Fields(r.Unreadable), " ")
	case r.Specimen:
		return "signs expired tokens"
	case r.Forced && r.Reason != "":
		return "forced: " + r.Reason
	case r.Forced:
		return "forced"
	case r.Reason != "":
		return strings.Join(strings.Fields(r.Reason), " ") // a tab or newline would break the row
	}
	return "-"
}

// when shows a stamp: as an age on a terminal, as RFC 3339 when piped.
func (a *app) when(t, now time.Time) string {
	switch {
	case t.IsZero():
		return "-"
	case a.terminal(a.stdout):
		return distance(t, now)
	}
	return t.UTC().Format(time.RFC3339)
}

func (a *app) newKeysShow() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:               "show KID",
		Short:             "Show one key with every stamp",
		Example:           "  jwksctl keys show Fb3k        # the beginning of a kid is enough, if it is unique",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeKeys,
	}
	outputFlag(c, &out, "text")
	return a.keysCommand(c, func(ctx context.Context, cfg config.Config, args []string) error {
		return a.keysShow(ctx, cfg, out, args[0])
	})
}

func (a *app) keysShow(ctx context.Context, cfg config.Config, out output, prefix string) error {
	ks, err := readKeyset(ctx, cfg)
	if err != nil {
		return err
	}
	now := a.now()
	k, err := findKey(ks, prefix, now)
	if err != nil {
		return err
	}
	row := rowOf(k, ks, now)
	if out.json {
		return a.printJSON(struct {
			keyRow
			Thumbprint string `json:"thumbprint"`
			JWK        any    `json:"jwk"`
		}{row, k.JWK.Thumbprint(), k.JWK})
	}
	a.print("kid\t%s\nalg\t%s\nsize\t%d\nstate\t%s\nthumbprint\t%s\n", row.KeyID, row.Algorithm, row.Size, row.State, k.JWK.Thumbprint())
	for _, s := range row.stamps() {
		if !s.time.IsZero() {
			a.print("%s\t%s (%s)\n", s.name, s.time.UTC().Format(time.RFC3339), distance(s.time, now))
		}
	}
	if note := row.note(); note != "-" {
		a.print("note\t%s\n", note)
	}
	return nil
}

// findKey finds a key by its kid or by the beginning of it.
func findKey(ks keys.Keyset, prefix string, now time.Time) (keys.Key, error) {
	if prefix == "" {
		return keys.Key{}, badUsage("the kid is empty")
	}
	var found []keys.Key
	for _, k := range ks.Sorted(now) {
		if k.KeyID() == prefix {
			return k, nil
		}
		if strings.HasPrefix(k.KeyID(), prefix) {
			found = append(found, k)
		}
	}
	switch len(found) {
	case 0:
		return keys.Key{}, fmt.Errorf("%w: %s; 'jwksctl keys list --all' shows them", keys.ErrUnknownKey, prefix)
	case 1:
		return found[0], nil
	}
	return keys.Key{}, badUsage("%d kids begin with %q: give more of it", len(found), prefix)
}

// orderFlags are what the commands that change keys have in common.
type orderFlags struct {
	out    output
	reason string
	force  bool
	dryRun bool
}

func (o *orderFlags) register(f *pflag.FlagSet) {
	f.StringVar(&o.reason, "reason", "", "why; recorded with the key")
	f.BoolVar(&o.force, "force", false, "do it even if some verifiers will not find the new key yet")
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would happen and change nothing")
}

func (o *orderFlags) order() keys.StepRequest {
	return keys.StepRequest{Reason: o.reason, Force: o.force}
}
