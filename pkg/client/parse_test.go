package client_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/jwk"
)

func TestParse(t *testing.T) {
	key := newKey(t, jwk.ES256)
	hash := hashOf(oldSecret)
	got := parse(t, `
- id: billing
  audiences: [https://api.example, plain]
  scopes: [read, "write:all"]
  max_ttl: 1h30m
  claims: {Team: payments, nested: {n: [1, 2.5, true, null]}}
  expired_tokens: true
  rate_limit: 10
  trust:
  - issuer: https://issuer.example
    subject: repo:example/*
    audience: https://tokens.example
  - {issuer: kubernetes/serviceaccount, subject: 'a b', audience: x, typ: at+jwt, require: {/kubernetes.io/namespace: prod}, jwks: `+jwks(t, key)+`}
  - {issuer: https://issuer.example, subject: repo:*, audience: x, require: {owner: '1'}, jwks_uri: 'http://127.0.0.1/jwks'}
- {id: shop, audiences: [a], jwks: '`+jwks(t, key)+`'}
- {id: cron, audiences: [a], jwks_uri: https://cron.example/jwks}
- {id: batch, audiences: [a], secret_sha256: [`+hash+`], rate_limit: 0.5}
`)
	set := &jwk.Set{Keys: []jwk.PublicKey{key.Public()}}
	want := []client.Client{
		{
			ID: "billing", Audiences: []string{"https://api.example", "plain"}, Scopes: []string{"read", "write:all"},
			MaxTTL: 90 * time.Minute, ExpiredTokens: true, RateLimit: 10,
			Claims: map[string]any{"Team": "payments", "nested": map[string]any{"n": []any{1, 2.5, true, nil}}},
			Trust: []client.Trust{
				{Issuer: "https://issuer.example", Subject: "repo:example/*", Audience: "https://tokens.example", Type: "JWT", Require: map[string]string{}},
				{
					Issuer: "kubernetes/serviceaccount", Subject: "a b", Audience: "x", Type: "at+jwt",
					Require: map[string]string{"/kubernetes.io/namespace": "prod"}, JWKS: set,
				},
				{
					Issuer: "https://issuer.example", Subject: "repo:*", Audience: "x", Type: "JWT",
					Require: map[string]string{"owner": "1"}, JWKSURI: "http://127.0.0.1/jwks",
				},
			},
		},
		{ID: "shop", Audiences: []string{"a"}, JWKS: set},
		{ID: "cron", Audiences: []string{"a"}, JWKSURI: "https://cron.example/jwks"},
		{ID: "batch", Audiences: []string{"a"}, RateLimit: 0.5, SecretSHA256: got[3].SecretSHA256},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, empty := range []any{nil, []any{}} {
		if got, err := client.Parse(empty); err != nil || len(got) != 0 {
			t.Errorf("%v gives %v, %v", empty, got, err)
		}
	}
}

// Parse does not change what it is given: the settings are shown afterwards.
func TestParseChangesNothing(t *testing.T) {
	text := "- {id: a, audiences: [x], claims: {a: 1}, trust: [{issuer: https://i.example, subject: s, audience: x, require: {a: b}}]}"
	list := entries(t, text)
	if _, err := client.Parse(list); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(entries(t, text), list); diff != "" {
		t.Error(diff)
	}
}

func TestParseRefuses(t *testing.T) {
	private, err := newKey(t, jwk.ES256).MarshalJWK()
	if err != nil {
		t.Fatal(err)
	}
	hash := hashOf(oldSecret)
	// entry is an entry with a member replaced or added.
	entry := func(member string) string {
		members := map[string]string{"id": "billing", "audiences": "[a]", "secret_sha256": "[" + hash + "]"}
		name, value, _ := strings.Cut(member, ": ")
		members[name] = value
		if name != "secret_sha256" && (strings.HasPrefix(name, "jwks") || name == "trust") {
			delete(members, "secret_sha256")
		}
		var parts []string
		for name, value := range members {
			parts = append(parts, name+": "+value)
		}
		return "- {" + strings.Join(parts, ", ") + "}"
	}
	trust := func(members string) string {
		return entry("trust: [{issuer: https://i.example, subject: s, audience: a}, {" + members + "}]")
	}
	const ok = "issuer: https://i.example, audience: a, "
	for _, tt := range []struct{ name, text, want string }{
		{"a map", "{id: billing}", "want a list"},
		{"an entry that is text", "- billing", "entry 1: want a map"},
		{"an entry with numbers for names", "- {1: 2}", "entry 1: want a map"},
		{"unknown member", entry("audience: [a]"), `entry 1 (id billing): "audience": no such member; did you mean audiences?`},
		{"member unlike any", entry("zebra_crossing: 1"), `"zebra_crossing": no such member; the members are audiences, claims,`},
		{"member in another case", entry("Scopes: [a]"), "did you mean scopes?"},
		{"no value", entry("scopes: "), "scopes: has no value"},

		{"no id", "- {audiences: [a], secret_sha256: [" + hash + "]}", "entry 1: id: is missing"},
		{"id with a space", entry("id: 'a b'"), "entry 1: id: want 1 to 255 visible ASCII characters"},
		{"id with a control character", entry(`id: "a\x00"`), "visible ASCII"},
		{"id of other letters", entry("id: é"), "visible ASCII"},
		{"empty id", entry("id: ''"), "visible ASCII"},
		{"long id", entry("id: " + strings.Repeat("x", 256)), "visible ASCII"},
		{"id as a number", entry("id: 7"), "id: want text"},
		{"same id", entry("scopes: [a]") + "\n" + entry("scopes: [b]"), "entry 2 (id billing): id: entry 1 has it too"},

		{"no audiences", entry("audiences: []"), "audiences: is missing or empty"},
		{"audiences as text", entry("audiences: a"), "audiences: want a list"},
		{"audience that is no URI", entry("audiences: ['1a:b']"), "is not a URI"},
		{"audience that is a path", entry("audiences: [/a:b]"), "is not a URI"},
		{"audience with a space", entry("audiences: ['a b']"), "has a space"},
		{"audience twice", entry("audiences: [a, a]"), `"a" is listed twice`},
		{"audience as a number", entry("audiences: [7]"), "contains only text"},

		{"two scopes in one", entry("scopes: ['a b']"), "is not one scope"},
		{"scope with a quote", entry(`scopes: ['a"b']`), "is not one scope"},
		{"scope with a backslash", entry(`scopes: ['a\b']`), "is not one scope"},
		{"empty scope", entry("scopes: ['']"), "is not one scope"},

		{"number for a duration", entry("max_ttl: 30"), "max_ttl: want text"},
		{"duration without a unit", entry("max_ttl: '30'"), "max_ttl: want a duration with a unit"},
		{"duration of zero", entry("max_ttl: 0s"), "from 1s"},
		{"negative duration", entry("max_ttl: -5m"), "from 1s"},
		{"fraction of a second", entry("max_ttl: 1500ms"), "whole number of seconds"},
		{"negative rate", entry("rate_limit: -1"), "rate_limit: -1 is out of range"},
		{"rate that is too high", entry("rate_limit: 10001"), "out of range"},
		{"rate that is no number", entry("rate_limit: .nan"), "out of range"},
		{"rate as text", entry("rate_limit: '5'"), "rate_limit: want a number"},
		{"yes", entry("expired_tokens: yes"), "want true or false"},

		{"sub", entry("claims: {sub: x}"), `claims: "sub": it is always the id of the client`},
		{"exp", entry("claims: {exp: 1}"), `claims: "exp": use max_ttl`},
		{"jti", entry("claims: {jti: x}"), `claims: "jti": the server sets it`},
		{"claim in another case", entry("claims: {Sub: x}"), `claims: "Sub": it is always`},
		{"claim that looks like another", entry("claims: {iſs: x}"), "could be confused with iss"},
		{"client_id", entry("claims: {client_id: x}"), "it is always the id of the client"},
		{"client_id in another case", entry("claims: {Client_ID: x}"), "it is always the id of the client"},
		{"scope", entry("claims: {scope: x}"), "use scopes"},
		{"date", entry("claims: {since: 2020-01-01}"), "not a JSON value"},
		{"infinite number", entry("claims: {n: .inf}"), "claims: "},
		{"number that JSON rounds", entry("claims: {n: [{m: 9007199254740994.0}]}"), "write it in quotes"},
		{"numbers for names", entry("claims: {1: 2}"), "want a map of names"},

		{"no way", "- {id: billing, audiences: [a]}", "the client cannot authenticate"},
		{"two ways", entry("secret_sha256: [" + hash + "], jwks_uri: https://k.example"), "has jwks_uri and secret_sha256"},
		{"two kinds of keys", entry("jwks_uri: https://k.example, jwks: '" + jwks(t, newKey(t, jwk.ES256)) + "'"), "has jwks and jwks_uri"},

		{"three hashes", entry("secret_sha256: [" + hash + ", " + hashOf("b") + ", " + hashOf("c") + "]"), "has 3 hashes"},
		{"the same hash twice", entry("secret_sha256: [" + hash + ", " + hash + "]"), "is listed twice"},
		{"no hash", entry("secret_sha256: []"), "has no hash"},
		{"hash as text", entry("secret_sha256: " + hash), "want a list"},
		{"upper-case hash", entry("secret_sha256: [" + strings.ToUpper(hash) + "]"), "64 lower-case hexadecimal digits"},
		{"short hash", entry("secret_sha256: [" + hash[:62] + "]"), "64 lower-case hexadecimal digits"},
		{"the secret", entry("secret_sha256: [" + oldSecret + "]"), "64 lower-case hexadecimal digits"},

		{"plain http", entry("jwks_uri: http://k.example/jwks"), "jwks_uri: want https://"},
		{"password in a URL", entry("jwks_uri: https://me:hunter2@k.example"), "without a user name"},
		{"private key", entry(`jwks: {"keys": [` + string(private) + `]}`), `jwks: key 0`},
		{"private key in text", entry(`jwks: '{"keys": [` + string(private) + `]}'`), `the private member "d" is published`},
		{"symmetric key", entry(`jwks: {"keys": [{"kty": "oct", "kid": "x", "k": "c2VjcmV0"}]}`), `jwks: key 0 (kid "x"): a shared secret`},
		{"key that everyone has", entry(`jwks: {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`), "its private key is published"},
		{"broken key", entry(`jwks: {"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}`), "it cannot be used"},
		{"no key", entry(`jwks: {"keys": []}`), "no key can verify a signature"},
		{"key in place of a set", entry("jwks: " + strings.TrimSuffix(strings.TrimPrefix(jwks(t, newKey(t, jwk.ES256)), `{"keys":[`), "]}")), "a JWK Set was expected"},
		{"kid twice", entry("jwks: " + strings.ReplaceAll(jwks(t, newKey(t, jwk.ES256), newKey(t, jwk.ES256)), `"kid":"`, `"kid":"x","old":"`)), "another EC key has this kid"},

		{"no trust", entry("trust: []"), "trust: is empty"},
		{"trust as a map", entry("trust: {issuer: x}"), "trust: want a list"},
		{"trust as text", entry("trust: [x]"), "trust 1: want a map"},
		{"unknown member of trust", trust(ok + "subject: s, sub: s"), `entry 1 (id billing): trust 2: "sub": no such member`},
		{"no issuer", trust("subject: s, audience: a"), "trust 2: issuer: is missing"},
		{"no subject", trust("issuer: https://i.example, audience: a"), "trust 2: subject: is missing"},
		{"no audience", trust("issuer: https://i.example, subject: s"), "trust 2: audience: is missing"},
		{"two kinds of keys of an issuer", trust(ok + "subject: s, jwks_uri: https://k.example, jwks: " + jwks(t, newKey(t, jwk.ES256))), "trust 2: has jwks and jwks_uri"},
		{"claim without a name", trust(ok + "subject: s, require: {'': x}"), `require: "": want the value`},
		{"subject with a space before it", trust(ok + "subject: ' s'"), "has a space before or after it"},
		{"issuer by plain http", trust("issuer: http://i.example, subject: s, audience: a"), "its metadata cannot be fetched"},
		{"issuer that is a name", trust("issuer: kubernetes, subject: s, audience: a"), "say where the keys are"},
		{"empty subject", trust(ok + "subject: ''"), "is empty"},
		{"bare wildcard", trust(ok + "subject: '*'"), "trust 2: subject: a bare * is too wide"},
		{"wildcard in the middle", trust(ok + "subject: 'repo:*/shop'"), "only one * is possible, at the end"},
		{"two wildcards", trust(ok + "subject: 'repo:a/**'"), "only one *"},
		{"wildcard after a letter", trust(ok + "subject: 'repo:example*'"), "put the * after a colon or slash: repo:example* also matches longer names that begin with example"},
		{"wildcard after a dash", trust(ok + "subject: 'repo:example/a-*'"), "put the * after a colon or slash"},
		{"wildcard after one word", trust(ok + "subject: 'repo:*'"), "repo:* is too wide"},
		{"wildcard after slashes", trust(ok + "subject: 'spiffe://*'"), "is too wide"},
		{"wildcard of all pods of a cluster", trust(ok + "subject: 'system:serviceaccount:*'"), "system:serviceaccount:* is too wide"},
		{"wildcard with a claim that all tokens have", trust(ok + "subject: 'repo:*', require: {iss: https://i.example, aud: a, /sub: x, exp: '1', iat: '1', nbf: '1', jti: x}"), "repo:* is too wide"},
		{"subject with a line break", trust(ok + `subject: "a\nb"`), "cannot be printed"},
		{"number in require", trust(ok + "subject: s, require: {repository_id: 4711}"), `"repository_id": want the value of a claim as text`},
		{"issuer that is an id", "- {id: https://i.example, audiences: [a], jwks_uri: https://k.example}\n- {id: b, audiences: [a], trust: [{issuer: https://i.example, subject: s, audience: a}]}", "is also the id of entry 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := client.Parse(entries(t, tt.text))
			if err == nil || got != nil {
				t.Fatalf("accepted: %+v", got)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
			for _, secret := range []string{"hunter2", oldSecret, "c2VjcmV0"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error has a secret: %v", err)
				}
			}
		})
	}
}

func TestParseReportsAllProblems(t *testing.T) {
	_, err := client.Parse(entries(t, "- {id: a b, audiences: [], scope: x}\n- {id: ok, audiences: [x], trust: [{subject: '*'}]}"))
	if err == nil {
		t.Fatal("accepted")
	}
	want := []string{
		"entry 1: id: ", "entry 1: audiences: ", "entry 1: the client cannot", "entry 1: \"scope\": ",
		"entry 2 (id ok): trust 1: issuer: ", "entry 2 (id ok): trust 1: audience: ", "entry 2 (id ok): trust 1: subject: ",
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d problems, want %d:\n%v", len(lines), len(want), err)
	}
	for i := range want {
		if !strings.HasPrefix(lines[i], want[i]) {
			t.Errorf("%s\nwant %s", lines[i], want[i])
		}
	}
}
