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

// rateLimiter limits the requests of each client address with a token bucket.
//
// If an address sends nothing until its bucket is full, its bucket equals a new one
// and can be dropped. The limiter therefore keeps two maps: when that time has passed, the recent one
// becomes the older one, and the older one is dropped. It does the same earlier if
// the recent map is full; then the dropped addresses get a full bucket too soon,
// because otherwise the limiter would have to refuse new addresses.
type rateLimiter struct {
	rate  rate.Limit
	burst int
	fills time.Duration // from empty to full

	mu            sync.Mutex
	recent, older map[string]*rate.Limiter // by address
	since         time.Time                // when recent was begun
}

// newRateLimiter takes a rate in requests a second, and the requests that a full bucket
// allows.
func newRateLimiter(perSecond float64, burst int) *rateLimiter {
	return &rateLimiter{
		rate: rate.Limit(perSecond), burst: burst, fills: time.Duration(float64(burst) / perSecond * float64(time.Second)),
		recent: make(map[string]*rate.Limiter),
	}
}

// burstOf is the number of requests that a full bucket allows: those of one second, and at
// least one.
func burstOf(perSecond float64) int { return int(math.Ceil(perSecond)) }

// take counts a request and returns 0. If the address is over its limit, take does not
// count the request and returns how long the client must wait.
func (l *rateLimiter) take(address string, now time.Time) (wait time.Duration) {
	return takeFrom(l.bucket(address, now), now)
}

// wait returns how long the client must wait until take would count its next request. It
// counts nothing.
func (l *rateLimiter) wait(address string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, buckets := range []map[string]*rate.Limiter{l.recent, l.older} {
		if bucket, ok := buckets[address]; ok {
			return waitFor(bucket, now)
		}
	}
	return 0
}

func takeFrom(bucket *rate.Limiter, now time.Time) (wait time.Duration) {
	if bucket.AllowN(now, 1) {
		return 0
	}
	return max(waitFor(bucket, now), 1)
}

// waitFor returns how long it takes until a bucket allows a request.
func waitFor(bucket *rate.Limiter, now time.Time) time.Duration {
	missing := 1 - bucket.TokensAt(now)
	return max(time.Duration(missing/float64(bucket.Limit())*float64(time.Second)), 0)
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
