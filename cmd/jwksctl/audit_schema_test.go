package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// TestAuditSchema runs a server and commands, and compares every line of their audit log
// with the tables of the README. Each event and each member in the tables must occur.
//
//	go test ./cmd/jwksctl -run AuditSchema -readme.update
//
// pastes lines of a new run.
func TestAuditSchema(t *testing.T) {
	text := readReadme(t)
	schema := readSchema(t, text)
	lines := auditedRun(t)
	seen := map[string]bool{}
	first := map[string]string{} // the first line of each event
	for _, line := range lines {
		var members map[string]any
		if err := json.Unmarshal([]byte(line), &members); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		event, _ := members["event"].(string)
		if first[event] == "" {
			first[event] = line
		}
		for member := range members {
			if !slices.Contains(schema.members[member], event) {
				t.Errorf("the README has no member %s of the event %q: %s", member, event, line)
			}
			seen[member] = true
		}
		if step, ok := members["step"].(string); ok && !slices.Contains(schema.steps, step) {
			t.Errorf("the README has no step %s", step)
		}
	}
	for member := range schema.members {
		if !seen[member] {
			t.Errorf("no line has the member %s of the README", member)
		}
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(schema.events)), slices.Sorted(maps.Keys(first))); diff != "" {
		t.Errorf("the events of the run (-README +run):\n%s", diff)
	}
	var example string
	for _, event := range schema.events {
		example += first[event] + "\n"
	}
	compareExample(t, text, example)
}

// compareExample compares the lines in the README with those of a run.
func compareExample(t *testing.T, text, example string) {
	t.Helper()
	const fence = "```json audit\n"
	before, rest, ok := strings.Cut(text, fence)
	shown, after, closed := strings.Cut(rest, "```\n")
	if !ok || !closed {
		t.Fatalf("README.md has no block that begins with %s", fence)
	}
	if *updateReadme {
		if err := os.WriteFile(readmeFile, []byte(before+fence+example+"```\n"+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	normal := func(text string) string {
		text = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`).ReplaceAllString(text, "TIME")
		text = regexp.MustCompile(`"version":\d+`).ReplaceAllString(text, `"version":N`) // the specimen is created meanwhile
		return withoutChance(text)
	}
	if diff := cmp.Diff(normal(shown), normal(example)); diff != "" {
		t.Errorf("the lines differ (-README +run):\n%s", diff)
	}
}

// auditSchema is what the README says about the lines.
type auditSchema struct {
	events, steps []string
	members       map[string][]string // the events that have them
}

// readSchema reads the tables of the section about the audit log.
func readSchema(t *testing.T, text string) auditSchema {
	t.Helper()
	_, section, _ := strings.Cut(text, "\n## Audit log\n")
	section, _, _ = strings.Cut(section, "\n## ")
	s := auditSchema{members: map[string][]string{}}
	quoted := func(cell string) (out []string) {
		for _, match := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cell, -1) {
			out = append(out, match[1])
		}
		return out
	}
	for line := range strings.Lines(section) {
		switch cells := strings.Split(line, "|"); {
		case !strings.HasPrefix(line, "| `"), cells[1] == " `event` ":
		case len(cells) == 4:
			s.events = append(s.events, quoted(cells[1])...)
		default:
			in := quoted(cells[2])
			if cells[2] == " all " {
				in = s.events
			}
			for _, member := range quoted(cells[1]) {
				s.members[member] = in
			}
			if slices.Contains(quoted(cells[1]), "step") {
				s.steps = quoted(cells[3])
			}
		}
	}
	s.members["event"] = s.events
	want := []string{stepExport, stepCopy, stepUndoCopy, stepRestore, stepAdd, stepChange, stepRemove}
	for _, step := range keys.Steps() {
		if step != keys.StepSetPolicy { // these are the event setting_changed
			want = append(want, string(step))
		}
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(s.steps))); diff != "" {
		t.Errorf("the steps (-want +README):\n%s", diff)
	}
	if len(s.events) != 5 || len(s.members) < 20 {
		t.Fatalf("the README has %d events and %d members", len(s.events), len(s.members))
	}
	return s
}

// auditedClients are settings with a client; the hash is that of a secret below.
const auditedClients = `
auth: clients
clients:
  - id: billing
    audiences: [https://api.example.com]
    scopes: [read, write]
    secret_sha256: [9b2a191986685ab1e51fcee44c619d04e810e799f5464965679407c0f6d4237a]
`

// auditedRun runs commands and servers and returns the lines of their audit log.
func auditedRun(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "audit.log")
	environ := []string{"JWKSCTL_STORE=sqlite:" + dir + "/keyset.db", "JWKSCTL_ALGORITHM=ES256", "JWKSCTL_AUDIT_LOG=" + file}
	command := func(ctx context.Context, args ...string) string {
		p, stdout, stderr := newProcess(t, "")
		p.user, p.environ = "deploy", environ
		if code := execute(ctx, p, args); code != exitDone {
			t.Errorf("%q gives %d: %s", args, code, stderr)
		}
		return strings.TrimSpace(stdout.String())
	}
	serve := func(while func(base string), args ...string) {
		ctx, stop := context.WithCancel(t.Context())
		ready := filepath.Join(dir, "ready")
		done := make(chan struct{})
		go func() {
			defer close(done)
			command(ctx, append([]string{"serve", "--port", "0", "--ready-file", ready}, args...)...)
		}()
		while(awaitFile(t, ready, done))
		stop()
		<-done
	}
	settings := filepath.Join(dir, "jwksctl.yaml")
	if err := os.WriteFile(settings, []byte(auditedClients), 0o600); err != nil {
		t.Fatal(err)
	}
	serve(func(base string) {
		for _, secret := range []string{"a secret that has 32 characters.", "another one"} {
			credentials := base64.StdEncoding.EncodeToString([]byte("billing:" + url.QueryEscape(secret)))
			_, _, err := send("POST", base+"/oauth2/token", []string{"grant_type=client_credentials&scope=read", "Authorization: Basic " + credentials})
			if err != nil {
				t.Error(err)
			}
		}
	}, "--config", settings, "--issuer", "https://auth.example.com")
	serve(func(string) {}, "--token-ttl", "30m")
	command(t.Context(), "token", "--sub", "ci", "--aud", "api", "--scope", "read write")
	command(t.Context(), "token", "--expired")
	kid := command(t.Context(), "keys", "rotate", "--reason", "planned")
	command(t.Context(), "keys", "revoke", kid, "--confirm", kid, "--force", "--reason", "laptop stolen")
	command(t.Context(), "store", "copy", "sqlite:"+dir+"/keyset.db", "sqlite:"+dir+"/other.db")

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// awaitFile waits until a server has written its ready file, and returns its URL.
func awaitFile(t *testing.T, path string, ended <-chan struct{}) string {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(storyTimeout)
	for {
		if url, err := os.ReadFile(path); err == nil {
			return strings.TrimSpace(string(url))
		}
		select {
		case <-tick.C:
		case <-ended:
			t.Fatal("the server ended")
		case <-deadline:
			t.Fatal("the server is not ready")
		}
	}
}
