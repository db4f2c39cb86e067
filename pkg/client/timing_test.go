package client_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// refusals are credentials that are refused for different reasons, by the reason.
type refusals map[string]client.Credentials

// durations measures how long each refusal takes, and sorts the results. It takes turns, so
// that a busy machine slows all of them down.
func (f fixture) durations(t testing.TB, all refusals, rounds int) map[string][]time.Duration {
	t.Helper()
	took := map[string][]time.Duration{}
	for range rounds {
		for reason, c := range all {
			start := time.Now()
			_, _, err := f.Authenticate(t.Context(), c)
			took[reason] = append(took[reason], time.Since(start))
			if err == nil {
				t.Fatalf("%s: accepted", reason)
			}
		}
	}
	for _, durations := range took {
		slices.Sort(durations)
	}
	return took
}

// refusedAssertions are assertions of a client with this key, and of others. The first has a
// wrong signature.
func refusedAssertions(t testing.TB, f fixture, key, other jwk.PrivateKey) refusals {
	withID := assertionOf(sign(t, other, nil, f.claims("billing", nil)))
	withID.ClientID = "nobody"
	return refusals{
		"wrong signature":          assertionOf(sign(t, other, map[string]any{"kid": key.KeyID()}, f.claims("billing", nil))),
		"unknown client":           assertionOf(sign(t, other, nil, f.claims("nobody1", nil))),
		"unknown client_id":        withID,
		"client with a secret":     assertionOf(sign(t, other, nil, f.claims("secrets", nil))),
		"unknown key":              assertionOf(sign(t, other, nil, f.claims("billing", nil))),
		"wrong audience":           assertionOf(sign(t, other, nil, f.claims("billing", map[string]any{"aud": "https://other.example"}))),
		"too old":                  assertionOf(sign(t, other, nil, f.claims("billing", map[string]any{"iat": f.clock.Now().Unix() - 100}))),
		"platform: wrong subject":  assertionOf(sign(t, other, nil, f.platformToken(map[string]any{"sub": "repo:other/x"}))),
		"platform: unknown issuer": assertionOf(sign(t, other, nil, f.platformToken(map[string]any{"iss": "https://nobody.example"}))),
		"platform: unknown key":    assertionOf(sign(t, other, nil, f.platformToken(nil))),
		"unusable key":             assertionOf(sign(t, other, map[string]any{"kid": "broken"}, f.claims("fetched", nil))),
	}
}

func newTimingFixture(t testing.TB, alg jwk.Algorithm) (f fixture, all refusals) {
	key, other := newKey(t, alg), newKey(t, alg)
	if alg.KeyType() == "RSA" {
		other = otherRSA(t)
	}
	set := strings.TrimSuffix(jwks(t, key), "]}") + `, {"kty": "EC", "crv": "P-256", "kid": "broken", "x": "AA", "y": "AA"}]}`
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(set)) }))
	t.Cleanup(srv.Close)
	f = newFixture(t, keyClient(t, "billing", key)+secretClient("secrets", oldSecret)+trusting(t, "shop", "repo:example/*", key, "")+
		"- {id: fetched, audiences: [a], jwks_uri: '"+srv.URL+"'}\n")
	return f, refusedAssertions(t, f, key, other)
}

// An assertion that is refused for another reason than its signature costs a verification
// too. That of ES384 takes about fifty times as long as everything else. The shortest of
// several durations does not depend on how busy the machine is.
func TestEveryRefusalVerifiesASignature(t *testing.T) {
	f, all := newTimingFixture(t, jwk.ES384)
	took := f.durations(t, all, 25)
	wrong := took["wrong signature"][0]
	for reason, durations := range took {
		if durations[0] < wrong/3 {
			t.Errorf("%s is refused within %s, a wrong signature within %s", reason, durations[0], wrong)
		}
	}
}

// The cost of a refusal does not grow with the number of entries for its issuer, and an issuer
// that nobody trusts costs as much.
func TestManyEntriesOfAnIssuerCostNoMore(t *testing.T) {
	key := newKey(t, jwk.EdDSA)
	allocations := func(entries int, change map[string]any) float64 {
		var list strings.Builder
		for i := range entries {
			list.WriteString(trusting(t, "c"+strconv.Itoa(i), "repo:example/"+strconv.Itoa(i)+":*", key, ""))
		}
		f := newFixture(t, list.String())
		c := assertionOf(sign(t, key, nil, f.platformToken(change)))
		return testing.AllocsPerRun(5, func() { f.refuses(t, c, "") })
	}
	one := allocations(1, nil)
	for name, got := range map[string]float64{
		"200 entries":     allocations(200, nil),
		"one that fits":   allocations(200, map[string]any{"sub": "repo:example/7:x", "aud": "https://other.example"}),
		"unknown issuer":  allocations(200, map[string]any{"iss": "https://nobody.example"}),
		"unknown subject": allocations(200, map[string]any{"sub": "x"}),
	} {
		if got > one+50 {
			t.Errorf("%s: %.0f allocations, with one entry %.0f", name, got, one)
		}
	}
}

// BenchmarkRefusals measures by which factor the time of each refusal differs from that of
// a wrong signature or a wrong secret: run it with -benchtime=2000x.
func BenchmarkRefusals(b *testing.B) {
	report := func(b *testing.B, f fixture, all refusals, wrong string) {
		b.Helper()
		f.durations(b, all, 10) // fills the caches
		b.ResetTimer()
		took := f.durations(b, all, b.N)
		median := func(reason string) float64 { return float64(took[reason][b.N/2].Nanoseconds()) }
		for reason := range took {
			if b.N == 1 {
				break // the first run of a benchmark says nothing
			}
			b.Logf("%-26s %8.0f ns  %.3f", reason, median(reason), median(reason)/median(wrong))
		}
		b.ReportMetric(median("unknown client")/median(wrong), "unknown/wrong")
		b.ReportMetric(median(wrong), "ns/wrong")
	}
	for _, alg := range []jwk.Algorithm{jwk.RS256, jwk.ES256, jwk.EdDSA} {
		b.Run(string(alg), func(b *testing.B) {
			f, all := newTimingFixture(b, alg)
			report(b, f, all, "wrong signature")
		})
	}
	b.Run("secret", func(b *testing.B) {
		f, _ := newTimingFixture(b, jwk.ES256)
		report(b, f, refusals{
			"unknown client":   withSecret("nobody1", newSecret),
			"wrong secret":     withSecret("secrets", newSecret),
			"client with keys": withSecret("billing", newSecret),
		}, "wrong secret")
	})
}
