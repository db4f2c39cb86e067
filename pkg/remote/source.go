package remote

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// Source is the JWK Set at one URL, cached. It satisfies token.KeySource, is
// safe for concurrent use, runs nothing in the background between calls, and
// need not be closed.
type Source struct {
	url    *url.URL
	o      Options
	flight chan struct{} // holds one element while a request is under way

	mu    sync.Mutex
	cache cache
}

// cache is all that a Source remembers. It is copied, never shared.
type cache struct {
	doc      Document // the last good one; its StaleUntil is zero before the first
	forcedAt time.Time

	err      error // of the last try; nil after a good one
	failures int   // in a row
	retryAt  time.Time
}

// New returns the source at jwksURL. Nothing is asked before the first key is.
// Errors: ErrAddress.
func New(jwksURL string, o Options) (*Source, error) {
	o = o.complete()
	u, err := parseAddress(jwksURL, o.InsecureHTTP)
	if err != nil {
		return nil, err
	}
	return &Source{url: u, o: o, flight: make(chan struct{}, 1)}, nil
}

// Keys returns the keys with this kid, all keys for "", and none if the set has
// no such key. For an unknown kid the set is fetched again, once per Cooldown.
// While the issuer cannot be reached, a document that is still fresh may deny a
// kid, one that has gone stale may not: that is ErrUnavailable.
func (s *Source) Keys(ctx context.Context, kid string) ([]jwk.PublicKey, error) {
	c, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	keys := find(c.doc.Set.Keys, kid)
	if len(keys) > 0 {
		return keys, nil
	}
	c, err = s.renew(ctx, true, func(c cache, now time.Time) bool {
		return !now.Before(c.forcedAt.Add(s.o.Cooldown)) && !now.Before(c.retryAt)
	})
	if err != nil {
		return nil, err
	}
	keys = find(c.doc.Set.Keys, kid)
	if len(keys) == 0 && c.err != nil && !s.o.Now().Before(c.doc.FreshUntil) {
		return nil, c.err
	}
	return keys, nil
}

// Document returns the set as Keys would use it, fetched if need be. The caller
// may keep and change it. Errors: ErrUnavailable.
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

// renew fetches if due says so, and still says so once it is our turn: requests
// go one at a time, so that each sees what the one before it brought, and an
// answer never overtakes a newer one. The request is not the caller's: it ends
// in its own time, for whoever waits next.
func (s *Source) renew(ctx context.Context, force bool, due func(cache, time.Time) bool) (cache, error) {
	if c := s.snapshot(); !due(c, s.o.Now()) {
		return c, nil
	}
	select {
	case s.flight <- struct{}{}:
	case <-ctx.Done():
		return cache{}, gaveUp(ctx, s.url)
	}
	if c := s.snapshot(); !due(c, s.o.Now()) {
		<-s.flight
		return c, nil
	}
	done := make(chan cache, 1)
	go func() {
		defer func() { <-s.flight }()
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

// fetch makes one try and writes down how it went. Only the holder of the
// flight calls it.
func (s *Source) fetch(ctx context.Context, force bool) cache {
	c := s.snapshot()
	if force {
		// A try that fails counts too, or an outage would lift the limit.
		c.forcedAt = s.o.Now()
	}
	doc, err := s.o.fetch(ctx, s.url, c.doc, force)
	if err == nil && len(doc.Set.Keys) == 0 {
		err = unavailable(s.url, errors.New("the set holds no usable key"))
	}
	if c.err = err; err == nil {
		c.doc, c.failures = doc, 0
	} else if !force { // what a kid that nobody knows costs must not keep a stale document from being renewed
		c.retryAt = s.o.Now().Add(min(minBackoff<<min(c.failures, 10), maxBackoff))
		c.failures++
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cache = c
	return c
}
