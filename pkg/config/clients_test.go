package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/config"
)

// Each format gives the same list, with the names in it as they are written.
func TestClients(t *testing.T) {
	for name, text := range map[string]string{
		"s.yaml": "auth: clients\nclients:\n- id: a\n  claims: {Team: {Blue.Sky: x}}\n  trust:\n  - {subject: S}\n- {id: b}\n",
		"s.toml": "auth = 'clients'\n[[clients]]\nid = 'a'\nclaims = {Team = {'Blue.Sky' = 'x'}}\n[[clients.trust]]\nsubject = 'S'\n[[clients]]\nid = 'b'\n",
		"s.json": `{"auth": "clients", "clients": [{"id": "a", "claims": {"Team": {"Blue.Sky": "x"}}, "trust": [{"subject": "S"}]}, {"id": "b"}]}`,
	} {
		path := write(t, name, text)
		c, err := config.Load(path, nil, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := []any{
			map[string]any{"id": "a", "claims": map[string]any{"Team": map[string]any{"Blue.Sky": "x"}}, "trust": []any{map[string]any{"subject": "S"}}},
			map[string]any{"id": "b"},
		}
		if diff := cmp.Diff(want, c.Clients); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if !c.Given("clients") || c.Source("clients") != config.Source("file "+path) || c.File() != path {
			t.Errorf("%s: they come from %q", name, c.Source("clients"))
		}
		if s := setting(t, c, "clients"); s.Value != "a,b" {
			t.Errorf("%s: shown as %q", name, s.Value)
		}
	}
	none := config.Default()
	if none.Given("clients") || none.Source("clients") != config.SourceDefault || none.File() != "" || setting(t, none, "clients").Value != "" {
		t.Error("the defaults have clients")
	}
	// A server that only publishes may share the file of those that issue tokens.
	path := write(t, "s.yaml", "auth: clients\nclients: [{id: a}, 7]\n")
	c, err := config.Load("", nil, []string{"JWKSCTL_AUTH=off", config.FileVariable + "=" + path})
	if err != nil || c.File() != path || setting(t, c, "clients").Value != "a,?" {
		t.Errorf("%v, %q, %+v", err, c.File(), setting(t, c, "clients"))
	}
}

func TestDifferences(t *testing.T) {
	load := func(text string) config.Config {
		c, err := config.Load(write(t, "s.yaml", text), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	before := load("auth: clients\nclients: [{id: a}]\nstore: 'postgres://me:one@db/k'\nport: 1\n")
	after := load("auth: clients\nclients: [{id: b}]\nstore: 'postgres://me:two@db/k'\nport: 2\n")
	if diff := cmp.Diff([]string{"port", "clients", "store"}, before.Differences(after)); diff != "" {
		t.Error(diff)
	}
	if got := before.Differences(before); got != nil {
		t.Errorf("it differs from itself in %q", got)
	}
}
