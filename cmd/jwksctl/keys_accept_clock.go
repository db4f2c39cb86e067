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

type keysAcceptClockOptions struct {
	out     output
	confirm string
	dryRun  bool
}

func (a *app) newKeysAcceptClock() *cobra.Command {
	var o keysAcceptClockOptions
	c := &cobra.Command{
		Use:   "accept-clock",
		Short: "Accept this machine's clock after another one wrote stamps from the future",
		Long: `Accept this machine's clock although the keyset has stamps from the future, because
another clock was far ahead when it changed the keyset. Until then no process whose clock
is right takes a step. Before you use it, set the clock right on each machine that uses
the store, this one included.

A stamp of what has happened becomes now. A stamp of what falls due becomes what it would
be if its step were taken now. What this may cost:

  - If this machine's clock is behind the true time, keys leave the JWK Set before their
    last tokens expire, and the next key signs before caches have it.
  - A token that was signed while the other clock was ahead has an exp in the future. It
    is good until its key leaves the JWK Set. 'jwksctl keys revoke' ends it at once.
  - A key that left the JWK Set too early, by the clock that was ahead, does not come back.

On a terminal it asks you to type today's date; elsewhere --confirm YYYY-MM-DD has it, in
UTC.`,
		Example: `  jwksctl keys accept-clock --dry-run
  jwksctl keys accept-clock --confirm 2026-01-02`,
		Args: cobra.NoArgs,
	}
	c.Flags().StringVar(&o.confirm, "confirm", "", "today's date in UTC, YYYY-MM-DD, in place of the question")
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "print what would happen and change nothing")
	outputFlag(c, &o.out, "text")
	return a.withAudit(c, func(ctx context.Context, cfg settings, _ []string) error { return a.keysAcceptClock(ctx, cfg, o) })
}

func (a *app) keysAcceptClock(ctx context.Context, cfg settings, o keysAcceptClockOptions) error {
	ring, err := openRing(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = ring.Close() }() // each write is committed when it is made
	before := ring.Keyset()
	next, err := ring.PreviewAcceptClock()
	if err != nil {
		return err
	}
	if o.dryRun || next.Version == before.Version {
		return a.printAcceptedClock(o, before, next)
	}
	if err := a.confirmDate(o, before); err != nil {
		return err
	}
	if err := ring.AcceptClock(ctx); err != nil {
		return err
	}
	after := ring.Keyset()
	if err := ring.Step(ctx); err != nil {
		a.printMessage("jwksctl: a step that is due was not taken: %v", err)
	}
	return a.printAcceptedClock(o, before, after)
}

// confirmDate makes sure that a person has compared this machine's clock with another one.
func (a *app) confirmDate(o keysAcceptClockOptions, ks keys.Keyset) error {
	typed, now := o.confirm, a.now().UTC()
	if typed == "" {
		if !a.terminal(a.stdin) {
			return badUsage("this machine's clock says %s, and the newest stamp is %s: if the clock is right, give today's date in UTC with --confirm YYYY-MM-DD",
				now.Format(time.RFC3339), ks.ChangedAt.UTC().Format(time.RFC3339))
		}
		_, _ = fmt.Fprintf(a.stderr, "%s this machine's clock says %s, and the newest stamp of the keyset is %s. If the clock is right, type today's date in UTC (YYYY-MM-DD) to go on: ",
			a.paint(a.stderr, red, "accept-clock:"), now.Format(time.RFC3339), ks.ChangedAt.UTC().Format(time.RFC3339))
		line, err := bufio.NewReader(a.stdin).ReadString('\n')
		if err != nil {
			return badUsage("not confirmed: %v", err)
		}
		typed = strings.TrimSpace(line)
	}
	return checkDate(typed, now)
}

// checkDate compares a date that a person typed with this machine's clock.
func checkDate(typed string, now time.Time) error {
	if typed != now.UTC().Format(time.DateOnly) {
		return badUsage("not confirmed: %q is not the date of this machine's clock in UTC: if the clock is wrong, set it right first", typed)
	}
	return nil
}

// printAcceptedClock prints by how much the newest stamp moved.
func (a *app) printAcceptedClock(o keysAcceptClockOptions, before, after keys.Keyset) error {
	changed := after.Version != before.Version
	if o.out.json {
		return a.printJSON(struct {
			DryRun    bool      `json:"dry_run"`
			Changed   bool      `json:"changed"`
			Version   uint64    `json:"version"`
			NewestWas time.Time `json:"newest_was"` // the newest stamp
			NewestIs  time.Time `json:"newest_is"`
			Rotation  time.Time `json:"next_rotation,omitzero"`
		}{o.dryRun, changed, after.Version, before.ChangedAt, after.ChangedAt, after.NextRotation()})
	}
	if !changed {
		a.printMessage("there is nothing to accept: no stamp of the keyset is ahead of this machine's clock by more than clock_skew (%v)", before.Policy.ClockSkew)
		return nil
	}
	verb := "is"
	if o.dryRun {
		verb = "would be"
	}
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	a.print("%s\n", after.Active().KeyID())
	a.printMessage("the newest stamp was %s and %s %s", stamp(before.ChangedAt), verb, stamp(after.ChangedAt))
	a.printMessage("%s tokens that were signed while the other clock was ahead stay good until their keys leave the JWK Set; see --help", a.paint(a.stderr, yellow, "warning:"))
	return nil
}
