package client_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/jwk"
)

func TestSetRefuses(t *testing.T) {
	f := newFixture(t, secretClient("billing", oldSecret))
	before := f.Revision()
	key := newKey(t, jwk.ES256)
	set := &jwk.Set{Keys: []jwk.PublicKey{key.Public()}}
	for name, tt := range map[string]struct {
		clients []client.Client
		want    string
	}{
		"our own issuer": {
			parse(t, "- {id: a, audiences: [a], trust: [{issuer: '"+ourIssuer+"', subject: s, audience: a}]}"),
			"entry 1 (id a): trust 1: issuer: " + ourIssuer + " is the issuer of this server",
		},
		"our own issuer as id": {parse(t, keyClient(t, ourIssuer, key)), "choose another"},
		"the same id":          {append(parse(t, keyClient(t, "a", key)), parse(t, keyClient(t, "a", key))...), "entry 2 (id a): id: entry 1 has it too"},
		"no way":               {[]client.Client{{ID: "a", Audiences: []string{"a"}}}, "exactly one of"},
		"two ways":             {[]client.Client{{ID: "a", Audiences: []string{"a"}, JWKS: set, SecretSHA256: make([][32]byte, 1)}}, "exactly one of"},
		"no audience":          {[]client.Client{{ID: "a", JWKS: set}}, "no audience"},
		"no address":           {[]client.Client{{ID: "a", Audiences: []string{"a"}, JWKSURI: "http://k.example"}}, "jwks_uri: "},
		"no issuer":            {[]client.Client{{ID: "a", Audiences: []string{"a"}, Trust: []client.Trust{{Subject: "x"}}}}, "trust 1: "},
	} {
		t.Run(name, func(t *testing.T) {
			err := f.Set(tt.clients)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	if f.Revision() != before {
		t.Error("a list that was refused has a revision")
	}
	f.accepts(t, withSecret("billing", oldSecret), "billing", client.SecretBasic)
}

func TestIssuerBecomesATrustedOne(t *testing.T) {
	var issuer atomic.Pointer[string]
	current := ourIssuer
	issuer.Store(&current)
	key := newKey(t, jwk.ES256)
	f := newFixture(t, "")
	f.Registry = client.New(client.Options{Issuer: func() string { return *issuer.Load() }, Now: f.clock.Now})
	f.set(t, trusting(t, "shop", "repo:example/*", key, ""))
	c := assertionOf(sign(t, key, nil, f.platformToken(nil)))
	f.accepts(t, c, "shop", client.Platform)
	changed := github
	issuer.Store(&changed)
	f.refuses(t, c, "this server has issued it")
}

// Only a client that signs its assertions must not have the name of an issuer.
func TestIssuerAsIDOfOtherClients(t *testing.T) {
	key := newKey(t, jwk.ES256)
	f := newFixture(t, secretClient(github, oldSecret)+trusting(t, "shop", "repo:example/*", key, ""))
	f.accepts(t, assertionOf(sign(t, key, nil, f.platformToken(nil))), "shop", client.Platform)
	f.accepts(t, withSecret(github, oldSecret), github, client.SecretBasic)
}

func TestMethods(t *testing.T) {
	key := newKey(t, jwk.ES256)
	secret, keys, trust := secretClient("a", oldSecret), keyClient(t, "b", key), trusting(t, "c", "x", key, "")
	for _, tt := range []struct {
		text string
		want []string
	}{
		{"[]", nil},
		{secret, []string{"client_secret_basic", "client_secret_post"}},
		{keys, []string{"private_key_jwt"}},
		{trust, []string{"private_key_jwt"}},
		{trust + keys + secret, []string{"client_secret_basic", "client_secret_post", "private_key_jwt"}},
	} {
		f := newFixture(t, tt.text)
		if diff := cmp.Diff(tt.want, f.AuthMethods()); diff != "" {
			t.Error(diff)
		}
	}
	f := newFixture(t, keys+secret)
	if got := f.Clients(); len(got) != 2 || got[0].ID != "b" || got[1].ID != "a" {
		t.Errorf("the clients are %+v", got)
	}
	before := f.Revision()
	f.set(t, keys)
	if f.Revision() == before {
		t.Error("the revision stays although the list was replaced")
	}
}

// Lists replace each other while requests are served. Each request is judged by one of them.
func TestSetUnderLoad(t *testing.T) {
	key := newKey(t, jwk.EdDSA)
	with := secretClient("billing", oldSecret, newSecret) + keyClient(t, "shop", key)
	without := secretClient("billing", newSecret) + keyClient(t, "shop", key)
	f := newFixture(t, with)
	lists := [][]client.Client{parse(t, with), parse(t, without)}
	const rounds = 100
	var requests sync.WaitGroup
	for range 8 {
		requests.Go(func() {
			for range rounds {
				if _, _, err := f.Authenticate(t.Context(), withSecret("billing", newSecret)); err != nil {
					t.Errorf("the secret of both lists: %v", err)
				}
				_, _, err := f.Authenticate(t.Context(), withSecret("billing", oldSecret))
				if refusal, ok := errors.AsType[*client.Refusal](err); err != nil && (!ok || refusal.Reason != "the secret is wrong") {
					t.Errorf("the secret of one list: %v", err)
				}
				if _, _, err := f.Authenticate(t.Context(), assertionOf(sign(t, key, nil, f.claims("shop", nil)))); err != nil {
					t.Errorf("the key of both lists: %v", err)
				}
				_, _ = f.AuthMethods(), f.Clients()
			}
		})
	}
	for i := range rounds {
		if err := f.Set(lists[i%2]); err != nil {
			t.Error(err)
		}
	}
	requests.Wait()
}
