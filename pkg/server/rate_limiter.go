package server

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxAddresses bounds the memory of a rateLimiter, at about 200 bytes an address.
const maxAddresses = 1 << 16

// rateLimiter limits the requests of each client address. An address may send one
// second's worth of requests at once, and at least one.
type rateLimiter struct {
	rate  rate.Limit // requests a second
	burst int

	mu        sync.Mutex
	addresses map[string]*rate.Limiter
}

func newRateLimiter(perSecond float64) *rateLimiter {
	return &rateLimiter{
		rate: rate.Limit(perSecond), burst: int(math.Ceil(perSecond)),
		addresses: make(map[string]*rate.Limiter),
	}
}

// take counts a request. If it must not be served now, take returns how long the
// client has to wait, and does not count it.
func (l *rateLimiter) take(address string, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter, ok := l.addresses[address]
	if !ok {
		if len(l.addresses) >= maxAddresses {
			l.evict(now)
		}
		limiter = rate.NewLimiter(l.rate, l.burst)
		l.addresses[address] = limiter
	}
	reservation := limiter.ReserveN(now, 1)
	if wait = reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
	}
	return wait
}

// evict makes room: it drops the addresses whose limiter is like a new one, because
// they sent nothing lately. If there are none, it drops all: an attacker with many
// addresses gains a burst, and no other client is locked out.
func (l *rateLimiter) evict(now time.Time) {
	for address, limiter := range l.addresses {
		if limiter.TokensAt(now) >= float64(l.burst) {
			delete(l.addresses, address)
		}
	}
	if len(l.addresses) >= maxAddresses {
		clear(l.addresses)
	}
}
