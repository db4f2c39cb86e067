package client_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// FuzzParse checks that Parse never panics, and that a registry accepts what it returns.
func FuzzParse(f *testing.F) {
	hash := hashOf(oldSecret)
	for _, seed := range []string{
		`[]`, `null`, `{}`, `[null]`, `[[]]`,
		`[{"id": "a", "audiences": ["x"], "secret_sha256": ["` + hash + `"]}]`,
		`[{"id": "a", "audiences": ["x"], "jwks_uri": "https://k.example"}, {"id": "a"}]`,
		`[{"id": "a", "audiences": ["x"], "jwks": {"keys": [{"kty": "oct", "k": "AA"}]}}]`,
		`[{"id": "a", "audiences": ["x"], "jwks": "{\"keys\": []}"}]`,
		`[{"id": "a", "audiences": ["x"], "trust": [{"issuer": "https://i.example", "subject": "repo:a/*", "audience": "x", "require": {"a": "b"}}]}]`,
		`[{"id": "a", "audiences": ["x:y"], "scopes": ["a b"], "max_ttl": "1h", "rate_limit": 1e3, "claims": {"a": [1, {"b": null}]}, "expired_tokens": true}]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var list any
		if json.Unmarshal(data, &list) != nil {
			return
		}
		clients, err := client.Parse(list)
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if strings.TrimSpace(line) == "" {
					t.Errorf("an empty line in %q", err)
				}
			}
			return
		}
		r := client.New(client.Options{Issuer: func() string { return "https://tokens.example/fuzz" }})
		if err := r.Set(clients); err != nil && !strings.Contains(err.Error(), "issuer") {
			t.Errorf("parsed, but refused: %v", err)
		}
		for _, c := range clients {
			for _, audience := range c.Audiences {
				request, err := c.Grant(client.Request{Audience: []string{audience}})
				if err != nil {
					t.Fatalf("no token for %q: %v", audience, err)
				}
				if err := request.Check(time.Now(), c.MaxTTL+time.Hour); err != nil {
					t.Errorf("no token can be minted: %v", err)
				}
			}
		}
	})
}

// FuzzAuthenticate sends hostile assertions: none that the keys of the test did not sign is
// accepted, none is accepted twice, and nothing panics.
func FuzzAuthenticate(f *testing.F) {
	// The processes of a fuzz run need the same keys and signatures, so that they know the seeds of each other.
	key, platform := newKey(f, jwk.RS256), otherRSA(f)
	registry := newFixture(f, keyClient(f, "billing", key)+trusting(f, "shop", "repo:example/*", platform, ""))
	signed := map[string]bool{}
	add := func(id string, compact string) {
		signed[compact] = true
		f.Add(id, compact)
	}
	add("", sign(f, key, nil, registry.claims("billing", map[string]any{"jti": "1"})))
	add("billing", sign(f, key, map[string]any{"typ": "client-authentication+jwt"}, registry.claims("billing", map[string]any{"jti": "2"})))
	add("", sign(f, platform, nil, registry.platformToken(nil)))
	add("shop", sign(f, platform, map[string]any{"alg": "none"}, registry.platformToken(nil)))
	for _, text := range []string{"", ".", "..", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "{}", "eyJ.eyJ.eyJ", "a.b.c.d.e"} {
		f.Add("billing", text)
	}
	used := map[string]bool{}
	f.Fuzz(func(t *testing.T, id, compact string) {
		got, method, err := registry.Authenticate(t.Context(), client.Credentials{Method: client.PrivateKeyJWT, ClientID: id, Assertion: compact})
		if err != nil {
			if _, ok := errors.AsType[*client.Refusal](err); !ok {
				t.Errorf("%v is no refusal", err)
			}
			return
		}
		if !signed[compact] || (method == client.PrivateKeyJWT && used[compact]) {
			t.Errorf("accepted as %s by %s: %s", got.ID, method, compact)
		}
		used[compact] = true
	})
}
