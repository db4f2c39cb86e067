package server

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

func TestRateLimiterRefills(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	for _, tt := range []struct {
		rate    float64
		sent    []time.Duration // since the start
		allowed []bool
	}{
		{2, []time.Duration{0, 0, 0, 499 * time.Millisecond, 500 * time.Millisecond, time.Second}, []bool{true, true, false, false, true, true}},
		{0.5, []time.Duration{0, time.Second, 1999 * time.Millisecond, 2 * time.Second}, []bool{true, false, false, true}},
		{1.5, []time.Duration{0, 0, 0, 666 * time.Millisecond, 667 * time.Millisecond}, []bool{true, true, false, false, true}},
	} {
		l := newRateLimiter(tt.rate, burstOf(tt.rate))
		for i, after := range tt.sent {
			if wait := l.take("a", at.Add(after)); (wait == 0) != tt.allowed[i] {
				t.Errorf("rate %v: request %d, at %v, has to wait %v", tt.rate, i, after, wait)
			}
		}
	}
}

func TestRateLimiterWait(t *testing.T) {
	l, at := newRateLimiter(0.5, 1), time.Unix(1_000_000, 0)
	l.take("a", at)
	wait := l.take("a", at)
	if wait != 2*time.Second {
		t.Errorf("wait = %v, want 2s", wait)
	}
	if wait := l.take("a", at.Add(wait)); wait != 0 {
		t.Errorf("after the wait it is still %v", wait)
	}
}

func TestRateLimiterSeparatesAddresses(t *testing.T) {
	l, at := newRateLimiter(1, 1), time.Unix(1_000_000, 0)
	for _, address := range []string{"a", "b"} {
		if l.take(address, at) != 0 || l.take(address, at) == 0 {
			t.Errorf("%s does not have one request", address)
		}
	}
}

func TestRateLimiterMemoryIsBounded(t *testing.T) {
	l, at := newRateLimiter(0.001, 1), time.Unix(1_000_000, 0)
	for i := range 2 * maxAddresses {
		if wait := l.take(fmt.Sprint(i), at); wait != 0 {
			t.Fatalf("address %d waits %v for its first request", i, wait)
		}
		if n := len(l.recent) + len(l.older); n > maxAddresses {
			t.Fatalf("the limiter keeps %d addresses", n)
		}
	}
	for range 2 { // all buckets are full again
		at = at.Add(1000 * time.Second)
		l.take("busy", at)
	}
	if n := len(l.recent) + len(l.older); n > 2 {
		t.Errorf("the limiter keeps %d entries, want those of the busy address only", n)
	}
}

func TestRateLimiterKeepsAddressesThatStillWait(t *testing.T) {
	l, at := newRateLimiter(0.001, 1), time.Unix(1_000_000, 0)
	l.take("first", at)
	l.take("busy", at.Add(999*time.Second))
	l.take("first", at.Add(1000*time.Second)) // starts a new map
	if l.take("busy", at.Add(1998*time.Second)) == 0 {
		t.Error("the busy address got a second request after 999 s of 1000 s")
	}
}

func TestRateLimit(t *testing.T) {
	srv := newTestServer(t, keys.Settings{}, func(o *Options) { o.RateLimit = 2 })
	for range 2 {
		if r := srv.do("POST", "/auth", ""); r.StatusCode != http.StatusOK {
			t.Fatalf("status = %d", r.StatusCode)
		}
	}
	r := srv.do("POST", "/auth", "", "X-Forwarded-For", "198.51.100.7") // the peer is no proxy
	if r.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After = %q", r.Header.Get("Retry-After"))
	}
	wantProblem(t, r, http.StatusTooManyRequests, "too many requests")
	if r := srv.do("GET", "/jwks", ""); r.StatusCode != http.StatusOK {
		t.Errorf("the JWK Set is limited too: %d", r.StatusCode)
	}
	srv.clock.Advance(time.Second)
	if r := srv.do("POST", "/auth", ""); r.StatusCode != http.StatusOK {
		t.Errorf("a second later: %d", r.StatusCode)
	}
}

func TestRefusedRequestsAreNotCounted(t *testing.T) {
	l, at := newRateLimiter(1, 1), time.Unix(1_000_000, 0)
	l.take("a", at)
	var refused sync.WaitGroup
	for range 8 { // at the same time
		refused.Go(func() {
			for range 5000 {
				l.take("a", at)
			}
		})
	}
	refused.Wait()
	if wait := l.take("a", at.Add(time.Second)); wait != 0 {
		t.Errorf("after a second without requests: wait = %v, want 0", wait)
	}
}
