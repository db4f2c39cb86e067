package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

func (a *app) newKeysRotate() *cobra.Command {
	var o stepFlags
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Sign with the pending key now, ahead of schedule",
		Long: `Retire the active key and sign with the pending one from now on. This is refused (exit
code 5) while caches may not have the pending key yet; the message says until when.
--force rotates nevertheless: some verifiers will reject good tokens until they fetch
the JWK Set again.`,
		Example: `  jwksctl keys rotate
  jwksctl keys rotate --dry-run
  jwksctl keys rotate --force --reason "suspected leak"`,
		Args: cobra.NoArgs,
	}
	o.register(c.Flags())
	outputFlag(c, &o.out, "text")
	return a.withAudit(c, func(ctx context.Context, cfg settings, _ []string) error { return a.keysRotate(ctx, cfg, o) })
}

func (a *app) keysRotate(ctx context.Context, cfg settings, o stepFlags) error {
	cfg.audit.because(o.reason)
	ring, err := openRing(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = ring.Close() }() // each write is committed when it is made
	before := ring.Keyset()
	if o.dryRun {
		next, err := ring.Preview(func(ks keys.Keyset, now time.Time, in keys.StepInput) (keys.Keyset, keys.Effect, error) {
			return ks.Rotate(now, in, o.request())
		})
		if err != nil {
			return err
		}
		return a.printRotation(o, before, next)
	}
	if err := ring.Rotate(ctx, o.request()); err != nil {
		return err
	}
	return a.printRotation(o, before, ring.Keyset())
}

// printRotation prints which key signs now and when the other leaves the JWK Set.
func (a *app) printRotation(o stepFlags, before, after keys.Keyset) error {
	old, active := before.Active(), after.Active()
	if o.out.json {
		return a.printJSON(struct {
			DryRun  bool   `json:"dry_run"`
			Active  keyRow `json:"active"`
			Retired string `json:"retired"`
		}{o.dryRun, rowOf(active, after, a.now()), old.KeyID()})
	}
	signs, isRetired := "signs", "is retired"
	if o.dryRun {
		signs, isRetired = "would sign", "would be retired"
	}
	a.print("%s\n", active.KeyID())
	a.printMessage("%s %s now; %s %s", active.KeyID(), signs, old.KeyID(), isRetired)
	for _, k := range after.Keys {
		if k.KeyID() == old.KeyID() {
			a.printMessage("the retired key leaves the JWK Set at %s", k.ExpiresAt.UTC().Format(time.RFC3339))
		}
	}
	if active.Forced {
		a.printMessage("%s the new key was not ready: some verifiers may not find it before %s",
			a.paint(a.stderr, yellow, "warning:"), active.ReadyAt.UTC().Format(time.RFC3339))
	}
	return nil
}
