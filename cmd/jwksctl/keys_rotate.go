package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

func (a *app) newKeysRotate() *cobra.Command {
	var o orderFlags
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Have the pending key sign now, ahead of schedule",
		Long: `Retire the active key and have the pending one sign now. It is refused (exit code 5)
while caches may not have the pending key yet; the message says until when. --force
rotates all the same: some verifiers will reject good tokens until they refetch.`,
		Example: `  jwksctl keys rotate
  jwksctl keys rotate --dry-run
  jwksctl keys rotate --force --reason "suspected leak"`,
		Args: cobra.NoArgs,
	}
	o.register(c.Flags())
	outputFlag(c, &o.out, "text")
	return a.keysCommand(c, func(ctx context.Context, cfg config.Config, _ []string) error { return a.keysRotate(ctx, cfg, o) })
}

func (a *app) keysRotate(ctx context.Context, cfg config.Config, o orderFlags) error {
	ring, err := openRing(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = ring.Close() }() // every write was committed by itself
	before := ring.Keyset()
	if o.dryRun {
		next, err := ring.Preview(func(ks keys.Keyset, now time.Time, m keys.StepInput) (keys.Keyset, keys.Effect, error) {
			return ks.Rotate(now, m, o.order())
		})
		if err != nil {
			return err
		}
		return a.tellRotation(o, before, next)
	}
	if err := ring.Rotate(ctx, o.order()); err != nil {
		return err
	}
	return a.tellRotation(o, before, ring.Keyset())
}

// tellRotation says which key signs now and what becomes of the other.
func (a *app) tellRotation(o orderFlags, before, after keys.Keyset) error {
	was, is := before.Active(), after.Active()
	if o.out.json {
		return a.printJSON(struct {
			DryRun  bool   `json:"dry_run"`
			Active  keyRow `json:"active"`
			Retired string `json:"retired"`
		}{o.dryRun, rowOf(is, after, a.now()), was.KeyID()})
	}
	verb := "signs"
	if o.dryRun {
		verb = "would sign"
	}
	a.print("%s\n", is.KeyID())
	a.say("%s %s now; %s is retired", is.KeyID(), verb, was.KeyID())
	for _, k := range after.Keys {
		if k.KeyID() == was.KeyID() {
			a.say("the retired key leaves the JWK Set at %s", k.ExpiresAt.UTC().Format(time.RFC3339))
		}
	}
	if is.Forced {
		a.say("%s the new key was not ready: some verifiers may not find it before %s",
			a.paint(a.stderr, yellow, "warning:"), is.ReadyAt.UTC().Format(time.RFC3339))
	}
	return nil
}
