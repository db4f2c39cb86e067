package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// marker is a part of every password of the test.
const marker = "hunter2"

// leaves are the command lines of all commands that have code, with arguments for those
// that take some.
func leaves(c *cobra.Command, arguments map[string][]string) (lines [][]string) {
	for _, sub := range c.Commands() {
		if sub.HasSubCommands() {
			lines = append(lines, leaves(sub, arguments)...)
			continue
		}
		path := strings.TrimPrefix(sub.CommandPath(), "jwksctl ")
		lines = append(lines, append(strings.Fields(path), arguments[path]...))
	}
	return lines
}

// No command prints a password, wherever it was given, and a process list never has it.
func TestNoCommandPrintsAPassword(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const refused = "127.0.0.1:1" // nothing listens there
	url := "postgres://me:hun%40" + marker + "@" + refused + "/k"
	t.Setenv("PGPASSWORD", marker)
	t.Setenv("PGPASSFILE", write("pgpass", "*:*:*:*:"+marker+"\n"))
	file := func(name, text string) []string { return []string{"--config", write(name, text)} }
	places := map[string]struct {
		environ string
		flags   []string
	}{
		"environment":       {environ: url},
		"settings":          {flags: file("s.yaml", "store: "+url+"\n")},
		"broken YAML":       {flags: file("b.yaml", "store: "+url+"\nstore: "+url+": [\n")},
		"broken TOML":       {flags: file("b.toml", "store = \""+url+"\nport = ")},
		"broken JSON":       {flags: file("b.json", `{"store": "`+url+`" "port": }`)},
		"nested":            {flags: file("n.yaml", "store: {url: "+url+"}\n")},
		"flag":              {flags: []string{"--store", url}},
		"wrong flag":        {flags: []string{"--stroe=" + url}},
		"parameter":         {environ: "postgres://" + refused + "/k?user=me&password=" + marker},
		"another parameter": {environ: "postgres://" + refused + "/k?user=me&sslpassword=" + marker},
		"unescaped":         {environ: "postgres://me:a/b?c#" + marker + "@" + refused + "/k"},
		"unescaped @":       {environ: "postgres://me:a" + marker + "@b@" + refused + "/k"},
		"more unescaped @":  {environ: "postgres://me:a@" + marker + "@" + refused + "/k"},
		"bad escape":        {environ: "postgres://me:%zz" + marker + "@" + refused + "/k"},
		"without a host":    {environ: "postgres://me:" + marker},
		"without a scheme":  {environ: "me:" + marker + "@" + refused},
		"keywords":          {environ: "host=127.0.0.1 port=1 user=me password=" + marker},
		"more keywords":     {environ: "host=127.0.0.1 password=a:" + marker},
		"another scheme":    {environ: "mysql://me:" + marker + "@" + refused + "/k"},
		"file":              {environ: "postgres://me@" + refused + "/k?password_file=" + write("password", marker)},
		"missing file":      {environ: "postgres://me@" + refused + "/k?password_file=" + dir},
		"etcd":              {environ: "etcd://me:" + marker + "@" + refused + "/k"},
		"etcd with ?":       {environ: "etcd://me:" + marker + "?x@" + refused + "/k"},
		"argument":          {flags: []string{url}},
	}
	commands := leaves((&app{process: &process{}}).newRoot(), map[string][]string{
		"serve": {"--port", "0", "--log-level", "debug"}, "verify": {"e30.e30.AA"}, "inspect": {"e30.e30.AA"},
		"keys show": {"a"}, "keys revoke": {"a", "--confirm", "a"}, "keys export": {"a"}, "keys import": {"testdata/none.pem"},
		"store copy": {url, "sqlite:" + filepath.Join(dir, "to.db")}, "store backup": {filepath.Join(dir, "backup")}, "store restore": {filepath.Join(dir, "none")},
		"jwks fetch": {"http://me:" + marker + "@" + refused + "/jwks"}, "jwks lint": {"testdata/none"}, "jwks diff": {"testdata/none", "testdata/none"},
		"healthcheck": {"http://" + refused}, "thumbprint": {"testdata/none"}, "completion": {"bash"},
	})
	commands = append(commands, []string{"__complete", "keys", "show", ""}, []string{"config", "view", "-o", "json"})
	if len(commands) < 25 {
		t.Fatalf("only %d commands", len(commands))
	}
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			for _, command := range commands {
				if name == "etcd" && !slices.Contains([]string{"keys list", "config view", "serve --port 0 --log-level debug"}, strings.Join(command, " ")) {
					continue // each waits for the cluster
				}
				checkNoPassword(t, append(slices.Clone(command), place.flags...), place.environ)
			}
		})
	}
}

func checkNoPassword(t *testing.T, args []string, storeURL string) {
	t.Helper()
	p, stdout, stderr := newProcess(t, "")
	p.environ, p.stateFolder = []string{"JWKSCTL_ALGORITHM=ES256"}, filepath.Join(t.TempDir(), "state")
	if storeURL != "" {
		p.environ = append(p.environ, "JWKSCTL_STORE="+storeURL)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_ = execute(ctx, p, args)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Errorf("%q did not end", args)
	}
	for _, out := range []*bytes.Buffer{stdout, stderr} {
		if strings.Contains(out.String(), marker) {
			t.Errorf("%q prints the password:\n%s", args, out)
		}
	}
	_ = filepath.WalkDir(filepath.Dir(p.stateFolder), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if data, err := os.ReadFile(path); err == nil && //nolint:gosec // a folder of this test
				bytes.Contains(data, []byte(marker)) {
				t.Errorf("%q wrote the password into %s", args, path)
			}
		}
		return nil
	})
}

// A password in the process list is refused before anything is opened.
func TestPasswordInTheFlagStoreIsRefused(t *testing.T) {
	for _, url := range []string{"postgres://me:" + marker + "@db/k", "etcd://me:" + marker + "@a,b,c/k", "postgres://db/k?password=" + marker} {
		for _, args := range [][]string{{"keys", "list"}, {"serve", "--port", "0"}, {"config", "view"}} {
			p, _, stderr := newProcess(t, "")
			if code := execute(t.Context(), p, append(args, "--store", url)); code != exitUsage || !strings.Contains(stderr.String(), "list of processes") {
				t.Errorf("%q --store %s gives %d: %s", args, url, code, stderr)
			}
		}
	}
}
