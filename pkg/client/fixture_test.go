package client_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
)

const (
	ourIssuer = "https://tokens.example"
	endpoint  = ourIssuer + "/oauth2/token"
)

// entries decodes YAML as a settings file is decoded.
func entries(t testing.TB, text string) any {
	t.Helper()
	var list any
	if err := yaml.Unmarshal([]byte(text), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func parse(t testing.TB, text string) []client.Client {
	t.Helper()
	clients, err := client.Parse(entries(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return clients
}

// fixture is a registry with a clock.
type fixture struct {
	*client.Registry
	clock *keystest.Clock
}

func newFixture(t testing.TB, text string) fixture {
	t.Helper()
	f := fixture{clock: keystest.NewClock()}
	f.Registry = client.New(client.Options{
		Issuer:        func() string { return ourIssuer },
		TokenEndpoint: func() string { return endpoint },
		Now:           f.clock.Now,
	})
	f.set(t, text)
	return f
}

func (f fixture) set(t testing.TB, text string) {
	t.Helper()
	if err := f.Set(parse(t, text)); err != nil {
		t.Fatal(err)
	}
}

// accepts authenticates and checks who it is.
func (f fixture) accepts(t testing.TB, c client.Credentials, id string, method client.Method) {
	t.Helper()
	got, by, err := f.Authenticate(t.Context(), c)
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	if got.ID != id || by != method {
		t.Errorf("it is %s by %s, want %s by %s", got.ID, by, id, method)
	}
}

// refuses checks that the reason of a refusal has a text.
func (f fixture) refuses(t testing.TB, c client.Credentials, reason string) client.Refusal {
	t.Helper()
	got, _, err := f.Authenticate(t.Context(), c)
	refusal, ok := errors.AsType[*client.Refusal](err)
	if !ok || got != nil {
		t.Fatalf("got %v, %v, want a refusal", got, err)
	}
	if !strings.Contains(refusal.Reason, reason) {
		t.Errorf("the reason is %q, want %q", refusal.Reason, reason)
	}
	return *refusal
}

func assertionOf(compact string) client.Credentials {
	return client.Credentials{Method: client.PrivateKeyJWT, Assertion: compact}
}

// claims of an assertion that the client signs, changed; nil removes a claim.
func (f fixture) claims(id string, change map[string]any) map[string]any {
	now := f.clock.Now().Unix()
	claims := map[string]any{"iss": id, "sub": id, "aud": ourIssuer, "iat": now, "exp": now + 60, "jti": rand.Text()}
	return changed(claims, change)
}

func changed(members, change map[string]any) map[string]any {
	maps.Copy(members, change)
	maps.DeleteFunc(members, func(_ string, v any) bool { return v == nil })
	return members
}

// sign signs any claims; header changes the usual one.
func sign(t testing.TB, key jwk.PrivateKey, header, claims map[string]any) string {
	t.Helper()
	input := encode(t, changed(map[string]any{"alg": key.Algorithm(), "kid": key.KeyID()}, header)) + "." + encode(t, claims)
	signature, err := key.Sign([]byte(input))
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func encode(t testing.TB, members map[string]any) string {
	t.Helper()
	data, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

func newKey(t testing.TB, alg jwk.Algorithm) jwk.PrivateKey {
	t.Helper()
	if alg.KeyType() == "RSA" {
		key, err := keystest.RSA(alg, 0)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	key, err := jwk.Generate(alg, 0)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// otherRSA is another key for RS256 than newKey returns.
func otherRSA(t testing.TB) jwk.PrivateKey {
	t.Helper()
	key, err := keystest.RSA(jwk.RS256, 1)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// jwks is the JWK Set of keys, as JSON.
func jwks(t testing.TB, private ...jwk.PrivateKey) string {
	t.Helper()
	var set jwk.Set
	for _, key := range private {
		set.Keys = append(set.Keys, key.Public())
	}
	data, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// keyClient is the entry of a client that signs its assertions.
func keyClient(t testing.TB, id string, private ...jwk.PrivateKey) string {
	return "- {id: " + id + ", audiences: [https://api.example], jwks: " + jwks(t, private...) + "}\n"
}
