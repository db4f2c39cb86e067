package config

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// Config is all settings. If a default is derived from others (Key.Default is
// "auto"), the zero value means "not given".
type Config struct {
	Host              string   // an IP address or a name, without port, or UnixPrefix and the path of a socket
	Port              int      // 0 lets the system choose
	MetricsPort       int      // 0 is off
	TLSCert           string   // path of a PEM file; empty together with TLSKey
	TLSKey            string   // path of a PEM file
	BehindProxy       []string // each one for ParseNetwork; nil if there is none
	Auth              string   // who may ask for tokens: one of the constants below
	Clients           []any    // as the file has them, undecoded: package client parses them; nil if there is none
	InsecureAnonymous bool
	ReadyFile         string // path; empty writes none

	Issuer           string   // empty is the server's own base URL
	Audience         []string // nil if there is none
	Algorithm        string   // a name of RFC 7518 or RFC 8037; not checked here
	KeySize          int      // in bits; 0 is the algorithm's default
	RotationInterval time.Duration
	TokenTTL         time.Duration // 0 is derived from others, as are the next four
	JWKSMaxAge       time.Duration
	MaxStaleness     time.Duration
	Leeway           time.Duration
	ClockSkew        time.Duration
	ExpiredTokens    bool

	Store   string // URL; empty is a SQLite file in the user's state folder
	SealKey string // file:PATH, env:NAME, credential:NAME or exec:COMMAND; empty is a file beside the store, or in the user's state folder if that is no file

	LogFormat string // text or json; empty is text on a terminal, json elsewhere
	LogLevel  string // debug, info, warn or error

	AuditLog      string // path, or AuditStderr; empty is none
	AuditRequired *bool  // nil is true for a file

	RateLimit      float64 // requests a second; 0 is off
	MaxConnections int
	DrainDelay     time.Duration
	DrainTimeout   time.Duration
	PprofPort      int // 0 is off

	file    string            // the settings file; "" if there is none
	sources map[string]Source // of the settings that were given, by key
	environ []string          // for a hint at the path that was probably meant
}

// The values of Config.Auth.
const (
	AuthAnonymous = "anonymous" // anyone who reaches the server
	AuthClients   = "clients"   // the clients of the list
	AuthOff       = "off"       // nobody: the server only publishes
)

// UnixPrefix is what Config.Host begins with if it is the path of a Unix socket.
const UnixPrefix = "unix:"

// AuditStderr is the Config.AuditLog that is standard error.
const AuditStderr = "stderr"

// RequiresAudit tells whether nothing may be done unless the audit log has its line.
func (c Config) RequiresAudit() bool {
	if c.AuditRequired != nil {
		return *c.AuditRequired
	}
	return c.AuditLog != "" && c.AuditLog != AuditStderr
}

// Default returns the settings if none is given.
func Default() Config {
	return Config{
		Host:             "127.0.0.1",
		Port:             8080,
		Auth:             AuthAnonymous,
		Algorithm:        "RS256",
		RotationInterval: 24 * time.Hour,
		ExpiredTokens:    true,
		LogLevel:         "info",
		MaxConnections:   1024,
		DrainTimeout:     10 * time.Second,
	}
}

// Source says where a value comes from: "flag --port", "env JWKSCTL_PORT",
// "file PATH", or SourceDefault.
type Source string

// SourceDefault is the Source of a value that was not given.
const SourceDefault Source = "default"

// Error is one problem with the settings. Load and Validate join one for each
// problem, so errors.As finds it in their errors.
type Error struct {
	Key    string // as written; empty if the problem is not about one key
	Source Source // empty if unknown
	Err    error
}

func (e *Error) Error() string {
	switch {
	case e.Key == "":
		return fmt.Sprintf("%s: %v", e.Source, e.Err)
	case e.Source == "":
		return fmt.Sprintf("%s: %v", e.Key, e.Err)
	default:
		return fmt.Sprintf("%s (%s): %v", e.Key, e.Source, e.Err)
	}
}

func (e *Error) Unwrap() error { return e.Err }

// Load reads the settings: flag over environment over file over default. The
// file is path, or the one that JWKSCTL_CONFIG names if path is empty, or none.
// Load reads only those flags of fs that Flags registered; fs may be nil. environ
// has the form of os.Environ. All problems are reported at once, each an *Error.
func Load(path string, fs *pflag.FlagSet, environ []string) (Config, error) {
	env, problems := readEnviron(environ)
	namedBy := ""
	if path == "" && env[FileVariable] != "" {
		path, namedBy = env[FileVariable], " named by "+FileVariable
	}
	file := Source("file " + path + namedBy)
	v := viper.New()
	var maps map[string]any
	if err := CheckPath(path, environ); err != nil {
		problems = append(problems, &Error{Source: file, Err: err})
	} else if path != "" {
		var inFile []error
		maps, inFile = readFile(v, path, file)
		problems = append(problems, inFile...)
	}

	c := Default()
	c.file, c.sources, c.environ = path, map[string]Source{}, environ
	for _, s := range table() {
		raw, inFile := maps[s.key]
		if text, source, ok := s.given(fs, env); ok {
			v.Set(s.key, text)
			c.sources[s.key] = source
		} else if inFile || v.InConfig(s.key) {
			c.sources[s.key] = file
		} else {
			continue
		}
		if !inFile {
			raw = v.Get(s.key)
		}
		if err := s.set(&c, raw); err != nil {
			problems = append(problems, c.problem(s.key, fmt.Errorf("%w%s", err, notThis(raw))))
		}
	}
	if err := errors.Join(append(problems, c.Validate())...); err != nil {
		return Config{}, err
	}
	return c, nil
}

// File returns the path of the settings file, "" if none was read.
func (c Config) File() string { return c.file }

// Differences returns the keys whose values differ, in the order of Keys.
func (c Config) Differences(other Config) []string {
	var keys []string
	for _, s := range table() {
		if !reflect.DeepEqual(s.field(&c), s.field(&other)) {
			keys = append(keys, s.key)
		}
	}
	return keys
}

// Source returns where the value of a setting comes from. It panics if there is no such key.
func (c Config) Source(key string) Source { return cmp.Or(c.sources[lookup(key).key], SourceDefault) }

// given returns the value of s on the command line, or else in the environment.
func (s setting) given(fs *pflag.FlagSet, env map[string]string) (text string, source Source, ok bool) {
	if fs != nil {
		if f := fs.Lookup(s.flag()); f != nil && f.Changed {
			if _, ours := f.Value.(*flagValue); ours {
				return f.Value.String(), Source("flag --" + s.flag()), true
			}
		}
	}
	text, ok = env[s.env()]
	return text, Source("env " + s.env()), ok
}

// Given reports whether the setting was given by flag, environment or file, with
// another value than auto. It panics if there is no such key.
func (c Config) Given(key string) bool {
	s := lookup(key)
	return c.sources[key] != "" && (!s.auto || s.text(&c) != auto)
}

// Setting is the value of a setting as people read it.
type Setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"` // passwords in URLs are masked
	Source Source `json:"source"`
}

// Settings returns every setting in the order of Keys.
func (c Config) Settings() []Setting {
	var all []Setting
	for _, s := range table() {
		value := s.text(&c)
		if s.key == "store" {
			value = Masked(value)
		}
		all = append(all, Setting{s.key, value, c.Source(s.key)})
	}
	return all
}

// lookup panics if there is no such key, because keys are constants in the code.
func lookup(key string) setting {
	all := table()
	i := slices.IndexFunc(all, func(s setting) bool { return s.key == key })
	if i < 0 {
		panic("config: no setting is called " + key)
	}
	return all[i]
}

func (c Config) problem(key string, err error) error {
	return &Error{Key: key, Source: c.sources[key], Err: err}
}
