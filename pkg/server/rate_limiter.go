package server

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxAddresses bounds the client addresses that a rateLimiter keeps, some hundred
// bytes each.
const maxAddresses = 1 << 16

// rateLimiter limits the requests of each client address by a token bucket that
// has room for the requests of one second, or for one request.
//
// An address that sends nothing while a bucket fills has a full bucket, as a new
// one has. So the limiter keeps two maps: when that time has passed, the recent one
// becomes the older one, and the older one is dropped. It does the same earlier if
// the recent map is full; then the dropped addresses get a full bucket too soon,
// because a limiter must not refuse well-behaved clients.
type rateLimiter struct {
	rate  rate.Limit
	burst int
	fills time.Duration // from empty to full

	mu            sync.Mutex
	recent, older map[string]*rate.Limiter // by address
	since         time.Time                // when recent was begun
}

// newRateLimiter takes a rate in requests a second.
func newRateLimiter(perSecond float64) *rateLimiter {
	burst := math.Ceil(perSecond)
	return &rateLimiter{
		rate: rate.Limit(perSecond), burst: int(burst), fills: time.Duration(burst / perSecond * float64(time.Second)),
		recent: make(map[string]*rate.Limiter),
	}
}

// take counts a request and returns 0, or returns how long the client must wait
// before it asks again.
func (l *rateLimiter) take(address string, now time.Time) (wait time.Duration) {
	reservation := l.bucket(address, now).ReserveN(now, 1)
	if wait = reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
	}
	return wait
}

func (l *rateLimiter) bucket(address string, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.since) >= l.fills || len(l.recent) >= maxAddresses/2 {
		l.recent, l.older, l.since = make(map[string]*rate.Limiter), l.recent, now
	}
	bucket, ok := l.recent[address]
	if !ok {
		if bucket, ok = l.older[address]; !ok {
			bucket = rate.NewLimiter(l.rate, l.burst)
		}
		l.recent[address] = bucket
	}
	return bucket
}
