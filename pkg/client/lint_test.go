package client_test

import (
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
