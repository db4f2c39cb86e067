package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever serve refuses in the settings alone, config view refuses with the same words.
// Most of it, each value by itself, is refused by every command that reads settings.
func TestCommandsRefuseTheSameSettings(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // a server that starts although it must not ends at once
	for name, tt := range map[string]struct {
		file  string
		every bool // every command refuses it
		want  string
	}{
		"algorithm":        {"algorithm: HS256", true, "algorithm: "},
		"none":             {"algorithm: none", true, "algorithm: "},
		"key size":         {"algorithm: RS256\nkey_size: 1024", true, "key_size: RS256 takes [2048 3072 4096] bits, not 1024"},
		"key size of EC":   {"algorithm: ES256\nkey_size: 2048", true, "key_size: ES256 keys have one size"},
		"issuer":           {"issuer: auth.example.com", true, "absolute http or https URL"},
		"issuer's query":   {"issuer: https://auth.example.com?a=b", true, "query"},
		"short rotation":   {"rotation_interval: 3s", true, "rotation_interval must be between 4s"},
		"long rotation":    {"rotation_interval: 4000d", true, "rotation_interval must be between"},
		"fraction":         {"jwks_max_age: 1500ms", true, "jwks_max_age must be whole seconds"},
		"small skew":       {"clock_skew: 1ms", true, "clock_skew must be between"},
		"short leeway":     {"leeway: 1ms", true, "leeway must be between"},
		"store":            {"store: ftp://me:hunter2@example.com/x", true, "unknown scheme ftp: use sqlite:PATH"},
		"store's path":     {"store: 'sqlite:'", true, "lacks the file"},
		"port":             {"port: 70000", true, "is not a port"},
		"drain":            {"drain_delay: 400d", true, "too long"},
		"clients":          {"auth: clients\nclients: [{id: a}]", true, "entry 1 (id a): audiences: "},
		"no clients":       {"auth: clients", true, "list them under clients"},
		"clients unasked":  {"clients: [{id: a}]", true, "set auth to clients"},
		"sum":              {"port: 0\nrotation_interval: 10m\nmax_staleness: 1h", false, "max_staleness + 2*jwks_max_age + 2*clock_skew <= rotation_interval"},
		"sum with default": {"port: 0\nmax_staleness: 2d", false, "max_staleness + 2*jwks_max_age + 2*clock_skew <= rotation_interval"},
		"other sum":        {"port: 0\ntoken_ttl: 9d", false, "max_staleness + token_ttl + leeway + 2*clock_skew <= 8*rotation_interval"},
		"open to all":      {"host: 0.0.0.0\nissuer: https://a.example", false, "host 0.0.0.0 is not a loopback address"},
		"published plain":  {"host: 0.0.0.0\nauth: off", false, "host 0.0.0.0 is not a loopback address, and without TLS others on the network can read and replace"},
		"plain, insecure":  {"host: '::'\nauth: off\ninsecure_anonymous: true", false, "host :: is not a loopback address, and without TLS"},
		"open with proxy":  {"host: 0.0.0.0\nbehind_proxy: [10.0.0.0/8]\nissuer: https://a.example", false, "every client that reaches /auth gets a token"},
		"proxy, loopback":  {"behind_proxy: [127.0.0.1]", false, "behind_proxy: others on the network reach host 127.0.0.1 through the proxy"},
		"proxy, socket":    {"host: unix:/run/jwksctl.sock\nbehind_proxy: [127.0.0.1]\nissuer: https://a.example", false, "behind_proxy: others on the network reach host unix:/run/jwksctl.sock"},
		"clients, plain":   {"host: 0.0.0.0\nissuer: https://a.example\nauth: clients\nclients: [{id: a, audiences: [b], jwks_uri: https://c.example/jwks}]", false, "without TLS"},
		"proxies":          {"behind_proxy: [10.0.0.1/8]", true, "give 10.0.0.0/8"},
		"metrics":          {"metrics_port: 8080", true, "8080 is the port of the server itself"},
		"no URL":           {"host: unix:/run/jwksctl.sock", false, "host unix:/run/jwksctl.sock is a Unix socket"},
		"no issuer":        {"port: 0\nhost: 0.0.0.0\ninsecure_anonymous: true", false, "set --issuer"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "s.yaml")
			if err := os.WriteFile(file, []byte(tt.file+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			commands := [][]string{{"serve"}, {"config", "view"}}
			if tt.every {
				commands = append(commands, []string{"token"}, []string{"keys", "list"}, []string{"keys", "rotate"}, []string{"jwks"},
					[]string{"verify", "--key", "none.pem", "--iss", "https://a.example", "a.b.c"}, []string{"token", "--gallery", filepath.Join(t.TempDir(), "new")})
			}
			for _, args := range commands {
				p, stdout, stderr := newProcess(t, "")
				p.environ, p.stateFolder = nil, filepath.Join(t.TempDir(), "state")
				if code := execute(ctx, p, append(args, "--config", file)); code != exitUsage {
					t.Errorf("%q gives %d, want %d", args, code, exitUsage)
				}
				if got := stderr.String(); !strings.Contains(got, tt.want) || strings.Contains(got, "hunter2") || stdout.Len() > 0 {
					t.Errorf("%q says %q and prints %q, want %q", args, got, stdout, tt.want)
				}
				if _, err := os.Stat(p.stateFolder); !os.IsNotExist(err) {
					t.Errorf("%q made the state folder: %v", args, err)
				}
			}
		})
	}
}

// The examples and the defaults can be served.
func TestConfigViewAcceptsWhatServes(t *testing.T) {
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	cases := [][]string{
		nil,
		{"--host", "localhost"},
		{"--host", "0.0.0.0", "--insecure-anonymous", "--issuer", "https://a.example"},
		{"--host", "unix:/run/jwksctl.sock", "--issuer", "https://a.example"},
		{"--host", "0.0.0.0", "--auth", "off", "--behind-proxy", "10.0.0.0/8"},
		{"--host", "::", "--auth", "off", "--tls-cert", "a", "--tls-key", "b"},
	}
	for _, file := range files {
		cases = append(cases, []string{"--config", file})
	}
	for _, args := range cases {
		p, stdout, stderr := newProcess(t, "")
		p.environ = nil
		if code := execute(t.Context(), p, append([]string{"config", "view"}, args...)); code != exitDone || stdout.Len() == 0 {
			t.Errorf("%q gives %d: %s", args, code, stderr)
		}
	}
}

// serve accepts each example of configs, apart from files that it names. The etcd example
// has the clock_skew that etcd needs.
func TestExamplesAreAccepted(t *testing.T) {
	examples, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(examples) < 4 {
		t.Fatalf("found %q, %v", examples, err)
	}
	for _, example := range examples {
		p, stdout, stderr := newProcess(t, "")
		p.environ = nil
		if code := execute(t.Context(), p, []string{"config", "view", "--config", example}); code != exitDone {
			t.Errorf("config view of %s gives %d: %s", example, code, stderr)
		}
		if strings.HasSuffix(example, "etcd.yaml") && !strings.Contains(stdout.String(), "etcd://etcd-1.example.com,") {
			t.Errorf("config view of %s shows %s", example, stdout)
		}
	}
	p, _, stderr := newProcess(t, "")
	p.environ = []string{"JWKSCTL_CLOCK_SKEW=5s"}
	if code := execute(t.Context(), p, []string{"config", "view", "--config", "../../configs/etcd.yaml"}); code != exitUsage || !strings.Contains(stderr.String(), "at least 8s") {
		t.Errorf("with a clock_skew of 5s, config view of the etcd example gives %d: %s", code, stderr)
	}
}
