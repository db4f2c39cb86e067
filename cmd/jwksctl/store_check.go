package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

func (a *app) newStoreCheck() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:   "check",
		Short: "Check the store while servers use it",
		Long: `Check the store while servers use it: the document and its version, the order of its
stamps, that each private key is there, opens with the sealing key and belongs to its kid,
that there are no others, that the store lacks nothing that this machine has seen, and the
files or the server of the engine. Nothing is changed.

It prints a line for each check: its name, its status (ok, finding, or not checked), and
what was found. A check that did not run, such as that of the private keys without the
sealing key, says so. The exit code is 1 if there is a finding.`,
		Example: `  jwksctl store check
  jwksctl store check -o json | jq '.checks[] | select(.status != "ok")'`,
		Args: cobra.NoArgs,
	}
	outputFlag(c, &out, "table")
	return a.withSettings(c, func(ctx context.Context, cfg settings, _ []string) error { return a.storeCheck(ctx, cfg, out) })
}

func (a *app) storeCheck(ctx context.Context, cfg settings, out output) error {
	s, err := openStoreToRead(ctx, cfg.places)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // nothing was written
	o := storeOptions(cfg, cfg.places, s)
	if o.Sealer, err = sealerIfThere(ctx, cfg); err != nil {
		return err
	}
	results, err := keys.Check(ctx, o)
	if errors.Is(err, keys.ErrNoKeyset) {
		return noKeyset(cfg.places)
	}
	if err != nil {
		return err
	}
	return a.printChecks(out, cfg.places, results)
}

// sealerIfThere reads the sealing keys, nil if they are in a file that does not exist.
func sealerIfThere(ctx context.Context, c settings) (keys.Sealer, error) {
	if c.places.sealKey.IsZero() {
		return nil, nil
	}
	if path, ok := c.places.sealKey.Path(); ok {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	return openSealer(ctx, c, false)
}

// printChecks prints the results. Those that did not run are named on standard error too.
func (a *app) printChecks(out output, p places, results []keys.CheckResult) error {
	count := map[keys.CheckStatus]int{}
	var notRun []string
	var cells [][]string
	for _, r := range results {
		count[r.Status]++
		if r.Status == keys.CheckNotRun {
			notRun = append(notRun, r.Check)
		}
		cells = append(cells, []string{r.Check, string(r.Status), strings.Join(strings.Fields(r.Detail), " ")})
	}
	if out.json {
		err := a.printJSON(struct {
			Store      string             `json:"store"`
			Findings   int                `json:"findings"`
			NotChecked int                `json:"not_checked"`
			Checks     []keys.CheckResult `json:"checks"`
		}{storeName(p), count[keys.CheckFinding], count[keys.CheckNotRun], results})
		if err != nil {
			return err
		}
	} else {
		a.table([]string{"CHECK", "STATUS", "DETAIL"}, cells)
	}
	if len(notRun) > 0 {
		a.printMessage("%s not checked: %s", a.paint(a.stderr, yellow, "warning:"), strings.Join(notRun, ", "))
	}
	if n := count[keys.CheckFinding]; n > 0 {
		return fmt.Errorf("the check has %d findings", n)
	}
	return nil
}
