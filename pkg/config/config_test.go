package config_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"

	"github.com/jwksctl/jwksctl/pkg/config"
)

// values has three values for each setting: for a file, a variable and a flag. They
// differ from the default, except where a kind has too few values.
func values() map[string][3]string {
	return map[string][3]string{
		"host":               {"10.0.0.1", "localhost", "::1"},
		"port":               {"9001", "9002", "0"},
		"metrics_port":       {"9101", "9102", "9103"},
		"behind_proxy":       {"10.0.0.1", "10.0.0.0/8,::1", "192.0.2.0/24"},
		"tls_cert":           {"a.pem", "b.pem", "c.pem"},
		"tls_key":            {"a.key", "b.key", "c.key"},
		"auth":               {"off", "anonymous", "off"},
		"insecure_anonymous": {"true", "false", "true"},
		"ready_file":         {"a", "b", "c"},
		"issuer":             {"https://a.example", "b", "urn:c"},
		"audience":           {"a", "b,c", "d"},
		"algorithm":          {"ES256", "EdDSA", "PS256"},
		"key_size":           {"2048", "3072", "4096"},
		"rotation_interval":  {"12h", "48h", "1h30m"},
		"token_ttl":          {"1m", "2m", "3m"},
		"jwks_max_age":       {"1s", "2s", "3s"},
		"max_staleness":      {"1m", "2m", "3m"},
		"leeway":             {"1s", "2s", "3s"},
		"clock_skew":         {"100ms", "2s", "3s"},
		"expired_tokens":     {"false", "true", "false"},
		"store":              {"sqlite:a.db", "sqlite:b.db", "sqlite:c.db"},
		"seal_key":           {"file:a", "env:B", "exec:c d"},
		"log_format":         {"text", "json", "text"},
		"log_level":          {"debug", "warn", "error"},
		"audit_log":          {"a", "stderr", "c"},
		"audit_required":     {"true", "false", "true"},
		"rate_limit":         {"1.5", "2", "0.25"},
		"max_connections":    {"1", "2", "3"},
		"drain_delay":        {"1s", "2s", "3s"},
		"drain_timeout":      {"1s", "2s", "0s"},
		"pprof_port":         {"6001", "6002", "6003"},
	}
}

// write puts a settings file into a new folder and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// flags returns a parsed flag set with every setting's flag.
func flags(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	fs := allFlags()
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

func allFlags() *pflag.FlagSet {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	for _, k := range config.Keys() {
		if k.Flag != "" {
			config.Flags(fs, k.Name)
		}
	}
	return fs
}

func setting(t *testing.T, c config.Config, key string) config.Setting {
	t.Helper()
	all := c.Settings()
	i := slices.IndexFunc(all, func(s config.Setting) bool { return s.Key == key })
	if i < 0 {
		t.Fatalf("no setting %q", key)
	}
	return all[i]
}

// refused asserts that err is an *Error whose text contains all of want.
func refused(t *testing.T, err error, want ...string) {
	t.Helper()
	if _, ok := errors.AsType[*config.Error](err); !ok {
		t.Fatalf("got error %v, want a *config.Error", err)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

func TestPrecedence(t *testing.T) {
	for _, key := range config.Keys() {
		if key.Flag == "" {
			continue // TestClients
		}
		v, ok := values()[key.Name]
		if !ok {
			t.Errorf("no test values for %s", key.Name)
		}
		for channels := range 8 {
			t.Run(fmt.Sprintf("%s/%03b", key.Name, channels), func(t *testing.T) {
				path, args, environ := "", []string(nil), []string(nil)
				wantValue, wantSource := key.Default, "default"
				if channels&1 != 0 {
					path = write(t, "s.yaml", fmt.Sprintf("%s: %s\n", key.Name, v[0]))
					wantValue, wantSource = v[0], "file "+path
				}
				if channels&2 != 0 {
					environ = append(environ, key.Variable+"="+v[1])
					wantValue, wantSource = v[1], "env "+key.Variable
				}
				if channels&4 != 0 {
					args = append(args, key.Flag+"="+v[2])
					wantValue, wantSource = v[2], "flag "+key.Flag
				}
				switch { // these two go together
				case channels != 0 && key.Name == "tls_cert":
					environ = append(environ, "JWKSCTL_TLS_KEY=k")
				case channels != 0 && key.Name == "tls_key":
					environ = append(environ, "JWKSCTL_TLS_CERT=c")
				case channels != 0 && key.Name == "audit_required":
					environ = append(environ, "JWKSCTL_AUDIT_LOG=a")
				}
				c, err := config.Load(path, flags(t, args...), environ)
				if err != nil {
					t.Fatal(err)
				}
				want := config.Setting{Key: key.Name, Value: wantValue, Source: config.Source(wantSource)}
				if diff := cmp.Diff(want, setting(t, c, key.Name)); diff != "" {
					t.Error(diff)
				}
				if got := c.Given(key.Name); got != (channels != 0) {
					t.Errorf("Given is %v", got)
				}
			})
		}
	}
}

func TestLoadFillsEachField(t *testing.T) {
	var args []string
	for key, v := range values() {
		args = append(args, "--"+strings.ReplaceAll(key, "_", "-")+"="+v[0])
	}
	got, err := config.Load("", flags(t, args...), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		Host: "10.0.0.1", Port: 9001, MetricsPort: 9101, TLSCert: "a.pem", TLSKey: "a.key", BehindProxy: []string{"10.0.0.1"},
		Auth: "off", InsecureAnonymous: true, ReadyFile: "a",
		Issuer: "https://a.example", Audience: []string{"a"}, Algorithm: "ES256", KeySize: 2048,
		RotationInterval: 12 * time.Hour, TokenTTL: time.Minute, JWKSMaxAge: time.Second,
		MaxStaleness: time.Minute, Leeway: time.Second, ClockSkew: 100 * time.Millisecond,
		ExpiredTokens: false, Store: "sqlite:a.db", SealKey: "file:a", LogFormat: "text", LogLevel: "debug",
		AuditLog: "a", AuditRequired: new(true),
		RateLimit: 1.5, MaxConnections: 1, DrainDelay: time.Second, DrainTimeout: time.Second, PprofPort: 6001,
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(config.Config{})); diff != "" {
		t.Error(diff)
	}
}

func TestAutoCountsAsNotGiven(t *testing.T) {
	for _, key := range config.Keys() {
		if key.Default != "auto" {
			continue
		}
		t.Run(key.Name, func(t *testing.T) {
			other := values()[key.Name][0]
			path := write(t, "s.yaml", key.Name+": auto\n")
			for _, load := range []func() (config.Config, error){
				func() (config.Config, error) { return config.Load(path, nil, nil) },
				func() (config.Config, error) { return config.Load("", nil, []string{key.Variable + "=auto"}) },
				func() (config.Config, error) {
					return config.Load("", flags(t, key.Flag+"=auto"), []string{key.Variable + "=" + other})
				},
			} {
				c, err := load()
				if err != nil {
					t.Fatal(err)
				}
				if c.Given(key.Name) {
					t.Error("Given is true")
				}
				if diff := cmp.Diff(config.Default(), c, cmpopts.IgnoreUnexported(config.Config{})); diff != "" {
					t.Error(diff)
				}
				if s := setting(t, c, key.Name); s.Value != "auto" || s.Source == config.SourceDefault {
					t.Errorf("got %+v", s)
				}
			}
			// The zero value would be shown as auto, so it must not be accepted in another form.
			for _, zero := range map[string][]string{
				"int": {"0"}, "duration": {"0s", "0d"},
			}[key.Kind] {
				_, err := config.Load("", nil, []string{key.Variable + "=" + zero})
				refused(t, err, key.Name, "env "+key.Variable, "or auto")
			}
			if key.Kind == "string" {
				_, err := config.Load(write(t, "s.yaml", key.Name+`: ""`), nil, nil)
				refused(t, err, key.Name, "or auto")
			}
		})
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		name, key string
		change    func(*config.Config)
	}{
		{"empty host", "host", func(c *config.Config) { c.Host = "" }},
		{"host with port", "host", func(c *config.Config) { c.Host = "localhost:80" }},
		{"host in brackets", "host", func(c *config.Config) { c.Host = "[::1]" }},
		{"host as URL", "host", func(c *config.Config) { c.Host = "http://localhost" }},
		{"host with space", "host", func(c *config.Config) { c.Host = "local host" }},
		{"socket in the current folder", "host", func(c *config.Config) { c.Host = "unix:run/socket" }},
		{"socket without a file", "host", func(c *config.Config) { c.Host = "unix:@jwksctl" }},
		{"socket without a path", "host", func(c *config.Config) { c.Host = "unix:" }},
		{"socket with a space", "host", func(c *config.Config) { c.Host = "unix:/run/a b" }},
		{"long path of a socket", "host", func(c *config.Config) { c.Host = "unix:/" + strings.Repeat("a", 103) }},
		{"socket of a shell", "host", func(c *config.Config) { c.Host = "unix:$HOME/socket" }},
		{"network of nothing", "behind_proxy", func(c *config.Config) { c.BehindProxy = []string{""} }},
		{"name of a proxy", "behind_proxy", func(c *config.Config) { c.BehindProxy = []string{"10.0.0.1", "proxy.example.com"} }},
		{"proxy with port", "behind_proxy", func(c *config.Config) { c.BehindProxy = []string{"10.0.0.1:80"} }},
		{"proxy in brackets", "behind_proxy", func(c *config.Config) { c.BehindProxy = []string{"[::1]"} }},
		{"proxy with zone", "behind_proxy", func(c *config.Config) { c.BehindProxy = []string{"fe80::1%eth0"} }},
		{"IPv4 network as IPv6", "behind_proxy", func(c *config.Config) { c.BehindProxy = []string{"::ffff:10.0.0.0/104"} }},
		{"address in a network", "behind_proxy", func(c *config.Config) { c.BehindProxy = []string{"10.0.0.1/8"} }},
		{"every address", "behind_proxy", func(c *config.Config) { c.BehindProxy = []string{"0.0.0.0/0"} }},
		{"every IPv6 address", "behind_proxy", func(c *config.Config) { c.BehindProxy = []string{"::/0"} }},
		{"large metrics port", "metrics_port", func(c *config.Config) { c.MetricsPort = 65536 }},
		{"metrics on the server's port", "metrics_port", func(c *config.Config) { c.MetricsPort = c.Port }},
		{"negative port", "port", func(c *config.Config) { c.Port = -1 }},
		{"large port", "port", func(c *config.Config) { c.Port = 65536 }},
		{"large pprof port", "pprof_port", func(c *config.Config) { c.PprofPort = 65536 }},
		{"certificate alone", "tls_key", func(c *config.Config) { c.TLSCert = "x" }},
		{"TLS key alone", "tls_cert", func(c *config.Config) { c.TLSKey = "x" }},
		{"no auth", "auth", func(c *config.Config) { c.Auth = "" }},
		{"unknown auth", "auth", func(c *config.Config) { c.Auth = "client" }},
		{"no clients", "auth", func(c *config.Config) { c.Auth = "clients" }},
		{"clients for nothing", "clients", func(c *config.Config) { c.Clients = []any{map[string]any{}} }},
		{"issuer with space", "issuer", func(c *config.Config) { c.Issuer = " x" }},
		{"issuer no URI", "issuer", func(c *config.Config) { c.Issuer = ":x" }},
		{"issuer broken URI", "issuer", func(c *config.Config) { c.Issuer = "http://a b" }},
		{"empty audience", "audience", func(c *config.Config) { c.Audience = []string{"a", ""} }},
		{"audience no URI", "audience", func(c *config.Config) { c.Audience = []string{"1:x"} }},
		{"no algorithm", "algorithm", func(c *config.Config) { c.Algorithm = "" }},
		{"negative key size", "key_size", func(c *config.Config) { c.KeySize = -1 }},
		{"no rotation interval", "rotation_interval", func(c *config.Config) { c.RotationInterval = 0 }},
		{"negative rotation interval", "rotation_interval", func(c *config.Config) { c.RotationInterval = -1 }},
		{"negative TTL", "token_ttl", func(c *config.Config) { c.TokenTTL = -1 }},
		{"negative max age", "jwks_max_age", func(c *config.Config) { c.JWKSMaxAge = -1 }},
		{"negative staleness", "max_staleness", func(c *config.Config) { c.MaxStaleness = -1 }},
		{"negative leeway", "leeway", func(c *config.Config) { c.Leeway = -1 }},
		{"negative skew", "clock_skew", func(c *config.Config) { c.ClockSkew = -1 }},
		{"negative drain", "drain_timeout", func(c *config.Config) { c.DrainTimeout = -1 }},
		{"drain delay of years", "drain_delay", func(c *config.Config) { c.DrainDelay = 9000 * time.Hour }},
		{"drain timeout of days", "drain_timeout", func(c *config.Config) { c.DrainTimeout = 48 * time.Hour }},
		{"unknown log format", "log_format", func(c *config.Config) { c.LogFormat = "xml" }},
		{"unknown log level", "log_level", func(c *config.Config) { c.LogLevel = "INFO" }},
		{"negative rate", "rate_limit", func(c *config.Config) { c.RateLimit = -0.1 }},
		{"rate too low", "rate_limit", func(c *config.Config) { c.RateLimit = 0.0009 }},
		{"rate too high", "rate_limit", func(c *config.Config) { c.RateLimit = 10001 }},
		{"no rate", "rate_limit", func(c *config.Config) { c.RateLimit = math.NaN() }},
		{"required audit without a log", "audit_required", func(c *config.Config) { c.AuditRequired = new(true) }},
		{"no connections", "max_connections", func(c *config.Config) { c.MaxConnections = 0 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := config.Default()
			tt.change(&c)
			err := c.Validate()
			refused(t, err, tt.key+": ")
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one problem: %v", err)
			}
		})
	}
	t.Run("default", func(t *testing.T) {
		if err := config.Default().Validate(); err != nil {
			t.Error(err)
		}
	})
	t.Run("socket", func(t *testing.T) {
		c := config.Default()
		c.Host, c.MetricsPort = "unix:/"+strings.Repeat("a", 102), c.Port // a socket has no port
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	})
	t.Run("all problems, with their sources", func(t *testing.T) {
		path := write(t, "s.yaml", "host: a:b\nprot: 1\ndrain_timeout: -1s\n")
		_, err := config.Load(path, flags(t, "--port=70000"), []string{"JWKSCTL_LOG_LEVEL=loud", "JWKSCTL_KEY_SIZE=x", "JWKSCTL_RATE_LIMIT=NaN"})
		refused(t, err,
			"host (file "+path+"): ", "prot (file "+path+"): ", "drain_timeout (file "+path+"): ", "port (flag --port): ",
			"log_level (env JWKSCTL_LOG_LEVEL): ", "key_size (env JWKSCTL_KEY_SIZE): ", "rate_limit (env JWKSCTL_RATE_LIMIT): ")
		if n := strings.Count(err.Error(), "\n") + 1; n != 7 {
			t.Errorf("got %d problems, want 7: %v", n, err)
		}
	})
}

func TestSettingsMaskPasswords(t *testing.T) {
	tests := []struct{ store, want string }{
		{"sqlite:/a/b.db", "sqlite:/a/b.db"},
		{"sqlite:/a@b/c=d.db", "sqlite:/a@b/c=d.db"},
		{"sqlite:a.db?password=hunter2", "sqlite:a.db?password=xxxxx"},
		{"memory:", "memory:"},
		{"postgres://me@db/keys?sslmode=disable", "postgres://me@db/keys?sslmode=disable"},
		{"postgres://me:hunter2@db/keys", "postgres://me:xxxxx@db/keys"},
		{"postgres://db/keys?password=hunter2&user=me", "postgres://db/keys?password=xxxxx&user=me"},
		{"postgresql://me:hunter2@db1:5432,[::1]:5433,db3/keys?schema=a", "postgresql://me:xxxxx@db1:5432,[::1]:5433,db3/keys?schema=a"},
		{"postgres://me@db1,db2/keys", "postgres://me@db1,db2/keys"},
		{"postgres:///keys?host=/run/postgresql&user=me", "postgres:///keys?host=/run/postgresql&user=me"},
		{"postgres://me@db/keys?password_file=/run/secret&passfile=x", "postgres://me@db/keys?password_file=/run/secret&passfile=x"},
		{"postgres://me:hunter2%40%2F@db/keys", "postgres://me:xxxxx@db/keys"},
		{"postgres://me:hun@ter2@db/keys", "postgres://me:xxxxx@db/keys"},
		{"postgres://me:hun/ter2@db/keys", "(hidden)"},
		{"postgres://me:hun?ter2@db/keys", "(hidden)"},
		{"postgres://me:hun#ter2@db/keys", "(hidden)"},
		{"postgres://me:hunter2/keys", "(hidden)"},
		{"postgres://db/keys?pass%77ord=hunter2", "postgres://db/keys?pass%77ord=xxxxx"},
		{"postgres://db/keys?PASSWORD=hunter2", "postgres://db/keys?PASSWORD=xxxxx"},
		{"postgres://db/keys?a=b;password=hunter2", "(hidden)"},
		{"etcd://me:hunter2@a:2379,b,c:2379/prefix?cacert=ca.pem", "etcd://me:xxxxx@a:2379,b,c:2379/prefix?cacert=ca.pem"},
		{"etcd://a,b,c/prefix?user=me&password=hunter2", "etcd://a,b,c/prefix?user=me&password=xxxxx"},
		{"etcd://a,b,c/prefix?user=me&password_file=x", "etcd://a,b,c/prefix?user=me&password_file=x"},
		{"me:hunter2@db", "(hidden)"},
		{"host=db sslpassword = hunter2", "(hidden)"},
		{"postgres://me:hunter2@db/k?sslPassword=hunter2", "postgres://me:xxxxx@db/k?sslPassword=xxxxx"},
		{"postgres://me:hunter2%zz@db/keys", "postgres://me:xxxxx@db/keys"},
		{"postgres://db/keys?a=%zz&password=hunter2", "(hidden)"},
		{"host=db password=hunter2", "(hidden)"},
	}
	for _, tt := range tests {
		c, err := config.Load("", nil, []string{"JWKSCTL_STORE=" + tt.store})
		if err != nil {
			t.Fatal(err)
		}
		if c.Store != tt.store {
			t.Errorf("Store is %q", c.Store)
		}
		if got := setting(t, c, "store").Value; got != tt.want {
			t.Errorf("%s is shown as %q, want %q", tt.store, got, tt.want)
		}
		_, err = config.Load("", flags(t, "--store", tt.store), nil)
		if tt.store == tt.want {
			if err != nil {
				t.Errorf("--store %s: %v", tt.store, err)
			}
			continue
		}
		refused(t, err, "store (flag --store): has a password", "JWKSCTL_STORE", "password_file", "PGPASSFILE")
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the password is in %v", err)
		}
	}
}

func TestWithoutPasswords(t *testing.T) {
	for text, want := range map[string]string{
		`unknown command "postgres://me:hun@ter2@db/k" for x`:   `unknown command "postgres://me:xxxxx@db/k" for x`,
		"host=db password=hunter2 user=me, PGPASSWORD=hunter2!": "host=db password=xxxxx user=me, PGPASSWORD=xxxxx",
		"postgres://db:5432/k?password=hunter2&a=b":             "postgres://db:5432/k?password=xxxxx&a=b",
		"etcd://a:1,b:2/p?password_file=x: use me@example.com":  "etcd://a:1,b:2/p?password_file=x: use me@example.com",
		"https://auth.example.com:8443/x says 12:30":            "https://auth.example.com:8443/x says 12:30",
	} {
		if got := config.WithoutPasswords(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestParseNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"10.1.2.3": "10.1.2.3/32", "10.1.0.0/16": "10.1.0.0/16", "127.0.0.0/8": "127.0.0.0/8",
		"::1": "::1/128", "2001:db8::/32": "2001:db8::/32",
	} {
		if got, err := config.ParseNetwork(text); err != nil || got.String() != want {
			t.Errorf("%s is read as %v, %v, want %s", text, got, err, want)
		}
	}
	_, err := config.ParseNetwork("10.1.2.3/16")
	if err == nil || !strings.Contains(err.Error(), "give 10.1.0.0/16") {
		t.Errorf("got %v", err)
	}
}
