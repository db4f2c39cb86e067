package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

type keysRevokeOptions struct {
	orderFlags
	confirm string
}

func (a *app) newKeysRevoke() *cobra.Command {
	var o keysRevokeOptions
	c := &cobra.Command{
		Use:   "revoke KID",
		Short: "Pull a key at once: every token that it signed becomes worthless",
		Long: `Pull a key out of the JWK Set at once and destroy its private half. If it is the
active key, the pending one signs from the same commit; if that one is not ready,
revoking is refused (exit code 5) unless it is forced.

It prints from when no process serves the key any more and from when no cache that
honours our headers can hold it. Verifiers that ignore those headers are beyond reach.

On a terminal it asks you to type the kid; elsewhere --confirm KID must repeat it.`,
		Example: `  jwksctl keys revoke Fb3k --reason "laptop stolen"
  jwksctl keys revoke "$KID" --confirm "$KID" --reason leaked --force
  jwksctl keys revoke Fb3k --dry-run`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeKeys,
	}
	o.register(c.Flags())
	c.Flags().StringVar(&o.confirm, "confirm", "", "the whole kid once more, in place of the question")
	outputFlag(c, &o.out, "text")
	return a.keysCommand(c, func(ctx context.Context, cfg config.Config, args []string) error {
		return a.keysRevoke(ctx, cfg, o, args[0])
	})
}

func (a *app) keysRevoke(ctx context.Context, cfg config.Config, o keysRevokeOptions, prefix string) error {
	ring, err := openRing(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = ring.Close() }() // every write was committed by itself
	before := ring.Keyset()
	k, err := findKey(before, prefix, a.now())
	if err != nil {
		return err
	}
	if s := before.Specimen; s != nil && s.KeyID() == k.KeyID() {
		return badUsage("key %s was never published and signs expired tokens only: there is nothing to revoke", k.KeyID())
	}
	asking := o.confirm == "" && a.terminal(a.stdin)
	if o.dryRun || asking { // nobody should be asked for what is refused then
		next, err := ring.Preview(func(ks keys.Keyset, now time.Time, m keys.StepInput) (keys.Keyset, keys.Effect, error) {
			return ks.Revoke(now, k.KeyID(), m, o.order())
		})
		if err != nil {
			return err
		}
		if o.dryRun {
			return a.tellRevocation(o, k, before, next)
		}
	}
	if err := a.confirmed(o, k); err != nil {
		return err
	}
	if err := ring.Revoke(ctx, k.KeyID(), o.order()); err != nil {
		return err
	}
	return a.tellRevocation(o, k, before, ring.Keyset())
}

// confirmed has a person, or a script, name the key once more.
func (a *app) confirmed(o keysRevokeOptions, k keys.Key) error {
	given := o.confirm
	if given == "" {
		if !a.terminal(a.stdin) {
			return badUsage("revoking cannot be undone: repeat the whole kid with --confirm %s", k.KeyID())
		}
		_, _ = fmt.Fprintf(a.stderr, "%s key %s (%s) stops verifying for good. Type its kid to go on: ",
			a.paint(a.stderr, red, "revoke:"), k.KeyID(), k.State(a.now()))
		line, err := bufio.NewReader(a.stdin).ReadString('\n')
		if err != nil {
			return badUsage("not confirmed: %v", err)
		}
		given = strings.TrimSpace(line)
	}
	if given != k.KeyID() {
		return badUsage("not confirmed: %q is not the kid %s", given, k.KeyID())
	}
	return nil
}

// tellRevocation says until when the key may still be seen, in the worst case
// and with the store in reach.
func (a *app) tellRevocation(o keysRevokeOptions, k keys.Key, before, after keys.Keyset) error {
	now := a.now()
	for _, old := range after.History {
		if old.KeyID() == k.KeyID() && !old.RevokedAt.IsZero() {
			now = old.RevokedAt
		}
	}
	bounds := before.RevocationBounds(now)
	active := after.Active()
	if o.out.json {
		return a.printJSON(struct {
			DryRun    bool      `json:"dry_run"`
			Revoked   string    `json:"revoked"`
			RevokedAt time.Time `json:"revoked_at"`
			keys.RevocationBounds
			Active string `json:"active"`
		}{o.dryRun, k.KeyID(), now, bounds, active.KeyID()})
	}
	verb := "is revoked"
	if o.dryRun {
		verb = "would be revoked"
	}
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	a.print("%s\n", k.KeyID())
	a.say("%s %s; %s signs", k.KeyID(), verb, active.KeyID())
	a.say("a process that reaches the store stops serving it within about a second")
	a.say("no process serves it after                        %s", stamp(bounds.Served))
	a.say("no cache that honours our headers has it after    %s", stamp(bounds.Cached))
	a.say("  nor one behind a proxy whose Age it ignores     %s", stamp(bounds.CachedWithNoAge))
	if active.Forced && before.Active().KeyID() != active.KeyID() {
		a.say("%s the new key was not ready: some verifiers may not find it before %s",
			a.paint(a.stderr, yellow, "warning:"), stamp(active.ReadyAt))
	}
	return nil
}
