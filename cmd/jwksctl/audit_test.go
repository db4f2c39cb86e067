package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/audit"
	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/jwk"
)

func TestClientsChanged(t *testing.T) {
	key, err := newKey(jwk.ES256, 0)
	if err != nil {
		t.Fatal(err)
	}
	public, err := json.Marshal(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	list := func(text string) []client.Client {
		var entries any
		if err := json.Unmarshal([]byte(text), &entries); err != nil {
			t.Fatal(err)
		}
		clients, err := client.Parse(entries)
		if err != nil {
			t.Fatal(err)
		}
		return clients
	}
	const (
		one     = `{"id": "one", "audiences": ["a"], "jwks_uri": "https://k.example", "claims": {"team": "x"}}`
		changed = `{"id": "one", "audiences": ["a"], "jwks_uri": "https://k.example", "claims": {"team": "y"}}`
	)
	two := `{"id": "two", "audiences": ["a"], "jwks": {"keys": [` + string(public) + `]}}`
	for _, tt := range []struct {
		name, before, after string
		want                []string
	}{
		{"the first list", "", one + "," + two, []string{"add one", "add two"}},
		{"the same list in another order", one + "," + two, two + "," + one, nil},
		{"an entry that differs", one + "," + two, changed + "," + two, []string{"change one"}},
		{"one more and one less", one, two, []string{"add two", "remove one"}},
		{"an empty list", one + "," + two, "", []string{"remove one", "remove two"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			c := &auditor{log: audit.New(&out), command: "serve", now: time.Now}
			c.clientsChanged(list("["+tt.before+"]"), list("["+tt.after+"]"))
			var got []string
			for line := range strings.Lines(out.String()) {
				var e audit.Event
				if err := json.Unmarshal([]byte(line), &e); err != nil {
					t.Fatal(err)
				}
				if e.Kind != audit.ClientsChanged || e.Command != "serve" {
					t.Errorf("got %+v", e)
				}
				got = append(got, e.Step+" "+e.Client)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	(*auditor)(nil).clientsChanged(list("["+one+"]"), nil)
}
