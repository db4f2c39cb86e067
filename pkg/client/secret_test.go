package client_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/client"
)

const (
	oldSecret = "jwksctl_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	newSecret = "jwksctl_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// minSecret is the length of the shortest secret that is accepted.
const minSecret = 32

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func secretClient(id string, secrets ...string) string {
	var hashes []string
	for _, secret := range secrets {
		hashes = append(hashes, hashOf(secret))
	}
	return "- {id: " + id + ", audiences: [a], secret_sha256: [" + strings.Join(hashes, ", ") + "]}\n"
}

func withSecret(id, secret string) client.Credentials {
	return client.Credentials{Method: client.SecretBasic, ClientID: id, Secret: secret}
}

func TestSecretsRotate(t *testing.T) {
	f := newFixture(t, secretClient("billing", oldSecret))
	f.accepts(t, withSecret("billing", oldSecret), "billing", client.SecretBasic)
	f.refuses(t, withSecret("billing", newSecret), "the secret is wrong")

	f.set(t, secretClient("billing", oldSecret, newSecret))
	for _, secret := range []string{oldSecret, newSecret} {
		f.accepts(t, withSecret("billing", secret), "billing", client.SecretBasic)
	}
	f.set(t, secretClient("billing", newSecret))
	f.refuses(t, withSecret("billing", oldSecret), "the secret is wrong")
	c := withSecret("billing", newSecret)
	c.Method = client.SecretPost
	f.accepts(t, c, "billing", client.SecretPost)
}

func TestSecretsRefused(t *testing.T) {
	short := strings.Repeat("s", 31)
	key := newKey(t, "ES256")
	f := newFixture(t, secretClient("billing", oldSecret)+secretClient("short", short, "")+keyClient(t, "shop", key))
	for name, tt := range map[string]struct {
		c      client.Credentials
		reason string
	}{
		"unknown client":           {withSecret("nobody", oldSecret), "no client has this id"},
		"no client":                {withSecret("", oldSecret), "no client has this id"},
		"empty secret":             {withSecret("billing", ""), "the secret is wrong"},
		"hash as secret":           {withSecret("billing", hashOf(oldSecret)), "the secret is wrong"},
		"beginning of the secret":  {withSecret("billing", oldSecret[:50]), "the secret is wrong"},
		"more than the secret":     {withSecret("billing", oldSecret+"a"), "the secret is wrong"},
		"secret that is too short": {withSecret("short", short), "the secret is wrong"},
		"known hash of nothing":    {withSecret("short", ""), "the secret is wrong"},
		"client with keys":         {withSecret("shop", oldSecret), "does not authenticate with a secret"},
		"secret of all zeros":      {withSecret("shop", ""), "does not authenticate with a secret"},
		"both": {
			client.Credentials{Method: client.SecretPost, ClientID: "billing", Secret: oldSecret, Assertion: "a.b.c"}, "it must have one of them",
		},
	} {
		t.Run(name, func(t *testing.T) {
			refusal := f.refuses(t, tt.c, tt.reason)
			if refusal.ClientID != tt.c.ClientID || refusal.Method != tt.c.Method || strings.Contains(refusal.Reason, oldSecret) {
				t.Errorf("got %+v", refusal)
			}
		})
	}
	assertion := assertionOf(sign(t, key, nil, f.claims("billing", nil)))
	f.refuses(t, assertion, "iss is \"billing\"")
	assertion.ClientID = "billing"
	f.refuses(t, assertion, "authenticates with a secret")
}

// A client that sends its secret as its id, or an old one, has it in no log. An id that a client
// has, or that is shorter than a secret, is what the log is read for.
func TestRefusalsHaveNoSecret(t *testing.T) {
	spiffe := "spiffe://example.org/ns/prod/sa/billing"
	f := newFixture(t, secretClient("billing", oldSecret)+secretClient(spiffe, oldSecret))
	for id, logged := range map[string]string{
		oldSecret: "", newSecret: "", oldSecret[:minSecret]: "", strings.Repeat("x", 1000): "",
		oldSecret[:minSecret-1]: oldSecret[:minSecret-1], "biling": "biling", spiffe: spiffe,
	} {
		for _, c := range []client.Credentials{
			withSecret(id, "billing"),
			{Method: client.PrivateKeyJWT, ClientID: id},
			{Method: client.PrivateKeyJWT, ClientID: id, Assertion: sign(t, newKey(t, "ES256"), nil, f.claims("billing", nil))},
			{Method: client.SecretPost, ClientID: id, Secret: "billing", Assertion: "a.b.c"},
		} {
			refusal := f.refuses(t, c, "")
			if refusal.ClientID != logged || strings.Contains(refusal.Reason, oldSecret[:minSecret]) {
				t.Errorf("%s: got %+v", id, refusal)
			}
			if logged == "" && !strings.Contains(refusal.Reason, "may be a secret") {
				t.Errorf("%s: the reason is %s", id, refusal.Reason)
			}
		}
	}
}
