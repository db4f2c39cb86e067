package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// applyPolicySettings changes the policy of the keyset to the settings that were
// given, and logs what changed.
func (a *app) applyPolicySettings(ctx context.Context, ring *keys.Ring, c config.Config, log *slog.Logger) error {
	given, err := policySettings(c)
	if err != nil {
		return err
	}
	if _, err := ring.Policy().With(given); err != nil {
		return usageError{err}
	}
	oldLeeway := ring.Policy().Leeway
	changed, err := ring.SetPolicy(ctx, given)
	if err != nil {
		return fmt.Errorf("the policy was not changed: %w", err)
	}
	for _, d := range changed {
		log.WarnContext(ctx, "policy changed", "setting", d.Setting, "old", d.Old, "new", d.New)
	}
	ks := ring.Keyset()
	if ks.Policy.Leeway > oldLeeway {
		log.WarnContext(ctx, "verifiers may allow the longer leeway from this time on",
			"leeway", ks.Policy.Leeway.String(), "from", ks.LeewayValidFrom(a.now()).UTC().Format(time.RFC3339))
	}
	if clock := ring.Status().Clock; clock != nil {
		log.WarnContext(ctx, "this machine's clock cannot be trusted; tokens are signed, and every timed step waits",
			"reason", clock.Text, "next_step", string(ks.Upcoming()[0].Step), "due", ks.Next().UTC().Format(time.RFC3339))
	}
	return nil
}

// warnOfIssuer logs that the recorded issuer may be the wrong one, unless it was given.
func warnOfIssuer(ctx context.Context, issuer string, c config.Config, log *slog.Logger, url string) {
	switch everywhere := isEveryAddress(c.Host); {
	case c.Issuer != "", strings.HasPrefix(url, config.UnixPrefix): // a proxy in front has the URL
	case everywhere && isLoopback(issuer):
		log.WarnContext(ctx, "the server listens on every address, but tokens and discovery name an issuer that only this machine can reach; --issuer changes it",
			"issuer", issuer)
	case !everywhere && issuer != url:
		log.WarnContext(ctx, "the keyset records another issuer than this server's URL; tokens and discovery carry the recorded one; --issuer changes it",
			"issuer", issuer, "url", url)
	}
}
