package server

import (
	"encoding/json"
	"net/http"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// clientMetadata returns the members of the metadata that only a server with clients has.
func (srv *testServer) clientMetadata(t *testing.T) map[string]any {
	t.Helper()
	var document map[string]any
	if err := json.Unmarshal([]byte(read(t, srv.do("GET", "/.well-known/oauth-authorization-server", ""))), &document); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"issuer", "jwks_uri", "response_types_supported", "subject_types_supported", "id_token_signing_alg_values_supported"} {
		if document[name] == nil {
			t.Errorf("no %s", name)
		}
		delete(document, name)
	}
	return document
}

func TestMetadataOfClients(t *testing.T) {
	list := clientList(t)
	var algorithms []any
	for _, alg := range jwk.Algorithms() { // the client chooses among those that its keys allow
		algorithms = append(algorithms, alg.String())
	}
	for _, tt := range []struct {
		name    string
		issuer  string
		clients []any
		want    map[string]any
	}{
		// RFC 8414, section 3.2: a member without elements is left out.
		{"no client", "https://a.example", nil, map[string]any{"token_endpoint": "https://a.example/oauth2/token", "grant_types_supported": []any{"client_credentials"}}},
		{"secrets", "https://a.example/", list[:1], map[string]any{
			"token_endpoint": "https://a.example/oauth2/token", "grant_types_supported": []any{"client_credentials"},
			"token_endpoint_auth_methods_supported": []any{"client_secret_basic", "client_secret_post"},
		}},
		{"keys", "https://a.example/tenant", list[4:5], map[string]any{
			"token_endpoint": "https://a.example/tenant/oauth2/token", "grant_types_supported": []any{"client_credentials"},
			"token_endpoint_auth_methods_supported": []any{"private_key_jwt"}, "token_endpoint_auth_signing_alg_values_supported": algorithms,
		}},
		{"secrets and a platform", "https://a.example", append(list[:1:1], list[5]), map[string]any{
			"token_endpoint": "https://a.example/oauth2/token", "grant_types_supported": []any{"client_credentials"},
			"token_endpoint_auth_methods_supported":            []any{"client_secret_basic", "client_secret_post", "private_key_jwt"},
			"token_endpoint_auth_signing_alg_values_supported": algorithms,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := newTestServer(t, keys.Settings{Issuer: tt.issuer}, withClients(t, tt.clients...))
			if diff := cmp.Diff(tt.want, srv.clientMetadata(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got := newTestServer(t, keys.Settings{}).clientMetadata(t); len(got) != 0 {
		t.Errorf("without clients: %v", got)
	}
}

func TestMetadataFollowsTheList(t *testing.T) {
	list := clientList(t)
	srv := newTestServer(t, keys.Settings{}, withClients(t, list[0]))
	const path = "/.well-known/openid-configuration"
	before := srv.do("GET", path, "")
	etag := before.Header.Get("Etag")
	wantStatus(t, srv.do("GET", path, "", "If-None-Match", etag), http.StatusNotModified)
	for _, entry := range []any{list[4], list[0]} {
		clients, err := client.Parse([]any{entry})
		if err != nil {
			t.Fatal(err)
		}
		if err := srv.o.Clients.Set(clients); err != nil {
			t.Fatal(err)
		}
		r := srv.do("GET", path, "", "If-None-Match", etag)
		if r.StatusCode != http.StatusOK || r.Header.Get("Etag") == etag {
			t.Errorf("after a change of the list: status %d, ETag %s", r.StatusCode, r.Header.Get("Etag"))
		}
		etag = r.Header.Get("Etag")
	}
	if etag != before.Header.Get("Etag") {
		t.Error("the same list gives another ETag")
	}
	wantStatus(t, srv.ask([]string{"grant_type", "client_credentials", "client_id", "billing", "client_secret", secret}), http.StatusOK)
	if err := srv.o.Clients.Set(nil); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, srv.ask([]string{"grant_type", "client_credentials", "client_id", "billing", "client_secret", secret}), http.StatusUnauthorized)
}

// A client that every list has gets its tokens while the list is replaced, and the
// metadata is always that of one list.
func TestListIsReplacedWhileClientsAsk(t *testing.T) {
	entries := clientList(t)
	srv := newTestServer(t, keys.Settings{}, withClients(t, entries...))
	lists := make([][]client.Client, 2)
	for i, entries := range [][]any{entries, entries[:1]} {
		var err error
		if lists[i], err = client.Parse(entries); err != nil {
			t.Fatal(err)
		}
	}
	stop := make(chan struct{})
	var group sync.WaitGroup
	defer group.Wait()
	defer close(stop)
	group.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := srv.o.Clients.Set(lists[i%2]); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 3000 {
		if i%100 == 0 { // a token takes far longer than the metadata
			wantStatus(t, srv.askFrom("192.0.2.1:1", "billing", secret), http.StatusOK)
		}
		got := srv.clientMetadata(t)
		methods, _ := got["token_endpoint_auth_methods_supported"].([]any)
		if len(methods) != 2 && len(methods) != 3 || (len(methods) == 3) != (got["token_endpoint_auth_signing_alg_values_supported"] != nil) {
			t.Errorf("metadata %v", got)
		}
	}
}
