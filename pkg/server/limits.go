package server

import (
	"errors"
	"net/netip"
	"sync"
	"time"

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
	// maxChecks is how many client assertions may be checked at the same time. Most of
	// them take a tenth of a millisecond, but those that wait for the keys of an issuer
	// take up to signTimeout.
	maxChecks = 256

	// unavailableLog is the time between two log lines that say that keys of clients
	// cannot be fetched.
	unavailableLog = 10 * time.Second
)

var errChecksFull = errors.New("too many client assertions are being checked")

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
