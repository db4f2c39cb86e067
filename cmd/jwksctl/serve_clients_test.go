package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
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

	// A file that is still being written is not read, although its first lines are valid.
	file.write(t, head+one)
	c.files.ifChanged(t.Context())
	file.write(t, head+two)
	c.files.ifChanged(t.Context())
	if got := c.registry.Clients()[0].ID; got != "two" {
		t.Errorf("the client is %s while the file is being written", got)
	}
	look("two", "clients reloaded")

	// What a reload does not change is named.
	file.write(t, head+one+"port: 9000\nrate_limit: 5\n")
	look("one", "need a restart\" settings=port,rate_limit", "clients reloaded")
	file.write(t, "issuer: https://tokens.example\nauth: 'off'\n"+two)
	look("one", "auth is off now")
	file.write(t, head+one)
	look("one", "clients reloaded")
	if want := []string{"one two", "two two", "two one", "one one"}; strings.Join(changes, ",") != strings.Join(want, ",") {
		t.Errorf("the changes are %q, want %q", changes, want)
	}
}

// Tokens are issued while the list is replaced: a client of both lists is never refused, and
// the banner says where clients ask.
func TestClientsReloadUnderLoad(t *testing.T) {
	const secret = secretPrefix + "0123456789012345678901234567890123456789012"
	file := &listFile{path: filepath.Join(t.TempDir(), "s.yaml")}
	list := func(clients ...string) {
		text := "auth: clients\nclients:\n"
		for _, id := range clients {
			text += fmt.Sprintf("- {id: %s, audiences: [a], secret_sha256: [%x]}\n", id, sha256.Sum256([]byte(secret)))
		}
		file.write(t, text)
	}
	list("stays")
	p, _, _ := newProcess(t, "")
	p.terminal = func(any) bool { return true }
	listening, isListening := context.WithCancel(t.Context())
	log := &cancelOnText{text: "msg=listening", cancel: isListening}
	p.stderr = log
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan int, 1)
	go func() {
		defer isListening() // if it fails
		served <- execute(ctx, p, []string{"serve", "--port", "0", "--config", file.path})
	}()
	<-listening.Done()
	written := func() string {
		log.mu.Lock()
		defer log.mu.Unlock()
		return log.written.String()
	}
	endpoint := regexp.MustCompile(`tokens     (http://127\.0\.0\.1:\d+/oauth2/token), for clients`).FindStringSubmatch(written())
	if endpoint == nil {
		t.Fatalf("serve gives %d: %s", <-served, written())
	}
	ask := func(id string) int {
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
		r, err := http.PostForm(endpoint[1], form) //nolint:noctx // it ends with the server
		if err != nil {
			t.Error(err)
			return 0
		}
		_ = r.Body.Close()
		return r.StatusCode
	}
	var requests sync.WaitGroup
	reloads := func() int { return strings.Count(written(), "clients reloaded") }
	for range 4 {
		requests.Go(func() {
			for reloads() < 2 && ctx.Err() == nil {
				if status := ask("stays"); status != http.StatusOK {
					t.Errorf("status %d", status)
				}
			}
		})
	}
	stopAfter := time.AfterFunc(storyTimeout, stop) // it fails below
	defer stopAfter.Stop()
	list("stays", "comes")
	for reloads() < 1 && ctx.Err() == nil {
		ask("stays")
	}
	if status := ask("comes"); status != http.StatusOK {
		t.Errorf("the new client gets %d", status)
	}
	list("stays")
	requests.Wait()
	if status := ask("comes"); status != http.StatusUnauthorized {
		t.Errorf("the client that was removed gets %d", status)
	}
	stop()
	if code := <-served; code != exitDone {
		t.Errorf("serve gives %d", code)
	}
}
