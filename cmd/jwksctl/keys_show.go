package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

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
	return a.withSettings(c, func(ctx context.Context, cfg settings, args []string) error {
		return a.keysShow(ctx, cfg, out, args[0])
	})
}

func (a *app) keysShow(ctx context.Context, cfg settings, out output, prefix string) error {
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
	for _, stamp := range []struct {
		name string
		time time.Time
	}{
		{"created_at", row.CreatedAt},
		{"ready_at", row.ReadyAt},
		{"active_at", row.ActiveAt},
		{"retired_at", row.RetiredAt},
		{"destroy_at", row.DestroyAt},
		{"destroyed_at", row.DestroyedAt},
		{"expires_at", row.ExpiresAt},
		{"revoked_at", row.RevokedAt},
	} {
		if !stamp.time.IsZero() {
			a.print("%s\t%s (%s)\n", stamp.name, stamp.time.UTC().Format(time.RFC3339), distance(stamp.time, now))
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
		return keys.Key{}, badUsage("the kid is empty; 'jwksctl keys list --all' shows the keys")
	}
	var matches []keys.Key
	for _, k := range ks.Sorted(now) {
		if k.KeyID() == prefix {
			return k, nil
		}
		if strings.HasPrefix(k.KeyID(), prefix) {
			matches = append(matches, k)
		}
	}
	switch len(matches) {
	case 0:
		return keys.Key{}, fmt.Errorf("%w: %s; 'jwksctl keys list --all' shows the keys", keys.ErrUnknownKey, prefix)
	case 1:
		return matches[0], nil
	}
	return keys.Key{}, badUsage("%q matches %d keys: use a longer prefix", prefix, len(matches))
}
