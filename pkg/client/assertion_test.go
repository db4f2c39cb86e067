package client_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

func TestKeyAssertions(t *testing.T) {
	for _, alg := range []jwk.Algorithm{jwk.RS256, jwk.PS256, jwk.ES256, jwk.ES384, jwk.ES512, jwk.EdDSA} {
		key := newKey(t, alg)
		f := newFixture(t, keyClient(t, "billing", key))
		for name, change := range map[string]map[string]any{
			"issuer as aud":   nil,
			"endpoint as aud": {"aud": endpoint},
			"array of one":    {"aud": []string{ourIssuer}},
			"clock ahead":     {"iat": f.clock.Now().Unix() + 9},
			"59 seconds old":  {"iat": f.clock.Now().Unix() - 59},
		} {
			t.Run(string(alg)+" "+name, func(t *testing.T) {
				f.accepts(t, assertionOf(sign(t, key, nil, f.claims("billing", change))), "billing", client.PrivateKeyJWT)
			})
		}
		for _, typ := range []string{"client-authentication+jwt", "Application/Client-Authentication+JWT"} {
			c := assertionOf(sign(t, key, map[string]any{"typ": typ}, f.claims("billing", nil)))
			c.ClientID = "billing"
			f.accepts(t, c, "billing", client.PrivateKeyJWT)
		}
	}
}

func TestKeyAssertionsRefused(t *testing.T) {
	key, other := newKey(t, jwk.ES256), newKey(t, jwk.ES256)
	f := newFixture(t, keyClient(t, "billing", key)+keyClient(t, "shop", other))
	now := f.clock.Now().Unix()
	for _, tt := range []struct {
		name           string
		header, claims map[string]any
		reason         string
	}{
		{"of another issuer", nil, map[string]any{"aud": "https://other.example"}, "the token is for \"https://other.example\""},
		{"for two audiences", nil, map[string]any{"aud": []string{ourIssuer, "https://other.example"}}, "exactly one aud"},
		{"for us twice", nil, map[string]any{"aud": []string{ourIssuer, endpoint}}, "exactly one aud"},
		{"without aud", nil, map[string]any{"aud": nil}, "exactly one aud"},
		{"with an empty array", nil, map[string]any{"aud": []string{}}, "exactly one aud"},
		{"ID token", nil, map[string]any{"aud": "billing"}, "the token is for \"billing\""},
		{"access token", map[string]any{"typ": "at+jwt"}, nil, "typ is \"at+jwt\""},
		{"proof of possession", map[string]any{"typ": "dpop+jwt"}, nil, "typ is \"dpop+jwt\""},
		{"nested", map[string]any{"cty": "JWT"}, nil, "cty"},
		{"without jti", nil, map[string]any{"jti": nil}, "\"jti\" is missing"},
		{"with an empty jti", nil, map[string]any{"jti": ""}, "jti is empty"},
		{"with a number as jti", nil, map[string]any{"jti": 7}, "jti is not a string"},
		{"without iat", nil, map[string]any{"iat": nil}, "\"iat\" is missing"},
		{"without exp", nil, map[string]any{"exp": nil}, "\"exp\" is missing"},
		{"expired", nil, map[string]any{"exp": now - 11}, "expired"},
		{"too old", nil, map[string]any{"iat": now - 71, "exp": now + 3600}, "more than 1m0s ago"},
		{"from the future", nil, map[string]any{"iat": now + 11}, "in the future"},
		{"not valid yet", nil, map[string]any{"nbf": now + 11}, "not valid before"},
		{"sub of another client", nil, map[string]any{"sub": "shop"}, "sub is \"shop\""},
		{"of another client", nil, map[string]any{"iss": "shop", "sub": "shop"}, "no key has kid"},
		{"of no client", nil, map[string]any{"iss": "nobody", "sub": "nobody"}, "iss is \"nobody\""},
		{"without sub", nil, map[string]any{"sub": nil}, "must have iss and sub"},
		{"with an object as iss", nil, map[string]any{"iss": map[string]any{}}, "must have iss and sub"},
		{"alg none", map[string]any{"alg": "none"}, nil, "not signed"},
		{"alg HS256", map[string]any{"alg": "HS256"}, nil, "\"HS256\" is not supported"},
		{"another alg", map[string]any{"alg": "ES384"}, nil, "ES384"},
		{"another type of key", map[string]any{"alg": "RS256"}, nil, "RS256"},
		{"unknown kid", map[string]any{"kid": "x"}, nil, "no key has kid"},
		{"crit", map[string]any{"crit": []string{"exp"}}, nil, "crit"},
		{"own key in the header", map[string]any{"kid": nil, "jwk": other.Public()}, map[string]any{"iss": "shop", "sub": "shop"}, "signature is wrong"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			compact := sign(t, key, tt.header, f.claims("billing", tt.claims))
			refusal := f.refuses(t, assertionOf(compact), tt.reason)
			if strings.Contains(refusal.Reason, compact[:40]) {
				t.Error("the reason has the assertion")
			}
			// The hints of a verifier are not for the reader of the log.
			for _, hint := range []string{"to accept it", "get a new token", "if you trust it", "have the issuer", "only signed tokens", "use one of", "copied whole"} {
				if strings.Contains(refusal.Reason, hint) {
					t.Errorf("the reason has the hint of a verifier: %s", refusal.Reason)
				}
			}
		})
	}
	t.Run("wrong signature", func(t *testing.T) {
		f.refuses(t, assertionOf(sign(t, other, map[string]any{"kid": key.KeyID()}, f.claims("billing", nil))), "signature is wrong")
	})
	t.Run("no signature", func(t *testing.T) {
		compact := sign(t, key, nil, f.claims("billing", nil))
		f.refuses(t, assertionOf(compact[:strings.LastIndex(compact, ".")+1]), "no signature")
	})
	t.Run("other client_id", func(t *testing.T) {
		c := assertionOf(sign(t, key, nil, f.claims("billing", nil)))
		c.ClientID = "shop"
		if r := f.refuses(t, c, "iss is \"billing\""); r.ClientID != "shop" {
			t.Errorf("the refusal is of %q", r.ClientID)
		}
	})
	t.Run("unknown client_id", func(t *testing.T) {
		c := assertionOf(sign(t, key, nil, f.claims("billing", nil)))
		c.ClientID = strings.Repeat("x", 1000)
		if r := f.refuses(t, c, "no client has this id"); len(r.ClientID) > 255 {
			t.Errorf("the refusal has an id of %d bytes", len(r.ClientID))
		}
	})
	t.Run("no token", func(t *testing.T) {
		for _, text := range []string{"x", "a.b.c", "{}", strings.Repeat("a", 70000)} {
			f.refuses(t, assertionOf(text), "")
		}
		f.refuses(t, client.Credentials{Method: client.PrivateKeyJWT, ClientID: "billing"}, "the assertion is empty")
	})
}

// The public key of a client, which everyone knows, is no shared secret.
func TestPublicKeyIsNoSharedSecret(t *testing.T) {
	key := newKey(t, jwk.RS256)
	f := newFixture(t, keyClient(t, "billing", key))
	pem, err := key.Public().PEM()
	if err != nil {
		t.Fatal(err)
	}
	input := encode(t, map[string]any{"alg": "HS256", "kid": key.KeyID()}) + "." + encode(t, f.claims("billing", nil))
	mac := hmac.New(sha256.New, pem)
	mac.Write([]byte(input))
	f.refuses(t, assertionOf(input+"."+base64.RawURLEncoding.EncodeToString(mac.Sum(nil))), "HS256")
}

func TestReplay(t *testing.T) {
	key, other := newKey(t, jwk.ES256), newKey(t, jwk.ES256)
	text := keyClient(t, "billing", key) + keyClient(t, "shop", other)
	f := newFixture(t, text)
	c := assertionOf(sign(t, key, nil, f.claims("billing", map[string]any{"jti": "1", "exp": f.clock.Now().Unix() + 3600})))
	f.accepts(t, c, "billing", client.PrivateKeyJWT)
	f.refuses(t, c, "was used before")

	// The same jti in another assertion is one that was used; that of another client is not.
	again := assertionOf(sign(t, key, nil, f.claims("billing", map[string]any{"jti": "1"})))
	f.refuses(t, again, "was used before")
	f.accepts(t, assertionOf(sign(t, other, nil, f.claims("shop", map[string]any{"jti": "1"}))), "shop", client.PrivateKeyJWT)

	// It stays known when the list is replaced, and until it is too old.
	f.set(t, text)
	for range 35 {
		f.clock.Advance(2 * time.Second)
		if _, _, err := f.Authenticate(t.Context(), c); err == nil {
			t.Fatal("accepted twice")
		}
	}
	f.refuses(t, c, "was used before")
	f.clock.Advance(2 * time.Second)
	f.refuses(t, c, "more than 1m0s ago")

	// An assertion that is refused for another reason does not use up its jti.
	claims := f.claims("billing", map[string]any{"jti": "2"})
	f.refuses(t, assertionOf(sign(t, other, map[string]any{"kid": key.KeyID()}, claims)), "signature is wrong")
	f.accepts(t, assertionOf(sign(t, key, nil, claims)), "billing", client.PrivateKeyJWT)
}

// An assertion is remembered until the last second in which it can be used, also if the clock
// of the client is ahead. Another assertion was used offset before it, which decides when the
// generations of the memory change.
func TestReplayInTheLastSecond(t *testing.T) {
	key, other := newKey(t, jwk.EdDSA), newKey(t, jwk.EdDSA)
	for offset := 60 * time.Second; offset <= 85*time.Second; offset += time.Second {
		f := newFixture(t, keyClient(t, "billing", key)+keyClient(t, "shop", other))
		others := func() {
			f.accepts(t, assertionOf(sign(t, other, nil, f.claims("shop", nil))), "shop", client.PrivateKeyJWT)
		}
		others()
		f.clock.Advance(offset)
		now := f.clock.Now().Unix()
		c := assertionOf(sign(t, key, nil, f.claims("billing", map[string]any{"iat": now + 10, "exp": now + 3600})))
		f.accepts(t, c, "billing", client.PrivateKeyJWT)
		f.clock.Advance(time.Second)
		others()
		f.clock.Advance(78 * time.Second)
		others()
		f.refuses(t, c, "was used before")
		f.clock.Advance(time.Second)
		f.refuses(t, c, "was used before")
		f.clock.Advance(time.Second)
		f.refuses(t, c, "more than 1m0s ago")
	}
}

// While keys are fetched, an assertion becomes too old, and the memory forgets it.
func TestReplayDuringAFetch(t *testing.T) {
	key, other := newKey(t, jwk.EdDSA), newKey(t, jwk.EdDSA)
	var f fixture
	others := func() {
		f.accepts(t, assertionOf(sign(t, other, nil, f.claims("shop", nil))), "shop", client.PrivateKeyJWT)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			f.clock.Advance(3 * time.Second)
			others()
		}
		_, _ = w.Write([]byte(jwks(t, key)))
	}))
	defer srv.Close()
	list := func(path string) string {
		return "- {id: billing, audiences: [a], jwks_uri: '" + srv.URL + path + "'}\n" + keyClient(t, "shop", other)
	}
	f = newFixture(t, list("/fast"))
	others()
	f.clock.Advance(80 * time.Second)
	now := f.clock.Now().Unix()
	c := assertionOf(sign(t, key, nil, f.claims("billing", map[string]any{"iat": now + 10, "exp": now + 3600})))
	f.accepts(t, c, "billing", client.PrivateKeyJWT)
	f.clock.Advance(time.Second)
	others()
	f.clock.Advance(79 * time.Second)
	f.set(t, list("/slow"))
	f.refuses(t, c, "more than 1m0s ago")
}

func TestKeysOfAddress(t *testing.T) {
	key := newKey(t, jwk.ES256)
	down := true
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = w.Write([]byte(jwks(t, key)))
	}))
	defer srv.Close()
	f := newFixture(t, "- {id: billing, audiences: [a], jwks_uri: '"+srv.URL+"'}")
	c := assertionOf(sign(t, key, nil, f.claims("billing", nil)))
	if _, _, err := f.Authenticate(t.Context(), c); !errors.Is(err, token.ErrKeysUnavailable) || !strings.Contains(err.Error(), "client billing") {
		t.Errorf("while the keys are not served: %v", err)
	}
	down = false
	f.clock.Advance(10 * time.Second)
	f.accepts(t, c, "billing", client.PrivateKeyJWT)
}
