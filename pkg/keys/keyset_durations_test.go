package keys

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// No duration that a policy allows overflows: whatever the settings are, the stamps of
// two rotations, the bounds of a revocation and the forecast lie in the future, in order,
// and not further away than the policy's formulas say.
func TestNoDurationOverflows(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	accepted := 0
	for range 3000 {
		p, err := NewPolicy(randomDurations(random))
		if err != nil {
			continue
		}
		accepted++
		checkDurations(t, p)
		if t.Failed() {
			t.Fatalf("with %+v", p)
		}
	}
	if accepted < 300 {
		t.Errorf("only %d policies were accepted", accepted)
	}
	for _, r := range []time.Duration{4 * time.Second, 106 * day, 107 * day, 365 * day, maxDuration} {
		p, err := NewPolicy(Settings{RotationInterval: r, Issuer: "https://issuer.example"})
		if err != nil {
			t.Fatal(err)
		}
		checkDurations(t, p)
	}
}

const day = 24 * time.Hour

// randomDurations states each duration or not. A size is anything from the least to the
// most, and each order of magnitude is about as likely.
func randomDurations(random *rand.Rand) Settings {
	s := Settings{Issuer: "https://issuer.example"}
	stated := map[string]*time.Duration{
		"rotation_interval": &s.RotationInterval, "token_ttl": &s.TokenTTL, "jwks_max_age": &s.JWKSMaxAge,
		"max_staleness": &s.MaxStaleness, "leeway": &s.Leeway, "clock_skew": &s.ClockSkew,
	}
	for _, field := range (&Policy{}).fields(Settings{}) {
		if field.derive == nil || random.IntN(2) == 0 {
			continue
		}
		d := field.least
		for d < maxDuration && random.IntN(12) > 0 {
			d *= 2 + time.Duration(random.IntN(3))
		}
		*stated[field.name] = min(d, maxDuration).Truncate(time.Millisecond)
	}
	s.JWKSMaxAge = s.JWKSMaxAge.Truncate(time.Second)
	return s
}

func checkDurations(t *testing.T, p Policy) {
	t.Helper()
	const slack = time.Second
	most := p.RotationInterval + 8*p.RotationInterval + slack // the sums that validate limits
	within := func(what string, at time.Time) {
		t.Helper()
		if at.Before(noon) || at.After(noon.Add(2*p.RotationInterval).Add(most)) {
			t.Errorf("%s is %v after the start", what, at.Sub(noon))
		}
	}
	p.ExpiredTokens = false // a specimen takes the new key of a step
	ks := newTestKeyset(t, p)
	forecast, err := ks.Forecast(noon, noon.Add(3*p.RotationInterval))
	if err != nil || len(forecast) == 0 || !slices.IsSortedFunc(forecast, func(a, b Event) int { return a.At.Compare(b.At) }) {
		t.Errorf("forecast %v, %v", forecast, err)
	}
	for range 2 {
		next, _ := advance(t, ks, ks.NextRotation())
		ks = next
	}
	if rotated := ks.ChangedAt; !rotated.Equal(noon.Add(2 * p.RotationInterval)) {
		t.Errorf("the second rotation was after %v", rotated.Sub(noon))
	}
	for _, k := range ks.Keys {
		within("ready_at", k.ReadyAt)
		if !k.RetiredAt.IsZero() {
			within("destroy_at", k.DestroyAt)
			within("expires_at", k.ExpiresAt)
		}
	}
	bounds := ks.RevocationBounds(noon)
	within("served", bounds.Served)
	within("cached", bounds.Cached)
	within("cached without age", bounds.CachedWithNoAge)
	within("leeway", ks.LeewayValidFrom(noon).Add(-p.Leeway))
}
