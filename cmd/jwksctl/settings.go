package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/adrg/xdg"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/seal"
	"github.com/jwksctl/jwksctl/pkg/store"
	"github.com/jwksctl/jwksctl/pkg/store/witness"
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

// storeURL is the store that the settings name.
func storeURL(c config.Config) string {
	if c.Store != "" {
		return c.Store
	}
	return "sqlite:" + filepath.Join(stateFolder(), "keyset.db")
}

func stateFolder() string { return filepath.Join(xdg.StateHome, "jwksctl") }

// sealKeyPath is where the sealing key lies: beside the store, if that is a
// file, so that the two are mounted and moved together.
func sealKeyPath(c config.Config) string {
	if c.SealKeyFile != "" {
		return c.SealKeyFile
	}
	if path, ok := store.Path(storeURL(c)); ok {
		return filepath.Join(filepath.Dir(path), "seal.key")
	}
	return filepath.Join(stateFolder(), "seal.key")
}

// openWitness is the folder of the sealing key, where a file remembers what a
// restored store would have forgotten. A store without a place needs none.
func openWitness(c config.Config) keys.Witness {
	if _, ok := store.Path(storeURL(c)); !ok {
		return nil
	}
	return witness.Folder(filepath.Dir(sealKeyPath(c)))
}

// openStore opens the store to write in it.
func openStore(ctx context.Context, c config.Config) (keys.Store, error) {
	s, err := store.Open(ctx, storeURL(c))
	if errors.Is(err, store.ErrURL) {
		return nil, usageError{err}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", keys.ErrUnavailable, err)
	}
	return s, nil
}

// readKeyset reads the keyset for a command that only looks. Where there is
// none it creates nothing, not even the file.
func readKeyset(ctx context.Context, c config.Config) (keys.Keyset, error) {
	if path, ok := store.Path(storeURL(c)); ok {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return keys.Keyset{}, noKeyset(c)
		}
	}
	s, err := openStore(ctx, c)
	if err != nil {
		return keys.Keyset{}, err
	}
	defer func() { _ = s.Close() }() // nothing was written
	ks, err := keys.Read(ctx, s, openWitness(c))
	if errors.Is(err, keys.ErrNoKeyset) {
		return ks, noKeyset(c)
	}
	if err != nil {
		return ks, err
	}
	return ks, agree(c, ks)
}

func noKeyset(c config.Config) error {
	return fmt.Errorf("%w (%s): 'jwksctl serve' or 'jwksctl token' makes one", keys.ErrNoKeyset, config.Masked(storeURL(c)))
}

// opened is a ring with what must be closed after it.
type opened struct {
	*keys.Ring
	io.Closer
	founded bool // this command may have made the keyset
}

// openRing opens the keyset to act on it. With an issuer it makes the keyset
// where there is none; without one it does not.
func (a *app) openRing(ctx context.Context, c config.Config, log *slog.Logger, issuer string) (_ opened, err error) {
	stated, err := policySettings(c)
	if err != nil {
		return opened{}, err
	}
	if issuer == "" {
		if _, err := readKeyset(ctx, c); err != nil {
			return opened{}, err
		}
	}
	s, err := openStore(ctx, c)
	if err != nil {
		return opened{}, err
	}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	o := keys.Options{Store: s, Witness: openWitness(c), Log: log, Generate: newKey}
	switch _, err := s.Load(ctx); {
	case errors.Is(err, keys.ErrNoKeyset):
		return a.foundRing(ctx, c, o, stated, issuer)
	case err != nil:
		return opened{}, fmt.Errorf("%w: %w", keys.ErrUnavailable, err)
	}
	if o.Sealer, err = openSealer(c, false); err != nil {
		return opened{}, err
	}
	ring, err := keys.Open(ctx, o)
	return opened{Ring: ring, Closer: s}, err
}

// foundRing makes the keyset. The policy is judged before anything is made.
func (a *app) foundRing(ctx context.Context, c config.Config, o keys.Options, stated keys.Settings, issuer string) (opened, error) {
	if stated.Issuer == "" {
		stated.Issuer = issuer
	}
	policy, err := keys.NewPolicy(stated)
	if err != nil {
		return opened{}, usageError{err}
	}
	if o.Sealer, err = openSealer(c, true); err != nil {
		return opened{}, err
	}
	ring, err := keys.Found(ctx, o, policy)
	return opened{Ring: ring, Closer: o.Store, founded: true}, err
}

// newKey makes a key whose kid can stand on a command line: one that begins with
// a dash would be taken for a flag.
func newKey(alg jwk.Algorithm, size int) (jwk.PrivateKey, error) {
	for {
		k, err := jwk.Generate(alg, size)
		if err != nil || !strings.HasPrefix(k.Public().KeyID(), "-") {
			return k, err
		}
	}
}

// openSealer makes a sealing key only where there is nothing yet that another
// one may have sealed.
func openSealer(c config.Config, empty bool) (keys.Sealer, error) {
	if strings.HasPrefix(storeURL(c), "memory:") && c.SealKeyFile == "" {
		return seal.NewKey()
	}
	path := sealKeyPath(c)
	if empty {
		k, err := seal.Create(path)
		if err != nil {
			return nil, usageError{err}
		}
		return k, nil
	}
	k, err := seal.Load(path)
	if err != nil {
		return nil, usageError{err}
	}
	return k, nil
}

// baseURL is the server's own URL as the settings have it. A wildcard address
// is none that anybody can call, so loopback stands in for it.
func baseURL(c config.Config, port int) string {
	scheme, host := "http", c.Host
	if c.TLSCert != "" {
		scheme = "https"
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(port))
}

// logger writes to standard error as the settings say.
func (a *app) logger(c config.Config) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // config has checked it
	o := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "text" || (c.LogFormat == "" && a.terminal(a.stderr)) {
		return slog.New(slog.NewTextHandler(a.stderr, o))
	}
	return slog.New(slog.NewJSONHandler(a.stderr, o))
}

// outputFlag adds -o to a command whose result has a JSON form.
func outputFlag(c *cobra.Command, to *output, other string) {
	to.other = other
	c.Flags().VarP(to, "output", "o", "output format: "+other+" or json")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{other, "json"}, cobra.ShellCompDirectiveNoFileComp))
}

// output is a format: JSON, or the one form that a command has besides.
type output struct {
	json  bool
	other string
}

func (o *output) String() string {
	if o.json {
		return "json"
	}
	return o.other
}

func (o *output) Type() string { return "format" }

func (o *output) Set(text string) error {
	if text != "json" && text != o.other {
		return fmt.Errorf("want %s or json", o.other)
	}
	o.json = text == "json"
	return nil
}
