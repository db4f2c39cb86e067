package client_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/jwk"
)

func TestLint(t *testing.T) {
	key := newKey(t, jwk.ES256)
	clean := secretClient("a", oldSecret) + keyClient(t, "b", key) + trusting(t, "c", "repo:example/shop:ref:refs/heads/main", key, "")
	if diff := cmp.Diff([]client.Finding{}, client.Lint(parse(t, clean))); diff != "" {
		t.Error(diff)
	}
	got := client.Lint(parse(t, secretClient("a", oldSecret, newSecret)+keyClient(t, "https://b.example", key)+`
- {id: c, audiences: [a], jwks_uri: http://127.0.0.1/jwks}
- {id: d, audiences: [a], jwks: {"keys": [{"kty": "EC", "crv": "P-256", "kid": "x", "use": "sig",
    "x": "zr5TsTd2Bcji708zi3Q8xzyFVi4VpLOHcFmOddJq540", "y": "J4otSoKDXZw8qBlM2Nh3f3nY-JmCMFYq61CuiX02-TU"}]}}
- id: e
  audiences: [a]
  trust:
  - {issuer: https://i.example, subject: s, audience: https://i.example}
  - {issuer: http://localhost:1, subject: system:serviceaccount:prod:*, audience: a}
`))
	want := []client.Finding{
		{ClientID: "a", Message: "two secrets are valid: remove the old hash when the new secret is in use"},
		{ClientID: "https://b.example", Message: "its id is a URL: if that is an issuer with the same keys, a token that it gives to others could be an assertion of this client"},
		{ClientID: "c", Message: "its keys come by plain http, which is safe on this machine only"},
		{ClientID: "d", Message: "key 0: it has no alg: verifiers may use any algorithm for EC keys"},
		{ClientID: "e", Message: "trust 1: the audience is the issuer itself, as in tokens that are meant for the platform: have it make one for this server"},
		{ClientID: "e", Message: "trust 2: every subject that begins with system:serviceaccount:prod: is this client"},
		{ClientID: "e", Message: "trust 2: its keys come by plain http, which is safe on this machine only"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Two clients whose entries fit one token are refused unless they send client_id.
func TestLintEntriesThatOverlap(t *testing.T) {
	entry := func(id, members string) string {
		return "- {id: " + id + ", audiences: [a], trust: [{issuer: https://i.example, " + members + "}]}\n"
	}
	for name, tt := range map[string]struct {
		a, b string
		want bool
	}{
		"identical":              {"subject: 'repo:a/b', audience: x", "subject: 'repo:a/b', audience: x", true},
		"a wildcard within":      {"subject: 'repo:a/*', audience: x", "subject: 'repo:a/b:*', audience: x", true},
		"a subject within":       {"subject: 'repo:a/b', audience: x", "subject: 'repo:a/*', audience: x", true},
		"another required claim": {"subject: s, audience: x, require: {c: '1'}", "subject: s, audience: x, require: {d: '1'}", true},
		"another value":          {"subject: s, audience: x, require: {c: '1'}", "subject: s, audience: x, require: {c: '2'}", false},
		"another subject":        {"subject: 'repo:a/b', audience: x", "subject: 'repo:a/c', audience: x", false},
		"beginning of a subject": {"subject: 'repo:a/b', audience: x", "subject: 'repo:a/bc', audience: x", false},
		"another audience":       {"subject: s, audience: x", "subject: s, audience: y", false},
		"another typ":            {"subject: s, audience: x, typ: at+jwt", "subject: s, audience: x", false},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, finding := range client.Lint(parse(t, entry("first", tt.a)+entry("second", tt.b))) {
				if strings.Contains(finding.Message, "client_id") {
					got = append(got, finding.ClientID+": "+finding.Message)
				}
			}
			var want []string
			if tt.want {
				want = []string{"second: trust 1: a token that fits it may also fit trust 1 of first, and is then refused: have both clients send client_id"}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	one := "- {id: a, audiences: [a], trust: [{issuer: https://i.example, subject: s, audience: x}, {issuer: https://i.example, subject: s, audience: x}]}"
	if findings := client.Lint(parse(t, one+"\n"+strings.ReplaceAll(entry("b", "subject: s, audience: x"), "i.example", "j.example"))); len(findings) > 0 {
		t.Errorf("entries of one client, and of another issuer: %+v", findings)
	}
}
