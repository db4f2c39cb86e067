package client_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/token"
)

func TestGrant(t *testing.T) {
	one := client.Client{
		ID: "billing", Audiences: []string{"https://api.example"}, Scopes: []string{"read", "write"}, MaxTTL: 15 * time.Minute,
		Claims: map[string]any{"team": "payments", "client_id": "another"},
	}
	several := client.Client{ID: "shop", Audiences: []string{"a", "b"}}
	const hour = time.Hour
	for name, tt := range map[string]struct {
		c    client.Client
		r    client.Request
		want token.Request
	}{
		"all defaults": {
			one,
			client.Request{Longest: hour},
			token.Request{Audience: []string{"https://api.example"}, Scope: "read write", TTL: 15 * time.Minute},
		},
		"audience named": {several, client.Request{Audience: []string{"b"}}, token.Request{Audience: []string{"b"}}},
		"scopes in the order of the request, each once": {
			one, client.Request{Scope: " write  read write "}, token.Request{Audience: []string{"https://api.example"}, Scope: "write read", TTL: 15 * time.Minute},
		},
		"one scope": {one, client.Request{Scope: "read"}, token.Request{Audience: []string{"https://api.example"}, Scope: "read", TTL: 15 * time.Minute}},
		"shorter":   {one, client.Request{TTL: time.Minute}, token.Request{Audience: []string{"https://api.example"}, Scope: "read write", TTL: time.Minute}},
		"policy that is shorter": {
			one, client.Request{Longest: 10 * time.Minute}, token.Request{Audience: []string{"https://api.example"}, Scope: "read write"},
		},
		"no limit": {several, client.Request{Audience: []string{"a"}, TTL: 2 * hour}, token.Request{Audience: []string{"a"}, TTL: 2 * hour}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tt.c.Grant(tt.r)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Subject, tt.want.Type = tt.c.ID, "at+jwt"
			tt.want.Claims = map[string]any{"client_id": tt.c.ID}
			if tt.c.ID == "billing" {
				tt.want.Claims["team"] = "payments"
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			got.Claims["team"] = "changed"
			if one.Claims["team"] != "payments" {
				t.Error("the request shares its claims with the client")
			}
		})
	}
}

func TestGrantRefuses(t *testing.T) {
	one := client.Client{ID: "billing", Audiences: []string{"a"}, Scopes: []string{"read", "write"}, MaxTTL: 15 * time.Minute}
	several := client.Client{ID: "shop", Audiences: []string{"a", "b"}}
	for name, tt := range map[string]struct {
		c          client.Client
		r          client.Request
		code, text string
	}{
		"no audience":         {several, client.Request{}, "invalid_target", "name one of them as resource: a, b"},
		"two audiences":       {several, client.Request{Audience: []string{"a", "b"}}, "invalid_target", "one at a time"},
		"the same twice":      {several, client.Request{Audience: []string{"a", "a"}}, "invalid_target", "one at a time"},
		"another audience":    {one, client.Request{Audience: []string{"b"}}, "invalid_target", "its audiences are a"},
		"empty audience":      {one, client.Request{Audience: []string{""}}, "invalid_target", "its audiences are a"},
		"longer audience":     {one, client.Request{Audience: []string{"a/"}}, "invalid_target", "its audiences are a"},
		"another scope":       {one, client.Request{Scope: "read admin"}, "invalid_scope", "the scope admin: its scopes are read, write"},
		"part of a scope":     {one, client.Request{Scope: "rea"}, "invalid_scope", "the scope rea"},
		"scopes with a tab":   {one, client.Request{Scope: "read\twrite"}, "invalid_scope", "visible ASCII"},
		"scopes with a quote": {one, client.Request{Scope: `"read"`}, "invalid_scope", "visible ASCII"},
		"client of no scope":  {several, client.Request{Audience: []string{"a"}, Scope: "read"}, "invalid_scope", "has no scopes"},
		"too long":            {one, client.Request{TTL: 16 * time.Minute}, "invalid_request", "15m0s at most"},
		"too long, although the policy allows it": {one, client.Request{TTL: 16 * time.Minute, Longest: time.Hour}, "invalid_request", "15m0s at most"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tt.c.Grant(tt.r)
			refused, ok := errors.AsType[*client.GrantError](err)
			if !ok || refused.Code != tt.code || !strings.Contains(refused.Description, tt.text) {
				t.Fatalf("got %#v, want %s, %s", err, tt.code, tt.text)
			}
			// A client that signs its assertions has used up the one of this request.
			const again = "; sign a new assertion for it, because each is used once"
			if strings.Contains(refused.Description, again) {
				t.Errorf("a client without keys is told: %s", refused.Description)
			}
			tt.c.JWKSURI = "https://k.example"
			_, err = tt.c.Grant(tt.r)
			if withKeys, ok := errors.AsType[*client.GrantError](err); !ok || withKeys.Description != refused.Description+again {
				t.Errorf("a client with keys is told: %v", err)
			}
		})
	}
}
