package main

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// TestVerifyOverTLS checks a token against an issuer whose certificate only
// --ca-file makes trusted.
func TestVerifyOverTLS(t *testing.T) {
	key := newES256(t)
	var issuer string
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"issuer":"` + issuer + `","jwks_uri":"` + issuer + `/keys"}`))
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		data, _ := jwk.Set{Keys: []jwk.PublicKey{key.Public()}}.MarshalJSON()
		_, _ = w.Write(data)
	})
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	issuer = server.URL
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, append([]byte("\ufeff"), block...), 0o600); err != nil {
		t.Fatal(err)
	}
	compact := mintFor(t, key, issuer, "api")
	for name, tt := range map[string]struct {
		args []string
		want int
	}{
		"discovery":            {[]string{"--discover", issuer, "--ca-file", ca}, exitDone},
		"discovery, system CA": {[]string{"--discover", issuer}, exitUnavailable},
		"URL":                  {[]string{"--jwks", issuer + "/keys", "--iss", issuer, "--ca-file", ca}, exitDone},
		"URL, system CA":       {[]string{"--jwks", issuer + "/keys", "--iss", issuer}, exitUnavailable},
	} {
		p, _, stderr := newProcess(t, compact)
		if got := execute(t.Context(), p, append([]string{"verify", "--aud", "api"}, tt.args...)); got != tt.want {
			t.Errorf("%s: exit code %d, want %d: %s", name, got, tt.want, stderr)
		}
	}
}

// TestOtherMetadata asks issuers whose metadata differs from their URL. The message has
// the flags that work.
func TestOtherMetadata(t *testing.T) {
	key := newES256(t)
	var base string
	metadata := map[string]string{"/slash": "/slash/", "/tenant": "/{tenantid}/v2.0", "/elsewhere": "/issuer"}
	mux := http.NewServeMux()
	for place, issuer := range metadata {
		mux.HandleFunc("GET "+place+"/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"issuer":"` + base + issuer + `","jwks_uri":"` + base + `/keys"}`))
		})
	}
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer hush" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		data, _ := jwk.Set{Keys: []jwk.PublicKey{key.Public()}}.MarshalJSON()
		_, _ = w.Write(data)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	base = server.URL
	compact := mintFor(t, key, base+"/issuer", "api")
	verify := func(args ...string) (code int, message string) {
		p, _, stderr := newProcess(t, compact)
		return execute(t.Context(), p, append([]string{"verify", "--aud", "api"}, args...)), stderr.String()
	}
	for place, issuer := range metadata {
		want := "use --jwks '" + base + "/keys' --iss '" + base + issuer + "'"
		if code, message := verify("--discover", base+place); code != exitUsage || !strings.Contains(message, want) {
			t.Errorf("%s: exit code %d, %s; want %s", place, code, message, want)
		}
	}
	if code, message := verify("--discover", base+"/slash/.well-known/openid-configuration"); code != exitUsage || !strings.Contains(message, "use the issuer, "+base+"/slash") {
		t.Errorf("URL of metadata: exit code %d, %s", code, message)
	}

	if code, message := verify("--discover", base+"/.well-known/oauth-authorization-server/slash"); code != exitUsage || !strings.HasSuffix(message, "use the issuer, "+base+"/slash\n") {
		t.Errorf("URL of metadata, RFC 8414: exit code %d, %s", code, message)
	}

	header := filepath.Join(t.TempDir(), "header")
	if err := os.WriteFile(header, []byte("\ufeffBearer hush\n"), 0o600); err != nil { // as some editors write it
		t.Fatal(err)
	}
	for want, args := range map[int][]string{
		exitDone:        {"--jwks-header", "Authorization: @" + header},
		exitUnavailable: nil,
		exitUsage:       {"--jwks-header", "Authorization: Bearer hush"},
	} {
		code, message := verify(append(args, "--jwks", base+"/keys", "--iss", base+"/issuer")...)
		if code != want || strings.Contains(message, "hush") {
			t.Errorf("%q: exit code %d, want %d: %s", args, code, want, message)
		}
	}
	// The metadata must not decide where the secret goes, and a file needs none.
	for _, source := range [][]string{{"--discover", base + "/elsewhere"}, {"--jwks", header, "--iss", base}} {
		code, message := verify(append(source, "--jwks-header", "Authorization: @"+header)...)
		if code != exitUsage || !strings.Contains(message, "--jwks-header") {
			t.Errorf("%q: exit code %d: %s", source, code, message)
		}
	}
}

// TestMetadataForTerminals asks issuers whose metadata has control characters, which must
// not reach the terminal.
func TestMetadataForTerminals(t *testing.T) {
	for _, members := range []string{
		`"issuer":"https://\u001b[2Jissuer.example","jwks_uri":"https://issuer.example/keys"`,
		`"issuer":"https://issuer.example","jwks_uri":"https://issuer.example/\njwksctl: done\u009b2J"`,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("{" + members + "}"))
		}))
		t.Cleanup(server.Close)
		p, _, stderr := newProcess(t, mint(t, newES256(t), "api"))
		code := execute(t.Context(), p, []string{"verify", "--aud", "api", "--discover", server.URL})
		if message := strings.TrimSuffix(stderr.String(), "\n"); code != exitUsage || printable(message) != message {
			t.Errorf("%s: exit code %d, %q", members, code, message)
		}
	}
}

// TestKeyFileOfSeveralKeys verifies a token with a wrong signature against keys of two
// types. The verdict does not depend on their order.
func TestKeyFileOfSeveralKeys(t *testing.T) {
	ec, err := newES256(t).Public().PEM()
	if err != nil {
		t.Fatal(err)
	}
	other, err := jwk.Generate(jwk.EdDSA, 0)
	if err != nil {
		t.Fatal(err)
	}
	ed, err := other.Public().PEM()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.pem")
	for _, text := range []string{string(ec) + string(ed), string(ed) + string(ec)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, _, stderr := newProcess(t, mint(t, newES256(t), "api"))
		if code := execute(t.Context(), p, []string{"verify", "--aud", "api", "--iss", "https://issuer.example", "--key", file}); code != exitFailed {
			t.Errorf("exit code %d, want %d: %s", code, exitFailed, stderr)
		}
	}
}

// TestLeeway verifies a token that has just expired.
func TestLeeway(t *testing.T) {
	key := newES256(t)
	file := filepath.Join(t.TempDir(), "key.pem")
	text, err := key.Public().PEM()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	minted, err := token.Mint(t.Context(), minter{key}, token.Request{Issuer: "https://issuer.example", Audience: []string{"api"}, TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]int{"now+1m20s": exitDone, "now+1m40s": 14, "now+1m20s --leeway 0s": 14, "now+1m40s --leeway 1m": exitDone} {
		p, _, stderr := newProcess(t, minted.Compact)
		command := append([]string{"verify", "--aud", "api", "--iss", "https://issuer.example", "--key", file, "--at"}, strings.Fields(args)...)
		if got := execute(t.Context(), p, command); got != want {
			t.Errorf("%s: exit code %d, want %d: %s", args, got, want, stderr)
		}
	}
}

// TestLocalKeysFollowTheStore shows that a long batch sees what changes in the store.
func TestLocalKeysFollowTheStore(t *testing.T) {
	first, second := newES256(t).Public(), newES256(t).Public()
	now := time.Unix(1_800_000_000, 0)
	active := func(k jwk.PublicKey) keys.Keyset {
		return keys.Keyset{Keys: []keys.Key{{JWK: k, CreatedAt: now, ActiveAt: now}}, Policy: keys.Policy{Issuer: "https://issuer.example"}}
	}
	ks, broken := active(first), error(nil)
	l := &localKeys{now: func() time.Time { return now }, read: func() (keys.Keyset, error) { return ks, broken }}
	has := func(k jwk.PublicKey, want bool) {
		t.Helper()
		found, err := l.Keys(t.Context(), k.KeyID())
		if err != nil || (len(found) == 1) != want {
			t.Errorf("key %s: %d found, %v; want it to be there: %v", k.KeyID(), len(found), err, want)
		}
	}
	has(first, true)
	if l.State(first.KeyID()) != keys.Active || l.issuer != "https://issuer.example" {
		t.Errorf("state %q, issuer %q", l.State(first.KeyID()), l.issuer)
	}
	ks = active(second)
	now = now.Add(999 * time.Millisecond)
	has(second, false)
	now = now.Add(time.Millisecond)
	has(second, true)
	has(first, false)
	if all, err := l.Keys(t.Context(), ""); err != nil || len(all) != 1 {
		t.Errorf("the set: %v, %v", all, err)
	}
	broken = errors.New("gone")
	now = now.Add(time.Second)
	if _, err := l.Keys(t.Context(), second.KeyID()); !errors.Is(err, broken) {
		t.Errorf("a store that is gone: %v", err)
	}
}
