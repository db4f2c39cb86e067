package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// An assertion waits for the keys of its client before it takes its turn, so that a slow
// server of keys does not hold up the assertions of others.
func TestKeysAreFetchedBeforeTheTurn(t *testing.T) {
	key := newKey(t, jwk.ES256)
	var events []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		events = append(events, "fetch")
		_, _ = io.WriteString(w, jwks(t, key))
	}))
	defer server.Close()
	f := newFixture(t, "- {id: billing, audiences: [https://api.example], jwks_uri: "+server.URL+"}")
	begin := func() (func(), error) {
		events = append(events, "begin")
		return func() { events = append(events, "end") }, nil
	}
	turn := func(_ context.Context, check func()) error {
		events = append(events, "turn")
		check()
		return nil
	}
	c := assertionOf(sign(t, key, nil, f.claims("billing", nil)))
	c.Turn, c.Fetch = turn, begin
	f.accepts(t, c, "billing", client.PrivateKeyJWT)
	c = assertionOf(sign(t, newKey(t, jwk.ES256), nil, f.claims("nobody", nil)))
	c.Turn, c.Fetch = turn, begin
	f.refuses(t, c, "") // no keys are fetched for a client that does not exist
	if want := []string{"begin", "fetch", "end", "turn", "turn"}; !slices.Equal(events, want) {
		t.Errorf("events %q, want %q", events, want)
	}
}

// If it never is its turn, an assertion is not accepted and not refused, whatever it says.
func TestNoTurn(t *testing.T) {
	key := newKey(t, jwk.ES256)
	f := newFixture(t, keyClient(t, "billing", key))
	busy := errors.New("busy")
	for _, id := range []string{"billing", "nobody"} {
		c := assertionOf(sign(t, key, nil, f.claims(id, nil)))
		c.Turn = func(context.Context, func()) error { return busy }
		if got, _, err := f.Authenticate(t.Context(), c); got != nil || !errors.Is(err, busy) {
			t.Errorf("%s: %v, %v", id, got, err)
		}
		c.Turn = nil
		if id == "billing" { // it was not used
			f.accepts(t, c, id, client.PrivateKeyJWT)
		}
	}
}
