package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

type keysRevokeOptions struct {
	stepFlags
	confirm string
}

func (a *app) newKeysRevoke() *cobra.Command {
	var o keysRevokeOptions
	c := &cobra.Command{
		Use:   "revoke KID",
		Short: "Revoke a key at once: verifiers reject every token that it signed",
		Long: `Remove a key from the JWK Set at once and destroy its private key. If it is the active
key, the pending key signs from the same commit on; if that one is not ready, revoking
is refused (exit code 5) unless --force is given.

It prints the time after which no process serves the key, and the time after which no
cache that honours our headers can still have it. Verifiers that ignore those headers
may keep the key for longer.

A clock that is wrong keeps no key from being revoked. The stamp is then that of the
newest change if the clock is behind it, and the next key is published by a process
whose clock is right.

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
	return a.withSettings(c, func(ctx context.Context, cfg settings, args []string) error {
		if err := a.openAudit(ctx, &cfg, commandName(c)); err != nil {
			cfg.log.ErrorContext(ctx, "the key is revoked without a line in the audit log", "error", err.Error()) // it must not wait for a disk
		}
		defer cfg.audit.close()
		return a.keysRevoke(ctx, cfg, o, args[0])
	})
}

func (a *app) keysRevoke(ctx context.Context, cfg settings, o keysRevokeOptions, prefix string) error {
	cfg.audit.because(o.reason)
	ring, err := openRing(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = ring.Close() }() // each write is committed when it is made
	before := ring.Keyset()
	k, err := findKey(before, prefix, a.now())
	if err != nil {
		return err
	}
	if s := before.Specimen; s != nil && s.KeyID() == k.KeyID() {
		return badUsage("key %s was never published and signs expired tokens only: there is nothing to revoke", k.KeyID())
	}
	asks := o.confirm == "" && a.terminal(a.stdin)
	if o.dryRun || asks { // a revocation that will be refused must not ask first
		next, err := ring.PreviewRevocation(k.KeyID(), o.request())
		if err != nil {
			return err
		}
		if o.dryRun {
			return a.printRevocation(o, k, before, next, ring.Status().Clock)
		}
	}
	if err := a.confirm(o, k); err != nil {
		return err
	}
	if err := ring.Revoke(ctx, k.KeyID(), o.request()); err != nil {
		return err
	}
	return a.printRevocation(o, k, before, ring.Keyset(), ring.Status().Clock)
}

// confirm makes sure that the user, or a script, means this key.
func (a *app) confirm(o keysRevokeOptions, k keys.Key) error {
	typed := o.confirm
	if typed == "" {
		if !a.terminal(a.stdin) {
			return badUsage("revoking cannot be undone: repeat the whole kid with --confirm %s", k.KeyID())
		}
		_, _ = fmt.Fprintf(a.stderr, "%s verifiers will reject every token of key %s (%s), and this cannot be undone. Type its kid to go on: ",
			a.paint(a.stderr, red, "revoke:"), k.KeyID(), k.State(a.now()))
		line, err := bufio.NewReader(a.stdin).ReadString('\n')
		if err != nil {
			return badUsage("not confirmed: %v", err)
		}
		typed = strings.TrimSpace(line)
	}
	if typed != k.KeyID() {
		return badUsage("not confirmed: %q is not the kid %s", typed, k.KeyID())
	}
	return nil
}

// printRevocation prints until when processes and caches may have the key. clock is why
// this machine's clock cannot be trusted, nil if it can.
func (a *app) printRevocation(o keysRevokeOptions, k keys.Key, before, after keys.Keyset, clock *keys.Refusal) error {
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
			Clock  string `json:"clock,omitempty"` // why the clock cannot be trusted: the bounds then count from a wrong time
		}{o.dryRun, k.KeyID(), now, bounds, active.KeyID(), clock.String()})
	}
	verb := "is revoked"
	if o.dryRun {
		verb = "would be revoked"
	}
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	a.print("%s\n", k.KeyID())
	a.printMessage("%s %s; %s signs", k.KeyID(), verb, active.KeyID())
	a.printMessage("a process that reaches the store stops serving it within about a second")
	a.printMessage("no process serves it after                                                  %s", stamp(bounds.Served))
	a.printMessage("no cache that honours our headers has it after                              %s", stamp(bounds.Cached))
	a.printMessage("clients that ignore the Age header behind a shared cache may keep it until  %s", stamp(bounds.CachedWithNoAge))
	if clock != nil {
		a.printMessage("%s %v", a.paint(a.stderr, yellow, "warning:"), clock)
		a.printMessage("the times above count from %s; if that is not now, count %v, %v and %v from now", stamp(now),
			bounds.Served.Sub(now), bounds.Cached.Sub(now), bounds.CachedWithNoAge.Sub(now))
		a.printMessage("a process whose clock is right publishes the next key")
	}
	if active.Forced && before.Active().KeyID() != active.KeyID() {
		a.printMessage("%s the new key was not ready: some verifiers may not find it before %s",
			a.paint(a.stderr, yellow, "warning:"), stamp(active.ReadyAt))
	}
	return nil
}
