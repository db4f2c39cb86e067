package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/jwksctl/jwksctl/pkg/config"
)

const settingsFence = "```yaml clients\n"

// readmeBlocks returns the contents of the blocks that begin with fence.
func readmeBlocks(text, fence string) []string {
	var blocks []string
	for _, rest := range strings.Split(text, fence)[1:] {
		block, _, _ := strings.Cut(rest, "```")
		blocks = append(blocks, block)
	}
	return blocks
}

// TestReadmeClientEntries has the parser of the program read the entries of the README's
// recipes, all of which are one settings file.
func TestReadmeClientEntries(t *testing.T) {
	text := readReadme(t)
	file := filepath.Join(t.TempDir(), "jwksctl.yaml")
	if err := os.WriteFile(file, []byte(strings.Join(readmeBlocks(text, settingsFence), "")), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	clients, err := parseClients(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := newRegistry(func() string { return documentedURL }).Set(clients); err != nil {
		t.Error(err)
	}
	var ways []string
	for _, c := range clients {
		ways = append(ways, rowOfClient(c).Way)
	}
	if want := []string{"secret_sha256", "jwks_uri", "trust", "trust"}; !slices.Equal(ways, want) {
		t.Errorf("the recipes are for %v, want %v", ways, want)
	}
	if entries := strings.Count(text, "\n- id: "); entries != len(clients) {
		t.Errorf("the README shows %d entries, of which %d are in blocks that begin with %q", entries, len(clients), settingsFence)
	}
	for _, block := range readmeBlocks(text, "```yaml\n") {
		if err := yaml.Unmarshal([]byte(block), new(any)); err != nil {
			t.Errorf("%v in\n%s", err, block)
		}
	}
}

// TestReadmeClients does what TestReadmeTour does, with the console blocks about clients. The
// entries of the recipes are added to the settings file where the README shows them, while
// the server runs.
func TestReadmeClients(t *testing.T) {
	tour := newTour(t)
	text := readReadme(t)
	hash := regexp.MustCompile(`secret_sha256: \[([0-9a-f]{64})\]`)
	documented := hash.FindStringSubmatch(text)
	if documented == nil {
		t.Fatal("the README shows no secret_sha256")
	}
	tour.printed = func(_, output string) {
		if made := hash.FindStringSubmatch(output); made != nil {
			tour.real[documented[1]] = made[1]
		}
	}
	tour.prose = tour.addClients
	tour.follow("console clients")
}

// addClients adds the entries in this part of the README to the settings file, and waits
// until the server, if it runs, has read them.
func (r *tour) addClients(part string) {
	entries := strings.Join(readmeBlocks(part, settingsFence), "")
	if entries == "" {
		return
	}
	for documented, address := range r.real {
		entries = strings.ReplaceAll(entries, documented, address)
	}
	before := r.reloads()
	file, err := os.OpenFile(filepath.Join(r.dir, "jwksctl.yaml"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = file.WriteString(entries)
	if closed := file.Close(); err != nil || closed != nil {
		r.t.Fatal(err, closed)
	}
	if r.real[documentedURL] == "" {
		return // it is not started yet
	}
	for deadline := time.After(30 * time.Second); r.reloads() == before; {
		select {
		case <-deadline:
			r.t.Fatalf("the server has not read\n%s", entries)
		case <-time.After(time.Millisecond):
		}
	}
}

// reloads counts how often servers have read the list again.
func (r *tour) reloads() (n int) {
	logs, err := filepath.Glob(filepath.Join(r.dir, "log-*"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, log := range logs {
		data, err := os.ReadFile(log)
		if err != nil {
			r.t.Fatal(err)
		}
		n += bytes.Count(data, []byte(`"clients reloaded"`))
	}
	return n
}
