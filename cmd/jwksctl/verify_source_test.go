package main

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// TestVerifyOverTLS checks a token against an issuer whose certificate nobody but
// --ca-file vouches for.
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
	if err := os.WriteFile(ca, block, 0o600); err != nil {
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
