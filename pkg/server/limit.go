package server

import (
	"math"
	"sync"
	"time"
)

// maxRemembered bounds what a limiter holds, at some hundred bytes each. Beyond
// it the oldest is forgotten: a limiter must not lock out those who behave.
const maxRemembered = 1 << 16

// limiter holds each client address to a rate, over a window that slides: any
// window holds at most limit requests of one address that were let through.
type limiter struct {
	limit  int
	window time.Duration

	mu     sync.Mutex
	passed map[string][]time.Time // by address: when requests were let through, oldest first
	order  []string               // the address of each of them, oldest first
}

// newLimiter takes a rate in requests a second. The window is the shortest of a
// second or more that a whole number of requests fits.
func newLimiter(rate float64) *limiter {
	limit := math.Ceil(rate)
	return &limiter{
		limit: int(limit), window: time.Duration(limit / rate * float64(time.Second)),
		passed: make(map[string][]time.Time),
	}
}

// take lets a request through, or says how long to wait.
func (l *limiter) take(address string, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.order) > 0 {
		oldest := l.order[0]
		times := l.passed[oldest]
		if now.Sub(times[0]) < l.window && len(l.order) < maxRemembered {
			break
		}
		l.order = l.order[1:]
		if l.passed[oldest] = times[1:]; len(times) == 1 {
			delete(l.passed, oldest)
		}
	}
	times := l.passed[address]
	if len(times) >= l.limit {
		return times[0].Add(l.window).Sub(now)
	}
	l.passed[address] = append(times, now)
	l.order = append(l.order, address)
	return 0
}
