//go:build soak

package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// signer signs with one key.
type signer struct{ jwk.PrivateKey }

// SigningKey implements token.Signer.
func (s signer) SigningKey(context.Context) (key jwk.PrivateKey, now, latest time.Time, err error) {
	return s.PrivateKey, time.Now(), time.Now().Add(time.Minute), nil
}

func newSigner(t *testing.T) signer {
	t.Helper()
	key, err := jwk.Generate(jwk.ES256, 0)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key}
}

// answer is what a server answers to POST /auth.
func (s signer) answer(t *testing.T) string {
	t.Helper()
	minted, err := token.Mint(t.Context(), s, token.Request{Issuer: issuer})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"token":%q,"kid":%q}`, minted.Compact, minted.KeyID)
}

// fetchSet gives the checker a JWK Set.
func (c *checker) fetchSet(t *testing.T, sent time.Time, signers ...signer) {
	t.Helper()
	var set jwk.Set
	for _, s := range signers {
		set.Keys = append(set.Keys, s.Public())
	}
	body, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.fetched(body, http.Header{"Cache-Control": {"public, max-age=30"}}, sent); err != nil {
		t.Fatal(err)
	}
}

// TestChecker shows that each check can fail.
func TestChecker(t *testing.T) {
	old, active, now := newSigner(t), newSigner(t), time.Now()
	for name, tt := range map[string]struct {
		do   func(c *checker)
		want row
	}{
		"a token of a key that every set has": {
			func(c *checker) { c.fetchSet(t, now, old, active) }, row{minted: 1, sets: 1, verified: 1},
		},
		"a token of a key that is not in an old set": {
			func(c *checker) {
				c.fetchSet(t, now.Add(-time.Minute+time.Second), old)
				c.fetchSet(t, now, old, active)
			}, row{minted: 1, sets: 2, unverifiable: 1},
		},
		"a token of a key that has left the newest set": {
			func(c *checker) {
				c.fetchSet(t, now.Add(-time.Second), old, active)
				c.fetchSet(t, now, old)
			}, row{minted: 1, sets: 2, verified: 1, unverifiable: 1},
		},
		"a set that no cache has any more": {
			func(c *checker) {
				c.fetchSet(t, now.Add(-time.Minute-time.Second), old)
				c.fetchSet(t, now, active)
			}, row{minted: 1, sets: 2, verified: 1},
		},
		"a token of a revoked key": {
			func(c *checker) { c.fetchSet(t, now, old); c.revoking(active.KeyID()) }, row{minted: 1, sets: 1},
		},
		"a revoked key within its bounds": {
			func(c *checker) {
				c.fetchSet(t, now, old, active)
				c.revoking(active.KeyID())
				c.wasRevoked(active.KeyID(), now, now.Add(time.Minute))
			}, row{minted: 1, sets: 1, revocations: 1},
		},
		"a revoked key that is served for too long": {
			func(c *checker) {
				c.revoking(active.KeyID())
				c.wasRevoked(active.KeyID(), now, now.Add(time.Hour))
				c.fetchSet(t, now.Add(time.Millisecond), old, active)
			}, row{minted: 1, sets: 1, revocations: 1, servedLate: 1},
		},
		"a revoked key that is cached for too long": {
			func(c *checker) {
				c.fetchSet(t, now, old, active) // before the bounds are known
				c.revoking(active.KeyID())
				c.wasRevoked(active.KeyID(), now, now.Add(time.Minute-time.Millisecond))
			}, row{minted: 1, sets: 1, revocations: 1, servedLate: 1},
		},
	} {
		c := newChecker(time.Second)
		if err := c.minted([]byte(active.answer(t))); err != nil {
			t.Fatal(err)
		}
		tt.do(c)
		c.check()
		c.check() // nothing is counted twice
		got, err := c.end()
		got.took, got.gone, tt.want.activations = 0, 0, 1
		if got != tt.want {
			t.Errorf("%s: got %+v, want %+v", name, got, tt.want)
		}
		if bad := tt.want.unverifiable+tt.want.servedLate > 0; bad != (err != nil) {
			t.Errorf("%s: problems %v", name, err)
		}
	}
}

// A signature of another key under a known kid does not verify.
func TestCheckerVerifiesSignatures(t *testing.T) {
	active, c := newSigner(t), newChecker(time.Second)
	answer := active.answer(t)
	dot := strings.LastIndex(answer, ".") + 1
	forged := answer[:dot] + strings.Repeat("A", 86) + answer[dot+86:]
	if err := c.minted([]byte(forged)); err != nil {
		t.Fatal(err)
	}
	c.fetchSet(t, time.Now(), active)
	c.check()
	if r, err := c.end(); r.unverifiable != 1 || err == nil {
		t.Errorf("%d tokens count as unverifiable: %v", r.unverifiable, err)
	}
}

func TestCheckerRefusesSets(t *testing.T) {
	for name, tt := range map[string]struct{ body, cache string }{
		"empty":       {`{"keys":[]}`, "max-age=1"},
		"no max-age":  {`{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`, "no-store"},
		"another kid": {`{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`, "max-age=1"},
	} {
		if err := newChecker(0).fetched([]byte(tt.body), http.Header{"Cache-Control": {tt.cache}}, time.Now()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A measurement that is broken or proves nothing fails.
func TestJudge(t *testing.T) {
	good := row{minted: 2, verified: 1, sets: 1, activations: 2, revocations: 1}
	for _, tt := range []struct {
		change func(*row)
		outage outage
		ok     bool
	}{
		{func(*row) {}, outageNever, true},
		{func(*row) {}, outageMaybe, true},
		{func(r *row) { r.unavailable = 1 }, outageMaybe, true},
		{func(r *row) { r.unavailable = 1 }, outageAlways, true},
		{func(*row) {}, outageAlways, false},
		{func(r *row) { r.unavailable = 1 }, outageNever, false},
		{func(r *row) { r.unverifiable = 1 }, outageNever, false},
		{func(r *row) { r.servedLate = 1 }, outageNever, false},
		{func(r *row) { r.helped = 1 }, outageNever, false},
		{func(r *row) { r.minted, r.verified = 0, 0 }, outageNever, false},
		{func(r *row) { r.verified = 0 }, outageNever, false},
		{func(r *row) { r.sets = 0 }, outageNever, false},
		{func(r *row) { r.revocations = 0 }, outageNever, false},
		{func(r *row) { r.activations = 1 }, outageNever, false},
	} {
		r := good
		tt.change(&r)
		if err := r.judge(tt.outage); (err == nil) != tt.ok {
			t.Errorf("%+v with outage %d: %v", r, tt.outage, err)
		}
	}
}
