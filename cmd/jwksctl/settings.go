package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/seal"
	"github.com/jwksctl/jwksctl/pkg/store"
)

// settings are the settings of one command, and the places that follow from them.
type settings struct {
	config.Config
	places  places
	sealEnv seal.Environment // what a source of sealing keys uses of the process, without a log
	log     *slog.Logger     // what the keyset reports; serve has another one
	flags   *pflag.FlagSet   // with which they were loaded, to load them again
	audit   *auditor         // nil for a command that signs and changes nothing, or if there is no audit log
}

// settings loads the settings for a command. Every command refuses the values that no
// command can use, also if it does not use them itself.
func (a *app) settings(flags *pflag.FlagSet) (settings, error) {
	c, err := config.Load(a.configFile, flags, a.environ)
	if err == nil {
		err = checkValues(c)
	}
	env := seal.Environment{Environ: a.environ, Unset: a.unsetenv}
	return settings{c, findPlaces(c, a.stateFolder), env, a.warnings(), flags, nil}, err
}

// checkValues checks each value by itself, as far as package config cannot. Whether the
// policy's values fit together may depend on the keyset.
func checkValues(c config.Config) error {
	for _, path := range []string{c.Store, c.SealKey, c.TLSCert, c.TLSKey, c.ReadyFile, c.AuditLog} {
		if secretAt(path) >= 0 {
			return errSecret() // a file that does not exist could be made, and have the secret in its name
		}
	}
	if _, err := parseClients(c); err != nil {
		return err
	}
	given, err := policySettings(c)
	if err != nil {
		return err
	}
	problems := []error{given.Validate()}
	if c.Store != "" {
		problems = append(problems, store.CheckURL(c.Store))
	}
	if c.SealKey != "" {
		if _, err := seal.ParseSource(c.SealKey); err != nil {
			problems = append(problems, fmt.Errorf("seal_key: %w", err))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return usageError{err}
	}
	return nil
}

// withSettings gives a command its code, which is called with the settings.
func (a *app) withSettings(c *cobra.Command, do func(ctx context.Context, cfg settings, args []string) error) *cobra.Command {
	c.RunE = a.run(func(ctx context.Context, args []string) error {
		cfg, err := a.settings(c.Flags())
		if err != nil {
			return err
		}
		return do(ctx, cfg, args)
	})
	return c
}

// settingsFlags registers a flag for each setting. The root command has the flags
// of those that say where the keyset is.
func settingsFlags(flags *pflag.FlagSet) {
	for _, k := range config.Keys() {
		if k.Group != config.GroupStore && k.Flag != "" {
			config.Flags(flags, k.Name)
		}
	}
}

// newKeysetFlag adds the flag of the commands that create a keyset.
func newKeysetFlag(c *cobra.Command, to *bool) {
	c.Flags().BoolVar(to, "new-keyset", false, "create a keyset in an empty store even if an earlier one was lost; the tokens of that one become invalid")
}

// policySettings are the policy's settings that the user gave. The others stay as
// the keyset has them, or get their defaults if there is no keyset yet.
func policySettings(c config.Config) (keys.Settings, error) {
	s := keys.Settings{
		Issuer: c.Issuer, KeySize: c.KeySize, TokenTTL: c.TokenTTL, JWKSMaxAge: c.JWKSMaxAge,
		MaxStaleness: c.MaxStaleness, Leeway: c.Leeway, ClockSkew: c.ClockSkew,
		MinClockSkew: store.MinClockSkew(c.Store),
	}
	// These have a default that does not depend on other settings, so that their
	// value does not tell whether it was given.
	if c.Given("algorithm") {
		alg, err := jwk.ParseAlgorithm(c.Algorithm)
		if err != nil {
			return s, badUsage("algorithm: %v", err)
		}
		s.Algorithm = alg
	}
	if c.Given("rotation_interval") {
		s.RotationInterval = c.RotationInterval
	}
	if c.Given("expired_tokens") {
		s.ExpiredTokens = &c.ExpiredTokens
	}
	return s, nil
}

// checkPolicySettings refuses settings that differ from the policy of the keyset:
// only serve changes the policy, and another command would silently ignore them.
func checkPolicySettings(c config.Config, ks keys.Keyset) error {
	given, err := policySettings(c)
	if err != nil {
		return err
	}
	given.MinClockSkew = 0 // whether the keyset's own clock_skew suits the store is found by opening a ring
	wanted, err := ks.Policy.With(given)
	if err != nil {
		return usageError{err}
	}
	var problems []error
	for _, d := range ks.Policy.Differences(wanted) {
		if c.Given(d.Setting) {
			problems = append(problems, badUsage("%s is %s in the keyset, not %s: only 'jwksctl serve', unless auth is off, changes the policy; leave the setting out, or serve with it",
				d.Setting, d.Old, d.New))
		}
	}
	return errors.Join(problems...)
}
