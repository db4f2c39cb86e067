package remote_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/remote"
)

func TestDiscover(t *testing.T) {
	const oidc, oauth = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"
	tests := []struct {
		name  string
		path  string            // of the issuer
		pages map[string]string // BASE stands for the server's URL
		found string            // path of the page that counts
		want  string            // else a part of the error
	}{
		{
			name:  "openid",
			pages: map[string]string{oidc: `{"issuer":"BASE","jwks_uri":"BASE/k","x":1}`},
			found: oidc,
		},
		{
			name:  "oauth",
			pages: map[string]string{oauth: `{"issuer":"BASE","jwks_uri":"BASE/k"}`},
			found: oauth,
		},
		{
			name: "openid before oauth",
			pages: map[string]string{
				oidc:  `{"issuer":"BASE","jwks_uri":"BASE/k"}`,
				oauth: `{"issuer":"BASE","jwks_uri":"BASE/wrong"}`,
			},
			found: oidc,
		},
		{
			name: "a web page for every path",
			pages: map[string]string{
				oidc:  `<html>`,
				oauth: `{"issuer":"BASE","jwks_uri":"BASE/k"}`,
			},
			found: oauth,
		},
		{
			name:  "path, openid appends",
			path:  "/realms/a%2Fb",
			pages: map[string]string{"/realms/a%2Fb" + oidc: `{"issuer":"BASE/realms/a%2Fb","jwks_uri":"BASE/k"}`},
			found: "/realms/a%2Fb" + oidc,
		},
		{
			name:  "path, oauth inserts",
			path:  "/realms/a",
			pages: map[string]string{oauth + "/realms/a": `{"issuer":"BASE/realms/a","jwks_uri":"BASE/k"}`},
			found: oauth + "/realms/a",
		},
		{
			name:  "slash at the end",
			path:  "/a/",
			pages: map[string]string{"/a" + oidc: `{"issuer":"BASE/a/","jwks_uri":"BASE/k"}`},
			found: "/a" + oidc,
		},
		{
			name:  "slash that was not asked",
			pages: map[string]string{oidc: `{"issuer":"BASE/","jwks_uri":"BASE/k"}`},
			want:  "metadata of the issuer",
		},
		{
			name:  "another issuer",
			pages: map[string]string{oauth: `{"issuer":"https://example.com","jwks_uri":"BASE/k"}`},
			want:  `metadata of the issuer "https://example.com"`,
		},
		{
			name:  "another case",
			path:  "/a",
			pages: map[string]string{"/a" + oidc: `{"issuer":"BASE/A","jwks_uri":"BASE/k"}`},
			want:  "metadata of the issuer",
		},
		{
			name:  "names are exact",
			pages: map[string]string{oidc: `{"ISSUER":"BASE","Jwks_Uri":"BASE/k"}`},
			want:  "has no member",
		},
		{
			name:  "no jwks_uri",
			pages: map[string]string{oidc: `{"issuer":"BASE"}`},
			want:  "no member jwks_uri",
		},
		{
			name:  "jwks_uri is null",
			pages: map[string]string{oidc: `{"issuer":"BASE","jwks_uri":null}`},
			want:  "no member jwks_uri",
		},
		{
			name:  "jwks_uri is no string",
			pages: map[string]string{oidc: `{"issuer":"BASE","jwks_uri":["BASE/k"]}`},
			want:  "/jwks_uri",
		},
		{
			name:  "two issuers",
			pages: map[string]string{oidc: `{"issuer":"BASE","issuer":"https://a.example","jwks_uri":"BASE/k"}`},
			want:  "duplicate object member name \"issuer\"",
		},
		{
			name:  "jwks_uri over the open network",
			pages: map[string]string{oidc: `{"issuer":"BASE","jwks_uri":"http://example.com/k"}`},
			want:  "jwks_uri: address refused",
		},
		{
			name:  "jwks_uri with a password",
			pages: map[string]string{oidc: `{"issuer":"BASE","jwks_uri":"https://u:hunter2@example.com/k"}`},
			want:  "jwks_uri: address refused",
		},
		{
			name:  "broken",
			pages: map[string]string{oidc: `{"issuer":`},
			want:  "cannot be read",
		},
		{name: "nothing", want: "404 Not Found"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(nil)
			base := "http://" + server.Listener.Addr().String()
			server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				page, ok := tt.pages[r.URL.EscapedPath()]
				if !ok {
					http.NotFound(w, r)
					return
				}
				says(strings.ReplaceAll(page, "BASE", base))(w, r)
			})
			server.Start()
			defer server.Close()
			got, err := remote.Discover(t.Context(), base+tt.path, remote.Options{})
			if tt.found == "" {
				checkUnavailable(t, err, tt.want)
				if errors.Is(err, remote.ErrAddress) {
					t.Errorf("error %v blames the caller", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := remote.Metadata{Issuer: base + tt.path, JWKSURL: base + "/k", URL: base + tt.found}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("metadata (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDiscoverRefusesIssuers(t *testing.T) {
	for _, issuer := range []string{
		"http://example.com", "https://u:p@example.com", "https://example.com?x=1", "https://example.com/#", "example.com", "",
	} {
		if _, err := remote.Discover(t.Context(), issuer, remote.Options{}); !errors.Is(err, remote.ErrAddress) {
			t.Errorf("issuer %q: error is %v", issuer, err)
		}
	}
}

func TestDiscoverNeverLeavesTLS(t *testing.T) {
	var base string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"http://localhost/k"}`, base)
	}))
	defer server.Close()
	base = server.URL
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	_, err := remote.Discover(t.Context(), base, remote.Options{RootCAs: roots})
	checkUnavailable(t, err, "jwks_uri must be https")
	if _, err = remote.Discover(t.Context(), base, remote.Options{RootCAs: roots, InsecureHTTP: true}); err != nil {
		t.Errorf("with InsecureHTTP: %v", err)
	}
}

func TestDiscoverTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		_, err := remote.Discover(t.Context(), "http://localhost", remote.Options{Transport: inMemory(t, http.HandlerFunc(hangs))})
		checkUnavailable(t, err, "no complete response within 5s")
		if d := time.Since(begin); d != 5*time.Second {
			t.Errorf("it took %s", d)
		}
	})
}
