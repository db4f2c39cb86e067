package remote

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// Source is the cached JWK Set at one URL. It satisfies token.KeySource, is safe for
// concurrent use, runs nothing in the background between calls, and need not be closed.
type Source struct {
	url  *url.URL
	o    Options
	busy chan struct{} // has one element while a request is sent and answered

	mu    sync.Mutex
	cache cache
}

// cache is the state of a Source. It is copied, never shared.
type cache struct {
	doc      Document // the last valid one; its StaleUntil is zero before the first
	forcedAt time.Time

	err      error // of the last request; nil if it succeeded
	failures int   // in a row
	retryAt  time.Time
}

// New returns the source at jwksURL. It sends no request before a key is needed.
// Errors: ErrAddress.
func New(jwksURL string, o Options) (*Source, error) {
	o = o.complete()
	u, err := parseAddress(jwksURL, o.InsecureHTTP)
	if err != nil {
		return nil, err
	}
	return &Source{url: u, o: o, busy: make(chan struct{}, 1)}, nil
}

// Keys returns the keys with this kid, all keys for "", and none if the set has
// no such key. For an unknown kid the set is fetched again, once per Cooldown.
// If the issuer cannot be reached, a fresh document decides that a kid is unknown. A
// stale one cannot decide that: the error is ErrUnavailable. Errors: *UnusableError.
func (s *Source) Keys(ctx context.Context, kid string) ([]jwk.PublicKey, error) {
	c, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	if keys, err := find(c.doc.Set.Keys, nil, kid); len(keys) > 0 {
		return keys, err
	}
	c, err = s.renew(ctx, true, func(c cache, now time.Time) bool {
		return !now.Before(c.forcedAt.Add(s.o.Cooldown)) && !now.Before(c.retryAt)
	})
	if err != nil {
		return nil, err
	}
	keys, err := find(c.doc.Set.Keys, c.doc.Problems, kid)
	if len(keys) == 0 && err == nil && c.err != nil && !s.o.Now().Before(c.doc.FreshUntil) {
		return nil, c.err
	}
	return keys, err
}

// Document returns the set that Keys uses, and fetches it if necessary. The caller may
// keep and change it. Errors: ErrUnavailable.
func (s *Source) Document(ctx context.Context) (Document, error) {
	c, err := s.current(ctx)
	if err != nil {
		return Document{}, err
	}
	return c.doc.clone(), nil
}

// current returns a cache whose document may be used now.
func (s *Source) current(ctx context.Context) (cache, error) {
	c, err := s.renew(ctx, false, func(c cache, now time.Time) bool {
		return !now.Before(c.doc.FreshUntil) && !now.Before(c.retryAt)
	})
	if err != nil {
		return cache{}, err
	}
	if c.err != nil && !s.o.Now().Before(c.doc.StaleUntil) {
		return cache{}, c.err
	}
	return c, nil
}

// renew fetches if due returns true, and again true when no other request is running.
// Requests run one at a time, so that each sees the result of the one before, and an
// older response never replaces a newer one. A request goes on if its caller gives up,
// because other callers may wait for its result.
func (s *Source) renew(ctx context.Context, force bool, due func(cache, time.Time) bool) (cache, error) {
	if c := s.snapshot(); !due(c, s.o.Now()) {
		return c, nil
	}
	select {
	case s.busy <- struct{}{}:
	case <-ctx.Done():
		return cache{}, gaveUp(ctx, s.url)
	}
	if c := s.snapshot(); !due(c, s.o.Now()) {
		<-s.busy
		return c, nil
	}
	done := make(chan cache, 1)
	go func() {
		defer func() { <-s.busy }()
		done <- s.fetch(context.WithoutCancel(ctx), force)
	}()
	select {
	case c := <-done:
		return c, nil
	case <-ctx.Done():
		return cache{}, gaveUp(ctx, s.url)
	}
}

func (s *Source) snapshot() cache {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cache
}

// fetch sends one request and stores its result. The caller must have filled busy.
func (s *Source) fetch(ctx context.Context, force bool) cache {
	c := s.snapshot()
	if force {
		// A failed request counts too. Otherwise there is no limit during an outage.
		c.forcedAt = s.o.Now()
	}
	doc, err := s.o.fetch(ctx, s.url, c.doc, force)
	if err == nil && len(doc.Set.Keys) == 0 && (len(doc.Problems) == 0 || len(c.doc.Set.Keys) > 0) {
		// A set without keys is a mistake of the issuer. The last good document counts.
		err = unavailable(s.url, errors.New("the set has no usable key"))
	}
	if c.err = err; err == nil {
		c.doc, c.failures = doc, 0
	} else if !force { // a failed refetch for an unknown kid must not delay the renewal of a stale document
		c.retryAt = s.o.Now().Add(min(minBackoff<<min(c.failures, 10), maxBackoff))
		c.failures++
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cache = c
	return c
}
