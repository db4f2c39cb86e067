package server

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

func TestLimiterSlides(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	for _, tt := range []struct {
		rate   float64
		asked  []time.Duration // since the start
		passed []bool
	}{
		{2, []time.Duration{0, 900 * time.Millisecond, 950 * time.Millisecond, time.Second, 1100 * time.Millisecond, 1899 * time.Millisecond, 1900 * time.Millisecond}, []bool{true, true, false, true, false, false, true}},
		{0.5, []time.Duration{0, time.Second, 1999 * time.Millisecond, 2 * time.Second}, []bool{true, false, false, true}},
		{1.5, []time.Duration{0, 0, 0, 1333 * time.Millisecond, 1334 * time.Millisecond}, []bool{true, true, false, false, true}},
	} {
		l := newLimiter(tt.rate)
		for i, after := range tt.asked {
			wait := l.take("a", at.Add(after))
			if (wait == 0) != tt.passed[i] {
				t.Errorf("rate %v: request at %v waits %v", tt.rate, after, wait)
			}
			if wait > 0 && newWait(l, at.Add(after).Add(wait)) != 0 {
				t.Errorf("rate %v: after the wait of %v it is still refused", tt.rate, wait)
			}
		}
	}
}

// newWait asks a copy of the limiter.
func newWait(l *limiter, at time.Time) time.Duration {
	c := &limiter{limit: l.limit, window: l.window, order: l.order, passed: map[string][]time.Time{}}
	for k, v := range l.passed {
		c.passed[k] = slices.Clip(v)
	}
	return c.take("a", at)
}

func TestLimiterTellsAddressesApart(t *testing.T) {
	l, at := newLimiter(1), time.Unix(1_000_000, 0)
	for _, address := range []string{"a", "b"} {
		if l.take(address, at) != 0 || l.take(address, at) == 0 {
			t.Errorf("%s does not have one request", address)
		}
	}
}

func TestLimiterMemoryIsBounded(t *testing.T) {
	l, at := newLimiter(0.001), time.Unix(1_000_000, 0)
	for i := range 2 * maxRemembered {
		l.take(fmt.Sprint(i), at)
	}
	if len(l.order) > maxRemembered || len(l.passed) > maxRemembered {
		t.Errorf("it remembers %d requests of %d addresses", len(l.order), len(l.passed))
	}
	l.take("a", at.Add(2000*time.Second))
	if len(l.order) != 1 || len(l.passed) != 1 {
		t.Errorf("after the window it remembers %d requests of %d addresses", len(l.order), len(l.passed))
	}
}

func TestRateLimit(t *testing.T) {
	b := newRig(t, keys.Settings{}, func(o *Options) { o.RateLimit = 2 })
	for _, want := range []int{200, 200} {
		if r := b.do("POST", "/auth", ""); r.StatusCode != want {
			t.Fatalf("status = %d", r.StatusCode)
		}
	}
	r := b.do("POST", "/auth", "", "X-Forwarded-For", "198.51.100.7") // anybody can say so
	if r.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After = %q", r.Header.Get("Retry-After"))
	}
	wantProblem(t, r, http.StatusTooManyRequests, "too often")
	if r := b.do("GET", "/jwks", ""); r.StatusCode != 200 {
		t.Errorf("the JWK Set is limited too: %d", r.StatusCode)
	}
	b.clock.Advance(time.Second)
	if r := b.do("POST", "/auth", ""); r.StatusCode != 200 {
		t.Errorf("a second later: %d", r.StatusCode)
	}
}
