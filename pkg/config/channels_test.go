package config_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"

	"github.com/jwksctl/jwksctl/pkg/config"
)

func TestFileRefused(t *testing.T) {
	tests := []struct {
		name, file, text string
		want             []string
	}{
		{"unknown key", "s.yaml", "rotation_intervall: 1h", []string{"rotation_intervall (file ", "did you mean rotation_interval?"}},
		{"unknown key with null", "s.yaml", "prot:", []string{"prot", "did you mean port?"}},
		{"unknown key with empty map", "s.yaml", "prot: {}", []string{"prot"}},
		{"unknown key unlike any", "s.yaml", "zebra_crossing: 1", []string{"zebra_crossing", "help config"}},
		{"very long key", "s.yaml", strings.Repeat("x", 300) + ": 1", []string{"help config"}},
		{"unknown key in TOML", "s.toml", "prot = 1", []string{"did you mean port?"}},
		{"unknown key in JSON", "s.json", `{"prot": 1}`, []string{"did you mean port?"}},
		{"key in the wrong case", "s.yaml", "Port: 1", []string{"Port (file ", "did you mean port?"}},
		{"key with dashes", "s.yaml", "log-level: debug", []string{"did you mean log_level?"}},
		{"key with a dot", "s.yaml", "log.level: debug", []string{"log.level", "did you mean log_level?"}},
		{"nested", "s.yaml", "log: {level: debug}", []string{"log (file ", "not nested", "did you mean log_level?"}},
		{"map for a value", "s.yaml", "port: {}", []string{"port (file ", "not nested"}},
		{"map with numbers for keys", "s.yaml", "port: {1: 2}", []string{"port (file "}},
		{"TOML table", "s.toml", "[log]\nlevel = 'debug'", []string{"not nested"}},
		{"no value", "s.yaml", "port:", []string{"port (file ", "has no value"}},
		{"null", "s.json", `{"port": null}`, []string{"port (file ", "has no value"}},
		{"twice in YAML", "s.yaml", "port: 1\nport: 2", []string{"line 2", `"port"`}},
		{"twice in TOML", "s.toml", "port = 1\nport = 2", []string{"port"}},
		{"twice in YAML, once in quotes", "s.yaml", "port: 1\n'port': 2", []string{"line 2", `"port"`}},
		{"twice in YAML on one line", "s.yaml", "{port: 1, port: 2}", []string{"line 1", `"port"`}},
		{"twice in YAML, once merged", "s.yaml", "<<: {port: 1}\nport: 2", []string{"line 1", "<<"}},
		{"twice in YAML, both merged", "s.yaml", "<<: [{port: 1}, {port: 2}]", []string{"line 1", "<<"}},
		{"unknown and twice", "s.yaml", "prot: 1\nprot: 2", []string{"line 2", `"prot"`}},
		{"twice in TOML, once in quotes", "s.toml", "port = 1\n'port' = 2", []string{"port"}},
		{"twice in JSON, once escaped", "s.json", `{"port": 1, "p\u006frt": 2}`, []string{"duplicate names", `"port"`}},
		{"twice in JSON within a value", "s.json", `{"port": {"a": 1, "a": 2}}`, []string{"duplicate names", `"a"`}},
		{"twice in JSON", "s.json", `{"port": 1, "port": 2}`, []string{"want one JSON object without duplicate names", `"port"`}},
		{"bad YAML", "s.yaml", "port: [1", []string{"yaml: ", "line "}},
		{"bad TOML", "s.toml", "host = 'a'\nport = =", []string{"line 2"}},
		{"empty JSON", "s.json", ``, []string{"want one JSON object"}},
		{"bad JSON value", "s.json", `{"port": x}`, []string{"want one JSON object", "port"}},
		{"cut JSON", "s.json", `{"port": 1`, []string{"want one JSON object"}},
		{"JSON null", "s.json", `null`, []string{"want one JSON object"}},
		{"JSON array", "s.json", `[]`, []string{"want one JSON object"}},
		{"more after JSON", "s.json", `{} {}`, []string{"want one JSON object"}},
		{"two YAML documents", "s.yaml", "port: 1\n---\nport: 2", []string{"single document"}},
		{"YAML list", "s.yaml", "- port", []string{"yaml: "}},
		{"no extension", "jwksctl", "port: 1", []string{"ends in .yaml"}},
		{"unsupported extension", "s.env", "PORT=1", []string{"ends in .yaml"}},
		{"too large", "s.yaml", strings.Repeat("#\n", 512<<10+1), []string{"larger than"}},
		{"port as bool", "s.yaml", "port: true", []string{"port (file ", "whole number", "true"}},
		{"port with a fraction", "s.yaml", "port: 80.5", []string{"whole number", "80.5"}},
		{"port as a list", "s.yaml", "port: [80]", []string{"port (file ", "whole number"}},
		{"port too large for any int", "s.json", `{"port": 99999999999999999999}`, []string{"whole number"}},
		{"port as long text", "s.yaml", "port: " + strings.Repeat("x", 300), []string{`not "` + strings.Repeat("x", 40) + `"...`}},
		{"octal port", "s.yaml", "port: 010", []string{"line 1", "010", "leading zeros"}},
		{"octal port of YAML 1.2", "s.yaml", "port: 0o10", []string{"line 1", "0o10"}},
		{"hexadecimal port", "s.yaml", "port: 0x1F90", []string{"0x1F90"}},
		{"binary port", "s.yaml", "port: 0b11", []string{"0b11"}},
		{"port with an underscore", "s.yaml", "port: 8_080", []string{"8_080"}},
		{"port with a sign", "s.yaml", "port: +8080", []string{"+8080"}},
		{"octal rate", "s.yaml", "host: a\nrate_limit: 010", []string{"line 2", "010"}},
		{"rate with a leading zero", "s.yaml", "rate_limit: 08.5", []string{"line 1", "without leading zeros", "08.5"}},
		{"octal in a list", "s.yaml", "audience: [010]", []string{"line 1", "010"}},
		{"leading zero in quotes", "s.yaml", "port: '010'", []string{"port (file ", "without leading zeros", "010"}},
		{"leading zero in TOML", "s.toml", "port = 010", []string{"line 1"}},
		{"leading zero in JSON", "s.json", `{"port": 010}`, []string{"want one JSON object"}},
		{"rate as text", "s.yaml", "rate_limit: fast", []string{"want a number", "fast"}},
		{"rate as a list", "s.yaml", "rate_limit: []", []string{"rate_limit", "want a number"}},
		{"number for text", "s.yaml", "algorithm: 256", []string{"algorithm (file ", "in quotes", "256"}},
		{"bool for text", "s.yaml", "issuer: true", []string{"issuer (file ", "in quotes"}},
		{"yes for bool", "s.yaml", "expired_tokens: yes", []string{"true or false", "yes"}},
		{"1 for bool", "s.yaml", "expired_tokens: 1", []string{"true or false"}},
		{"number for duration", "s.yaml", "rotation_interval: 30", []string{"with a unit", "30"}},
		{"0 for duration", "s.yaml", "drain_timeout: 0", []string{"with a unit"}},
		{"number in a list", "s.yaml", "audience: [a, 5]", []string{"audience (file ", "contains only text"}},
		{"number for a list", "s.yaml", "audience: 5", []string{"want a list"}},
		{"clients as a map", "s.yaml", "auth: clients\nclients: {a: {}}", []string{"clients (file ", "want a list of maps, not one map"}},
		{"clients as text", "s.yaml", "auth: clients\nclients: a", []string{"clients (file ", "want a list of maps"}},
		{"clients without a value", "s.yaml", "auth: clients\nclients:", []string{"clients (file ", "has no value"}},
		{"clients that nobody asks", "s.yaml", "clients: [{id: a}]", []string{"clients (file ", "set auth to clients"}},
		{"no clients", "s.yaml", "auth: clients", []string{"auth (file ", "list them under clients"}},
		{"empty list of clients", "s.yaml", "auth: clients\nclients: []", []string{"auth (file ", "list them under clients"}},
		{"octal number of a client", "s.yaml", "auth: clients\nclients: [{id: a, rate_limit: 010}]", []string{"line 2", "leading zeros"}},
		{"merged client", "s.yaml", "auth: clients\nclients: [{<<: {id: a}}]", []string{"<<"}},
		{"client with a name twice", "s.yaml", "auth: clients\nclients: [{id: a, id: b}]", []string{"line 2", `"id"`}},
		{"empty name in a list", "s.yaml", "audience: ['']", []string{"audience (file "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, tt.file, tt.text)
			_, err := config.Load(path, nil, nil)
			refused(t, err, append(tt.want, "file "+path)...)
		})
	}
	t.Run("directory", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "d.yaml")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := config.Load(dir, nil, nil)
		refused(t, err, dir, "not a regular file")
	})
	t.Run("missing", func(t *testing.T) { // an *Error that also matches fs.ErrNotExist
		_, err := config.Load(filepath.Join(t.TempDir(), "none.yaml"), nil, nil)
		refused(t, err, "none.yaml")
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v is not fs.ErrNotExist", err)
		}
		if n := strings.Count(err.Error(), "none.yaml"); n != 1 {
			t.Errorf("%v names the path %d times", err, n)
		}
	})
	t.Run("no secret in errors", func(t *testing.T) {
		for _, text := range []string{"store: [postgres://me:hunter2@db/k]", "store: {a: postgres://me:hunter2@db/k}", "- postgres://me:hunter2@db/k"} {
			_, err := config.Load(write(t, "s.yaml", text), nil, nil)
			refused(t, err)
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the password is in %q", err)
			}
		}
	})
}

func TestFileFormatsAgree(t *testing.T) {
	want := config.Default()
	want.Port, want.Audience, want.RotationInterval = 9000, []string{"https://A.example/x,y", "b.c"}, 36*time.Hour
	want.RateLimit, want.ExpiredTokens = 2, false
	for name, text := range map[string]string{
		"s.yaml": "port: 9000\naudience: ['https://A.example/x,y', b.c]\nrotation_interval: 1d12h\nrate_limit: 2\nexpired_tokens: false\n",
		"s.YML":  "port: '9000'\naudience: ['https://A.example/x,y', b.c]\nrotation_interval: 36h\nrate_limit: 2.0\nexpired_tokens: 'false'\n...\n",
		"s.toml": "port = 9000\naudience = ['https://A.example/x,y', 'b.c']\nrotation_interval = '36h'\nrate_limit = 2.0\nexpired_tokens = false\n",
		"s.json": "{\n\t\"port\": 9000, \"audience\": [\"https://A.example/x,y\", \"b.c\"],\n\t\"rotation_interval\": \"36h\", \"rate_limit\": 2, \"expired_tokens\": false}\n",
	} {
		got, err := config.Load(write(t, name, text), nil, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(want)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for name, text := range map[string]string{"s.yaml": "port: 9000\n", "s.toml": "port = 9000\n", "s.json": "{\"port\": 9000}"} {
		got, err := config.Load(write(t, name, "\ufeff"+text), nil, nil)
		if err != nil || got.Port != 9000 {
			t.Errorf("%s with a byte order mark: %v, port %d", name, err, got.Port)
		}
		_, err = config.Load(write(t, name, "\xff\xfe"+strings.Join(strings.Split(text, ""), "\x00")+"\x00"), nil, nil)
		refused(t, err, name, "is UTF-16, not UTF-8")
	}
	for name, text := range map[string]string{"s.yaml": "# nothing\n", "s.toml": "", "s.json": "{}"} {
		got, err := config.Load(write(t, name, text), nil, nil)
		if diff := cmp.Diff(config.Default(), got, cmpopts.IgnoreUnexported(want)); err != nil || diff != "" {
			t.Errorf("empty %s: %v %s", name, err, diff)
		}
	}
}

func TestOnlyTheNamedFileIsRead(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("JWKSCTL_PORT", "1") // Load reads only the environ that is passed
	for _, name := range []string{"jwksctl", "jwksctl.yaml", "config.yaml"} {
		if err := os.WriteFile(name, []byte("port: 1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Load("", nil, nil)
	if err != nil || c.Port != config.Default().Port {
		t.Errorf("got port %d, error %v", c.Port, err)
	}

	environ := []string{config.FileVariable + "=jwksctl.yaml"}
	c, err = config.Load("", nil, environ)
	if err != nil || c.Port != 1 {
		t.Errorf("with the variable: got port %d, error %v", c.Port, err)
	}
	if err := os.WriteFile("other.yaml", []byte("port: 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err = config.Load("other.yaml", nil, environ)
	if err != nil || c.Port != 2 {
		t.Errorf("with path and variable: got port %d, error %v", c.Port, err)
	}
	_, err = config.Load("", nil, []string{config.FileVariable + "=none.yaml"})
	refused(t, err, "none.yaml", config.FileVariable)
}

func TestEnvironment(t *testing.T) {
	tests := []struct {
		entry string
		want  string // in the error; empty if the entry is accepted
	}{
		{"JWKSCTL_PROT=1", "env JWKSCTL_PROT: no such setting; did you mean JWKSCTL_PORT?"},
		{"JWKSCTL_CLIENTS=a", "env JWKSCTL_CLIENTS: clients is a list that only a settings file can have"},
		{"JWKSCTL_CLIENT=a", "no such setting"},
		{"JWKSCTL_CONFG=x.yaml", "did you mean JWKSCTL_CONFIG?"},
		{"JWKSCTL_LOG=debug", "env JWKSCTL_LOG: no such setting"}, // not the section of log_format and log_level
		{"JWKSCTL_port=1", "did you mean JWKSCTL_PORT?"},
		{"JWKSCTL_=1", "no such setting"},
		{"JWKSCTL_SOME_PORT=1", "no such setting"},
		{"JWKSCTL_SERVICE_HOSTS=1", "no such setting"},
		{"JWKSCTL_PORT_8080_TCP_MORE=1", "no such setting"},
		{"JWKSCTL_PORT=abc", "port (env JWKSCTL_PORT): want a whole number"},
		{"JWKSCTL_PORT=http://10.0.0.1:80", "port (env JWKSCTL_PORT): want a whole number"},
		{"JWKSCTL_PORT=010", "port (env JWKSCTL_PORT): want a whole number without leading zeros"},
		{"JWKSCTL_PORT=+80", "port (env JWKSCTL_PORT): want a whole number"},
		{"JWKSCTL_RATE_LIMIT=010", "rate_limit (env JWKSCTL_RATE_LIMIT): want a number without leading zeros"},
		{"JWKSCTL_RATE_LIMIT=0x1p4", "rate_limit (env JWKSCTL_RATE_LIMIT): want a number"},
		{"JWKSCTL_RATE_LIMIT=+Inf", "rate_limit (env JWKSCTL_RATE_LIMIT)"},
		{"JWKSCTL_AUDIENCE=a,,b", "audience (env JWKSCTL_AUDIENCE)"},
		{"JWKSCTL_EXPIRED_TOKENS=TRUE", "want true or false"},

		{"JWKSCTL_PORT=9090", ""},
		{"JWKSCTL_PORT=", ""}, // an empty variable counts as unset
		{"JWKSCTL_PROT=", ""},
		{"JWKSCTLX=1", ""},
		{"OTHER_JWKSCTL_X=1", ""},
		{"no equals sign", ""},

		// A Service with the name jwksctl, and others whose names begin with it.
		{"JWKSCTL_SERVICE_HOST=10.0.0.1", ""},
		{"JWKSCTL_SERVICE_PORT=8080", ""},
		{"JWKSCTL_SERVICE_PORT_HTTP=8080", ""},
		{"JWKSCTL_PORT=tcp://10.0.0.1:8080", ""},
		{"JWKSCTL_PORT_8080_TCP=tcp://10.0.0.1:8080", ""},
		{"JWKSCTL_PORT_8080_TCP_PROTO=tcp", ""},
		{"JWKSCTL_PORT_8080_TCP_PORT=8080", ""},
		{"JWKSCTL_PORT_8080_TCP_ADDR=10.0.0.1", ""},
		{"JWKSCTL_PORT_53_UDP=udp://10.0.0.1:53", ""},
		{"JWKSCTL_POSTGRES_SERVICE_HOST=10.0.0.1", ""},
		{"JWKSCTL_POSTGRES_PORT=tcp://10.0.0.1:5432", ""},
		{"JWKSCTL_POSTGRES_PORT_5432_TCP_ADDR=10.0.0.1", ""},
		{"JWKSCTL_PPROF_PORT=tcp://10.0.0.1:6060", ""},
	}
	for _, tt := range tests {
		t.Run(tt.entry, func(t *testing.T) {
			c, err := config.Load("", nil, []string{"PATH=/bin", tt.entry})
			if tt.want != "" {
				refused(t, err, tt.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := config.Default()
			if tt.entry == "JWKSCTL_PORT=9090" {
				want.Port = 9090
			}
			if diff := cmp.Diff(want, c, cmpopts.IgnoreUnexported(want)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLists(t *testing.T) {
	want := []string{"a", "b c", "D"}
	path := write(t, "s.yaml", "audience: a, b c ,D\n")
	for name, load := range map[string]func() (config.Config, error){
		"file": func() (config.Config, error) { return config.Load(path, nil, nil) },
		"env":  func() (config.Config, error) { return config.Load("", nil, []string{"JWKSCTL_AUDIENCE=a, b c ,D"}) },
		"flag": func() (config.Config, error) {
			return config.Load(path, flags(t, "--audience=a", "--audience", "b c,D"), []string{"JWKSCTL_AUDIENCE=x"})
		},
	} {
		c, err := load()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, c.Audience); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	c, err := config.Load(path, flags(t, "--audience="), nil)
	if err != nil || len(c.Audience) != 0 {
		t.Errorf("an empty flag gave %q, %v; want an empty list that overrides the file", c.Audience, err)
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "1h30m": 90 * time.Minute, "100ms": 100 * time.Millisecond,
		"7d": 168 * time.Hour, "1d12h": 36 * time.Hour, "1d0h1s": 24*time.Hour + time.Second, "65535d": 65535 * 24 * time.Hour,
	} {
		c, err := config.Load("", nil, []string{"JWKSCTL_ROTATION_INTERVAL=" + text})
		if err != nil || c.RotationInterval != want {
			t.Errorf("%s gave %v, %v", text, c.RotationInterval, err)
		}
	}
	for _, text := range []string{
		"30", "0", "1.5", "1e3", "30 s", " 30s", "s", "d", "-1d", "+1d", "1.5d", "1d-1h", "1d+1h", "1d24h", "1d2d",
		"1h1d", "1d 1h", "1d5", "1w", "65536d", "99999999h", "Inf",
	} {
		_, err := config.Load("", nil, []string{"JWKSCTL_ROTATION_INTERVAL=" + text})
		refused(t, err, "rotation_interval (env JWKSCTL_ROTATION_INTERVAL)", "want a duration with a unit, as in 30s", text)
	}
	for d, want := range map[time.Duration]string{
		24 * time.Hour: "24h", 90 * time.Minute: "1h30m", 10 * time.Minute: "10m", 10 * time.Second: "10s",
		time.Hour + time.Second: "1h0m1s", 1500 * time.Millisecond: "1.5s",
	} {
		c := config.Default()
		c.RotationInterval = d
		if got := setting(t, c, "rotation_interval").Value; got != want {
			t.Errorf("%v is shown as %s, want %s", d, got, want)
		}
	}
}

func TestFlagsRefuseBadText(t *testing.T) {
	for _, args := range [][]string{
		{"--port", "x"},
		{"--port", "80.5"},
		{"--port", "auto"},
		{"--port", ""},
		{"--port", "010"},
		{"--token-ttl", "30"},
		{"--issuer", ""},
		{"--key-size", "0"},
		{"--expired-tokens=1"},
		{"--insecure-anonymous=yes"},
		{"--rate-limit", "much"},
	} {
		fs := allFlags()
		if err := fs.Parse(args); err == nil || !strings.Contains(err.Error(), "want ") {
			t.Errorf("%q: got %v", args, err)
		}
	}
}

func TestFlagsShowTheDefaults(t *testing.T) {
	fs := allFlags()
	defaults := config.Default()
	for _, s := range defaults.Settings() {
		f := fs.Lookup(strings.ReplaceAll(s.Key, "_", "-"))
		if f == nil {
			if s.Key != "clients" {
				t.Errorf("%s has no flag", s.Key)
			}
			continue
		}
		if f.DefValue != s.Value || f.Value.String() != s.Value {
			t.Errorf("--%s shows %q, the default is %q", f.Name, f.DefValue, s.Value)
		}
	}
	usage := fs.FlagUsages()
	for _, want := range []string{
		"--port int ", "(default 8080)", "--host string ", `(default "127.0.0.1")`, "--token-ttl duration ", "(default auto)",
		"--audience list ", "--expired-tokens ", "(default true)",
	} {
		if !strings.Contains(usage, want) {
			t.Errorf("the help lacks %q:\n%s", want, usage)
		}
	}
	c, err := config.Load("", flags(t, "--insecure-anonymous", "--port=1", "--port=2"), nil)
	if err != nil || !c.InsecureAnonymous || c.Port != 2 {
		t.Errorf("got %+v, %v", c, err)
	}
}

// The flag set of a command contains other flags too.
func TestLoadLooksOnlyAtItsOwnFlags(t *testing.T) {
	first := pflag.NewFlagSet("first", pflag.ContinueOnError)
	first.Bool("help", false, "")
	first.String("config", "", "")
	first.Duration("leeway", 0, "a flag of the command, not the setting")
	config.Flags(first, "port", "host")
	second := pflag.NewFlagSet("second", pflag.ContinueOnError)
	config.Flags(second, "port")
	if err := errors.Join(first.Parse([]string{"--help", "--config=x", "--leeway=9s", "--port=1"}), second.Parse([]string{"--port=2"})); err != nil {
		t.Fatal(err)
	}
	a, errA := config.Load("", first, nil)
	b, errB := config.Load("", second, nil)
	if errA != nil || errB != nil || a.Port != 1 || b.Port != 2 || a.Given("leeway") || a.Leeway != 0 {
		t.Errorf("got %+v %v and %+v %v", a, errA, b, errB)
	}
}

func TestUnknownKeyInCodePanics(t *testing.T) {
	for name, f := range map[string]func(){
		"Given":            func() { config.Default().Given("prot") },
		"Flags":            func() { config.Flags(pflag.NewFlagSet("", pflag.ContinueOnError), "prot") },
		"Flags of clients": func() { config.Flags(pflag.NewFlagSet("", pflag.ContinueOnError), "clients") },
		"Source":           func() { config.Default().Source("prot") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s accepted an unknown key", name)
				}
			}()
			f()
		}()
	}
}
