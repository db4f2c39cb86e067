package server

import (
	"errors"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/jwksctl/jwksctl/pkg/client"
)

// Requests without valid credentials slow their address down. It may send failureBurst of
// them at once, and then failureRate a second. If it sends more, all its requests are
// answered 429, before the body is read and any signature is checked. A client that
// retries with a wrong secret each second therefore does not slow down others at its
// address, and an address causes about one such line a second in the audit log. Secrets
// are too long to be guessed at any rate.
const (
	failureBurst = 20
	failureRate  = 1.0
)

const (
	// maxChecks is how many requests with a client assertion may wait for keys that have to be
	// fetched, and how many for their turn to be verified. Those that wait for keys may take
	// signTimeout, and keep a connection for that long.
	maxChecks = 256

	// maxChecksOfOne is how many that wait for keys may be of one address, so that it cannot
	// keep others out with assertions whose keys cannot be fetched.
	maxChecksOfOne = maxChecks / 4

	// unavailableLog is the time between two log lines that say that keys of clients
	// cannot be fetched.
	unavailableLog = 10 * time.Second
)

var errChecksFull = errors.New("too many client assertions are being checked")

// checks are the requests with a client assertion that wait for keys, if these are not in
// the list of clients itself.
type checks struct {
	mu  sync.Mutex
	all int
	of  map[string]int // by address
}

// begin counts a request of an address. It returns the function that ends it, or nil if too
// many requests wait.
func (c *checks) begin(address string) (end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= maxChecks || c.of[address] >= maxChecksOfOne {
		return nil
	}
	c.all++
	c.of[address]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all--
		if c.of[address]--; c.of[address] == 0 {
			delete(c.of, address)
		}
	}
}

// newCheckQueue returns the queue in which assertions wait for their turn. An address cannot
// fill it for long, because those after its failures are not verified.
func newCheckQueue() *signQueue {
	return &signQueue{
		running: semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0))),
		places:  semaphore.NewWeighted(maxChecks),
		waited:  func(time.Duration) {},
	}
}

// checkFailures refuses a request of an address that has sent too many without valid
// credentials.
func (s *Server) checkFailures(t *tokenRequest) error {
	if s.failures == nil {
		return nil
	}
	if wait := s.failures.wait(t.address, s.o.Now()); wait > 0 {
		return tooMany("this address has sent too many requests without valid credentials", wait)
	}
	return nil
}

// countFailure counts a request that was refused before its client was authenticated.
func (s *Server) countFailure(t *tokenRequest, err error) {
	if err == nil || s.failures == nil || t.client != nil {
		return
	}
	if p, _ := problemOf(err); p.isRefusal() {
		s.failures.take(t.address, s.o.Now())
	}
}

// limitKey is what the limits take for one client address. For IPv6 it is the network of
// 64 bits, because one client can use any address in it.
func limitKey(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	ip = ip.Unmap()
	if ip.Is4() {
		return ip.String()
	}
	network, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return network.String()
}

// clientLimiter limits the tokens of each client with a token bucket (Client.RateLimit).
type clientLimiter struct {
	mu      sync.Mutex
	buckets map[string]*rate.Limiter // by client id
}

func newClientLimiter() *clientLimiter {
	return &clientLimiter{buckets: make(map[string]*rate.Limiter)}
}

// take counts a request of an authenticated client and returns 0, or how long the client
// must wait.
func (l *clientLimiter) take(c *client.Client, now time.Time) (wait time.Duration) {
	if c.RateLimit <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket, ok := l.buckets[c.ID]
	if !ok || bucket.Limit() != rate.Limit(c.RateLimit) { // the list of clients may have changed
		l.dropFull(now)
		bucket = rate.NewLimiter(rate.Limit(c.RateLimit), burstOf(c.RateLimit))
		l.buckets[c.ID] = bucket
	}
	return takeFrom(bucket, now)
}

// dropFull drops the buckets that equal a new one, so that those of clients that are no
// longer in the list do not stay.
func (l *clientLimiter) dropFull(now time.Time) {
	for id, bucket := range l.buckets {
		if bucket.TokensAt(now) >= float64(bucket.Burst()) {
			delete(l.buckets, id)
		}
	}
}
