package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

const (
	// FileVariable is the variable that names the settings file if --config is not given.
	FileVariable = "JWKSCTL_CONFIG"

	prefix = "JWKSCTL_"
	auto   = "auto"
)

// Group is the heading under which a setting is listed.
type Group string

// The groups, in order. The keyset records the settings of GroupPolicy, except the
// audience.
const (
	GroupListen Group = "listen"
	GroupPolicy Group = "policy"
	GroupStore  Group = "store"
	GroupLog    Group = "log"
	GroupLimits Group = "limits"
)

// setting is one row of the table. Its default is the value of its field in Default(),
// and its kind follows from the field's type.
type setting struct {
	key   string
	group Group
	auto  bool              // the default is derived from others: zero in Config, "auto" in text
	field func(*Config) any // a pointer to the field
	usage string
}

func table() []setting {
	return []setting{
		{"host", GroupListen, false, func(c *Config) any { return &c.Host }, "address to listen on, or unix:/PATH for a Unix socket"},
		{"port", GroupListen, false, func(c *Config) any { return &c.Port }, "port to listen on; 0 takes a free one"},
		{"metrics_port", GroupListen, false, func(c *Config) any { return &c.MetricsPort }, "port on the same host for /metrics alone; 0 leaves /metrics on port, if only this machine reaches that"},
		{"tls_cert", GroupListen, false, func(c *Config) any { return &c.TLSCert }, "PEM file with the certificate chain to serve HTTPS with; needs tls_key"},
		{"tls_key", GroupListen, false, func(c *Config) any { return &c.TLSKey }, "PEM file with the private key of tls_cert"},
		{"behind_proxy", GroupListen, false, func(c *Config) any { return &c.BehindProxy }, "addresses and networks (CIDR) of proxies, whose Forwarded and X-Forwarded-For and -Proto are believed; a list"},
		{"auth", GroupListen, false, func(c *Config) any { return &c.Auth }, "who gets tokens: anonymous is anyone who reaches the server, clients are those of the list, off is nobody: it only publishes"},
		{"clients", GroupListen, false, func(c *Config) any { return &c.Clients }, "the clients that get tokens if auth is clients; a list of maps: see jwksctl clients --help"},
		{"insecure_anonymous", GroupListen, false, func(c *Config) any { return &c.InsecureAnonymous }, "let anyone who reaches a non-loopback address get tokens"},
		{"ready_file", GroupListen, false, func(c *Config) any { return &c.ReadyFile }, "file that receives the base URL once requests are answered"},

		{"issuer", GroupPolicy, true, func(c *Config) any { return &c.Issuer }, "issuer (iss) of tokens; auto is the server's own base URL"},
		{"audience", GroupPolicy, false, func(c *Config) any { return &c.Audience }, "audience (aud) of tokens that name none; a list"},
		{"algorithm", GroupPolicy, false, func(c *Config) any { return &c.Algorithm }, "signing algorithm (alg) of new keys"},
		{"key_size", GroupPolicy, true, func(c *Config) any { return &c.KeySize }, "bits of new RSA keys; auto is the algorithm's default"},
		{"rotation_interval", GroupPolicy, false, func(c *Config) any { return &c.RotationInterval }, "how long a key signs before the next one takes over"},
		{"token_ttl", GroupPolicy, true, func(c *Config) any { return &c.TokenTTL }, "longest lifetime of a token; auto is 1h, at most rotation_interval"},
		{"jwks_max_age", GroupPolicy, true, func(c *Config) any { return &c.JWKSMaxAge }, "how long caches may keep the JWKS; auto is 5m, at most rotation_interval/12"},
		{"max_staleness", GroupPolicy, true, func(c *Config) any { return &c.MaxStaleness }, "how long a process acts without reaching the store; auto is 1h, at most rotation_interval/4"},
		{"leeway", GroupPolicy, true, func(c *Config) any { return &c.Leeway }, "what verifiers allow on exp; auto is 1m, at most rotation_interval/12"},
		{"clock_skew", GroupPolicy, true, func(c *Config) any { return &c.ClockSkew }, "how far clocks may differ, slow writes included; auto is 5s, at most rotation_interval/10"},
		{"expired_tokens", GroupPolicy, false, func(c *Config) any { return &c.ExpiredTokens }, "issue expired tokens, signed by an unpublished key, on request"},

		{"store", GroupStore, true, func(c *Config) any { return &c.Store }, "URL of the store; auto is a SQLite file in the user's state folder"},
		{"seal_key", GroupStore, true, func(c *Config) any { return &c.SealKey }, "where the keys that seal private keys are: file:PATH, env:NAME, credential:NAME or exec:COMMAND; auto is a file beside the store, or in the user's state folder if the store is no file"},

		{"log_format", GroupLog, true, func(c *Config) any { return &c.LogFormat }, "text or json; auto is text on a terminal and json elsewhere"},
		{"log_level", GroupLog, false, func(c *Config) any { return &c.LogLevel }, "debug, info, warn or error"},
		{"audit_log", GroupLog, false, func(c *Config) any { return &c.AuditLog }, "file, or stderr, that gets a line for each token, refusal and change"},
		{"audit_required", GroupLog, true, func(c *Config) any { return &c.AuditRequired }, "refuse to do what the audit log cannot record; auto is true if audit_log is a file"},

		{"rate_limit", GroupLimits, false, func(c *Config) any { return &c.RateLimit }, "tokens a second that one client address may ask for; 0 is no limit"},
		{"max_connections", GroupLimits, false, func(c *Config) any { return &c.MaxConnections }, "connections open at once"},
		{"drain_delay", GroupLimits, false, func(c *Config) any { return &c.DrainDelay }, "how long to go on answering at shutdown, no longer ready, before the port closes"},
		{"drain_timeout", GroupLimits, false, func(c *Config) any { return &c.DrainTimeout }, "how long requests in flight may take to finish at shutdown"},
		{"pprof_port", GroupLimits, false, func(c *Config) any { return &c.PprofPort }, "loopback port for pprof; 0 is off"},
	}
}

func (s setting) flag() string { return strings.ReplaceAll(s.key, "_", "-") }
func (s setting) env() string  { return prefix + strings.ToUpper(s.key) }

// kind names the type of the value, as the help of its flag shows it.
func (s setting) kind() string {
	switch p := s.field(&Config{}).(type) {
	case *string:
		return "string"
	case *int:
		return "int"
	case *float64:
		return "float"
	case *bool, **bool:
		return "bool"
	case *time.Duration:
		return "duration"
	case *[]string:
		return "list"
	case *[]any:
		return kindMaps
	default:
		panic(fmt.Sprintf("config: %s has a field of type %T", s.key, p))
	}
}

// kindMaps is a list of maps, which only a file can have.
const kindMaps = "maps"

// inFileOnly reports whether the setting has no flag and no variable.
func (s setting) inFileOnly() bool { return s.kind() == kindMaps }

// Key describes a setting.
type Key struct {
	Name     string // in a file
	Flag     string // with the dashes; "" if there is none
	Variable string // of the environment; "" if there is none
	Kind     string // string, int, float, bool, duration, list or maps
	Default  string
	Usage    string // one line of help
	Group    Group
}

// Keys returns all settings, ordered by group.
func Keys() []Key {
	var keys []Key
	defaults := Default()
	for _, s := range table() {
		k := Key{Name: s.key, Kind: s.kind(), Default: s.text(&defaults), Usage: s.usage, Group: s.group}
		if !s.inFileOnly() {
			k.Flag, k.Variable = "--"+s.flag(), s.env()
		}
		keys = append(keys, k)
	}
	return keys
}

// YAML returns a settings file with every default, and a line of comment for each key.
func YAML() string {
	var b strings.Builder
	last := GroupListen
	for _, k := range Keys() {
		if k.Group != last {
			b.WriteByte('\n')
			last = k.Group
		}
		value := k.Default
		switch {
		case value == "" && (k.Kind == "list" || k.Kind == kindMaps):
			value = "[]"
		case value == "":
			value = `""`
		}
		fmt.Fprintf(&b, "# %s\n%s: %s\n", k.Usage, k.Name, value)
	}
	return b.String()
}

// Flags registers the flags of settings. It panics if there is no such key, or if the
// setting has no flag.
func Flags(fs *pflag.FlagSet, keys ...string) {
	for _, key := range keys {
		s := lookup(key)
		if s.inFileOnly() {
			panic("config: there is no flag for " + key)
		}
		defaults := Default()
		f := fs.VarPF(&flagValue{setting: s, value: s.text(&defaults)}, s.flag(), "", s.usage)
		if s.kind() == "bool" {
			f.NoOptDefVal = "true"
		}
	}
}

// flagValue is a setting on the command line.
type flagValue struct {
	setting
	value   string // as written, or the default
	changed bool   // the value is not the default
}

func (f *flagValue) String() string { return f.value }
func (f *flagValue) Type() string   { return f.kind() }

func (f *flagValue) Set(text string) error {
	var scratch Config
	if err := f.set(&scratch, text); err != nil {
		return err
	}
	if f.changed && f.kind() == "list" {
		text = f.value + "," + text
	}
	f.value, f.changed = text, true
	return nil
}
