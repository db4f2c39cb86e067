package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

type keysPlanOptions struct {
	out   output
	until string
}

func (a *app) newKeysPlan() *cobra.Command {
	var o keysPlanOptions
	c := &cobra.Command{
		Use:   "plan",
		Short: "Show what the schedule will do, and when",
		Long: `Show what the schedule will do, and when, if no command changes anything. This runs
the schedule itself, with placeholders for keys that do not exist yet. On a terminal it
draws a timeline for each key; piped, each step is a line: TIME, STEP, KID.`,
		Example: `  jwksctl keys plan
  jwksctl keys plan --until +7d -o json`,
		Args: cobra.NoArgs,
	}
	c.Flags().StringVar(&o.until, "until", "", "end of the plan: RFC 3339, Unix seconds, or +7d (default: three rotations)")
	outputFlag(c, &o.out, "table")
	return a.withSettings(c, func(ctx context.Context, cfg settings, _ []string) error { return a.keysPlan(ctx, cfg, o) })
}

func (a *app) keysPlan(ctx context.Context, cfg settings, o keysPlanOptions) error {
	ks, err := readKeyset(ctx, cfg)
	if err != nil {
		return err
	}
	now := a.now()
	until := now.Add(3 * ks.Policy.RotationInterval)
	if o.until != "" {
		if until, err = parseTime(o.until, now); err != nil {
			return badUsage("--until: %v", err)
		}
	}
	if until.Before(now) {
		return badUsage("--until: %s has passed", until.UTC().Format(time.RFC3339))
	}
	if most := latestPlanned(now, ks.Policy.RotationInterval); until.After(most) {
		return badUsage("--until: more than %d rotations or 290 years ahead; the latest possible time is %s", maxPlanned, most.UTC().Format(time.RFC3339))
	}
	events, err := ks.Forecast(now, until)
	if err != nil {
		return err
	}
	if o.out.json {
		if events == nil {
			events = []keys.Event{}
		}
		return a.printJSON(events)
	}
	if a.terminal(a.stdout) {
		a.drawPlan(ks, events, now, until)
	}
	var rows [][]string
	for _, e := range events {
		kid := e.KeyID
		if kid == "" {
			kid = "(new key)"
		}
		rows = append(rows, []string{a.when(e.At, now), string(e.Step), kid})
	}
	a.table([]string{"WHEN", "STEP", "KID"}, rows)
	return nil
}

// maxPlanned is the longest plan, in rotations, so that it ends within seconds.
const maxPlanned = 1000

// latestPlanned is the latest end of a plan. A Duration has room for 292 years.
func latestPlanned(now time.Time, rotation time.Duration) time.Time {
	const most = 290 * 365 * 24 * time.Hour
	return now.Add(rotation * min(maxPlanned, most/rotation))
}

// drawPlan draws a line for each published key: its state over the planned time.
func (a *app) drawPlan(ks keys.Keyset, events []keys.Event, now, until time.Time) {
	const label = 10 // characters of a kid, enough to distinguish keys
	columns := min(max(a.width(a.stdout), 40), 100) - label - 2
	at := func(column int) time.Time {
		return now.Add(time.Duration(int64(until.Sub(now)) / int64(columns) * int64(column)))
	}
	symbols := map[keys.State]string{keys.Pending: "·", keys.Active: "█", keys.Retired: "░", keys.Expired: " ", keys.Revoked: " "}
	for _, k := range ks.Sorted(now) {
		if !rowOf(k, ks, now).Published {
			continue
		}
		var line strings.Builder
		for column := range columns {
			line.WriteString(symbols[plannedState(k, events, now, at(column))])
		}
		a.print("%-*s  %s\n", label, k.KeyID()[:label], line.String())
	}
	left, right := now.Local().Format(time.DateTime), until.Local().Format(time.DateTime)
	gap := max(columns-len(left)-len(right), 1)
	a.print("%-*s  %s%s%s\n", label, "", left, strings.Repeat(" ", gap), right)
	a.print("%-*s  · pending   █ active   ░ retired\n\n", label, "")
}

// plannedState is the state that a key will have at a time in the planned future.
func plannedState(k keys.Key, events []keys.Event, now, at time.Time) keys.State {
	state := k.State(now)
	for _, e := range events {
		switch {
		case e.At.After(at):
			return state
		case e.Step == keys.StepActivate && e.KeyID == k.KeyID():
			state = keys.Active
		case e.Step == keys.StepActivate && state == keys.Active:
			state = keys.Retired
		case e.Step == keys.StepExpire && e.KeyID == k.KeyID():
			state = keys.Expired
		}
	}
	return state
}
