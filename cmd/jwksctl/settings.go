package main

import (
	"errors"

	"github.com/spf13/pflag"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// settings loads the configuration for a command.
func (a *app) settings(flags *pflag.FlagSet) (config.Config, error) {
	return config.Load(a.configFile, flags, a.environ)
}

// policyKeys are the settings that the keyset records.
func policyKeys() []string {
	return []string{
		"issuer", "algorithm", "key_size", "rotation_interval", "token_ttl", "jwks_max_age",
		"max_staleness", "leeway", "clock_skew", "expired_tokens",
	}
}

// policySettings are the stated settings of the policy. What was not stated is
// left to the keyset, or to the defaults where there is none yet.
func policySettings(c config.Config) (keys.Settings, error) {
	var s keys.Settings
	if c.Given("algorithm") {
		alg, err := jwk.ParseAlgorithm(c.Algorithm)
		if err != nil {
			return s, badUsage("algorithm: %v", err)
		}
		s.Algorithm = alg
	}
	s.KeySize, s.Issuer = c.KeySize, c.Issuer
	if c.Given("rotation_interval") {
		s.RotationInterval = c.RotationInterval
	}
	s.TokenTTL, s.JWKSMaxAge, s.MaxStaleness = c.TokenTTL, c.JWKSMaxAge, c.MaxStaleness
	s.Leeway, s.ClockSkew = c.Leeway, c.ClockSkew
	if c.Given("expired_tokens") {
		s.ExpiredTokens = &c.ExpiredTokens
	}
	return s, nil
}

// agree refuses settings that differ from the policy of the keyset: only serve
// changes it, and anything else would be silently ignored.
func agree(c config.Config, ks keys.Keyset) error {
	stated, err := policySettings(c)
	if err != nil {
		return err
	}
	wanted, err := ks.Policy.With(stated)
	if err != nil {
		return usageError{err}
	}
	var problems []error
	for _, d := range ks.Policy.Differences(wanted) {
		if c.Given(d.Setting) {
			problems = append(problems, badUsage("%s is %s in the keyset, not %s: only 'jwksctl serve' changes the policy; leave the setting out, or serve with it",
				d.Setting, d.Old, d.New))
		}
	}
	return errors.Join(problems...)
}
