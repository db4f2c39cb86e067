package server

import (
	"context"
	"errors"
	"math"
	"net"
	"sync"
	"time"
)

var errOverload = errors.New("too many requests wait for a signature")

// gate is the queue in front of signing: so many sign at once, so many more
// wait, and who comes then is sent away. Whatever /auth is asked for, there is
// never more than that between a request for the JWK Set and a processor.
type gate struct {
	places  chan struct{} // taken by all who are inside, waiting or signing
	workers chan struct{} // taken by those who sign
}

func newGate(workers, queue int) gate {
	return gate{places: make(chan struct{}, workers+queue), workers: make(chan struct{}, workers)}
}

// enter waits for a turn. The error is errOverload or that of ctx.
func (g gate) enter(ctx context.Context) (leave func(), err error) {
	select {
	case g.places <- struct{}{}:
	default:
		return nil, errOverload
	}
	select {
	case g.workers <- struct{}{}:
		return func() { <-g.workers; <-g.places }, nil
	case <-ctx.Done():
		<-g.places
		return nil, ctx.Err()
	}
}

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

// limitListener has at most so many connections open at once. Others wait in
// the system's backlog.
type limitListener struct {
	net.Listener
	slots chan struct{}
}

func newLimitListener(l net.Listener, limit int) *limitListener {
	return &limitListener{l, make(chan struct{}, limit)}
}

// Accept waits for a slot, also on a closed listener: whoever closes it closes
// the connections too.
func (l *limitListener) Accept() (net.Conn, error) {
	l.slots <- struct{}{}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: conn, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

// limitedConn gives its slot back when it is closed.
type limitedConn struct {
	net.Conn
	free func()
}

func (c *limitedConn) Close() error {
	defer c.free()
	return c.Conn.Close()
}
