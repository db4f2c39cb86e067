package config_test

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/jwksctl/jwksctl/pkg/config"
)

func TestDefaultFile(t *testing.T) {
	const path = "../../configs/jwksctl.yaml"
	got, err := config.Load(path, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config.Default(), got, cmpopts.IgnoreUnexported(got)); diff != "" {
		t.Errorf("not the defaults: %s", diff)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config.YAML(), string(data)); diff != "" {
		t.Errorf("not what YAML returns: %s", diff)
	}
	// Each key once, in order, each after one line of comment.
	var want, lines []string
	for _, k := range config.Keys() {
		want = append(want, "# "+k.Usage, k.Name)
	}
	for scan := bufio.NewScanner(strings.NewReader(string(data))); scan.Scan(); {
		line := scan.Text()
		if !strings.HasPrefix(line, "#") {
			line, _, _ = strings.Cut(line, ":")
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}

func TestExamples(t *testing.T) {
	paths, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(paths) < 4 {
		t.Fatalf("found %q, %v", paths, err)
	}
	for _, path := range paths {
		c, err := config.Load(path, nil, nil)
		if err != nil {
			t.Error(err)
			continue
		}
		// If an example has the durations of a policy, serve must accept them.
		if c.MaxStaleness == 0 {
			continue
		}
		if sum := c.MaxStaleness + 2*c.JWKSMaxAge + 2*c.ClockSkew; sum > c.RotationInterval {
			t.Errorf("%s: max_staleness + 2 jwks_max_age + 2 clock_skew is %v, more than rotation_interval", path, sum)
		}
		if sum := c.MaxStaleness + c.TokenTTL + c.Leeway + 2*c.ClockSkew; sum > 8*c.RotationInterval {
			t.Errorf("%s: max_staleness + token_ttl + leeway + 2 clock_skew is %v, more than 8 rotation_interval", path, sum)
		}
	}
}

// FuzzLoadFile checks that Load never panics, that its errors are *Errors, and that the
// settings of an accepted file are valid and can be given by the environment too.
func FuzzLoadFile(f *testing.F) {
	f.Add(uint8(0), []byte(config.YAML()))
	f.Add(uint8(0), []byte("port: 80\nport: 81\n"))
	f.Add(uint8(0), []byte("a: &a [*a]\n<<: *a\n? [x]\n: 1"))
	f.Add(uint8(0), []byte("log: {level: x}\nPort: ~\n---\n"))
	f.Add(uint8(0), []byte("audience: [a, 1, null, {}]\nrotation_interval: 1d12h\nissuer: 2020-01-01\n"))
	f.Add(uint8(1), []byte("port = 80\nrate_limit = inf\n[log]\nlevel = 1979-05-27\n"))
	f.Add(uint8(1), []byte("audience = ['a', 'b']\ndrain_timeout = '1.5h'\nlog_level = \"warn\""))
	f.Add(uint8(2), []byte(`{"port": 8e3, "audience": ["a"], "store": "postgres://u:p@h/d"}`))
	f.Add(uint8(0), []byte("auth: clients\nclients:\n- {id: a, claims: {A: 1}}\n- 7\n"))
	f.Add(uint8(1), []byte("auth = 'clients'\n[[clients]]\nid = 'a'\n[clients.claims]\nA = 1\n"))
	f.Add(uint8(2), []byte(`{"port": {"port": 1}, "Port": 1, "port": null}`))
	f.Fuzz(func(t *testing.T, format uint8, data []byte) {
		path := write(t, []string{"s.yaml", "s.toml", "s.json"}[format%3], string(data))
		c, err := config.Load(path, nil, nil)
		if err != nil {
			refused(t, err)
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("loaded, but invalid: %v", err)
		}
		if len(c.Clients) > 0 {
			return // only a file can have them
		}
		var environ []string
		for i, s := range c.Settings() {
			switch s.Key {
			case "store": // the shown value is masked
				s.Value = c.Store
			case "audience": // an item in a file may contain commas
				if strings.Count(s.Value, ",") != max(0, len(c.Audience)-1) {
					return
				}
			}
			environ = append(environ, config.Keys()[i].Variable+"="+s.Value)
		}
		again, err := config.Load("", nil, environ)
		if err != nil {
			t.Fatalf("refused from the environment: %v", err)
		}
		if diff := cmp.Diff(c, again, cmpopts.IgnoreUnexported(c), cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	})
}
