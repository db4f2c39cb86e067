package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/jwksctl/jwksctl/pkg/client"
)

// listFile is a settings file whose changes a server notices.
type listFile struct {
	path   string
	writes int
}

func (f *listFile) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f.writes++ // two writes within one tick of the disk's clock have one time
	changed := time.Now().Add(time.Duration(f.writes) * time.Second)
	if err := os.Chtimes(f.path, changed, changed); err != nil {
		t.Fatal(err)
	}
}

func TestClientsReload(t *testing.T) {
	file := &listFile{path: filepath.Join(t.TempDir(), "s.yaml")}
	const (
		head = "auth: clients\nissuer: https://tokens.example\n"
		one  = "clients: [{id: one, audiences: [a], jwks_uri: https://k.example}]\n"
		two  = "clients: [{id: two, audiences: [a], jwks_uri: https://k.example}]\n"
	)
	file.write(t, head+one)
	var log bytes.Buffer
	p, _, _ := newProcess(t, "")
	p.environ = nil
	a := &app{process: p, configFile: file.path}
	cfg, err := a.settings(pflag.NewFlagSet("", pflag.ContinueOnError))
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.loadClients(cfg, func() string { return "https://tokens.example" }, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	var changes []string
	c.changed = func(before, after []client.Client) { changes = append(changes, before[0].ID+" "+after[0].ID) }
	look := func(wantID string, wantLog ...string) {
		t.Helper()
		c.files.ifChanged(t.Context())
		if got := c.registry.Clients()[0].ID; got != wantID {
			t.Errorf("the client is %s, want %s", got, wantID)
		}
		for _, text := range wantLog {
			if !strings.Contains(log.String(), text) {
				t.Errorf("the log lacks %q:\n%s", text, log.String())
			}
		}
		if lines := strings.Count(log.String(), "\n"); lines != len(wantLog) {
			t.Errorf("the log has %d lines, want %d:\n%s", lines, len(wantLog), log.String())
		}
		log.Reset()
	}

	look("one")
	file.write(t, head+two)
	look("two", "clients reloaded\" count=1 clients=two")
	look("two")

	// A broken file keeps the list, and is reported once.
	for _, broken := range []string{head + "clients: [", head + "clients: [{id: a}]\n", "auth: clients\n", "clients: [{id: a}]\n", head + one + "port: x\n"} {
		file.write(t, broken)
		c.files.failing = false
		look("two", "clients reload failed; the last list stays")
		file.write(t, broken)
		look("two")
	}
	if err := os.Remove(file.path); err != nil {
		t.Fatal(err)
	}
	look("two")
	c.files.now(t.Context()) // SIGHUP is answered in any case
	look("two", "clients reload failed")

	// What a reload does not change is named.
	file.write(t, head+one+"port: 9000\nrate_limit: 5\n")
	look("one", "need a restart\" settings=port,rate_limit", "clients reloaded")
	file.write(t, "issuer: https://tokens.example\nauth: 'off'\n"+two)
	look("one", "auth is off now")
	file.write(t, head+one)
	look("one", "clients reloaded")
	if want := []string{"one two", "two one", "one one"}; strings.Join(changes, ",") != strings.Join(want, ",") {
		t.Errorf("the changes are %q, want %q", changes, want)
	}
}
