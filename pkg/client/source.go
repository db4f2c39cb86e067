package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/remote"
	"github.com/jwksctl/jwksctl/pkg/token"
)

const (
	// rediscovery is how long the metadata of an issuer is used. It limits how long the keys
	// are looked for at an old address.
	rediscovery = 10 * time.Minute

	// discoveryPause is the time between two attempts to fetch metadata, if they fail.
	discoveryPause = 5 * time.Second
)

// newSource returns the source of an issuer's or a client's keys: the given set, the one at
// an address, or the one that the metadata of the issuer names.
func newSource(set *jwk.Set, address, issuer string, o remote.Options) (token.KeySource, error) {
	switch {
	case set != nil:
		return remote.Static{Set: *set}, nil
	case address != "":
		return remote.New(address, o)
	}
	if _, err := remote.New(issuer, o); err != nil { // it checks the address and fetches nothing
		return nil, err
	}
	return newIssuerSource(issuer, o), nil
}

// issuerSource finds the keys of an issuer through its metadata, which it fetches when the
// first key is needed and again from time to time.
type issuerSource struct {
	issuer string
	o      remote.Options
	now    func() time.Time

	mu      sync.Mutex
	keys    *remote.Source
	url     string // of keys
	err     error  // of the last attempt to fetch the metadata
	next    time.Time
	fetched chan struct{} // closed when the attempt that is running ends; nil if none is
}

func newIssuerSource(issuer string, o remote.Options) *issuerSource {
	s := &issuerSource{issuer: issuer, o: o, now: o.Now}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// Keys returns the keys with this kid, as token.KeySource describes.
func (s *issuerSource) Keys(ctx context.Context, kid string) ([]jwk.PublicKey, error) {
	keys, err := s.source(ctx)
	if err != nil {
		return nil, err
	}
	return keys.Keys(ctx, kid)
}

// source returns the source at the address that the metadata names. While metadata is
// fetched again, nothing waits for it: the last address stays in use and, if there is none,
// only the request that began to fetch waits.
func (s *issuerSource) source(ctx context.Context) (*remote.Source, error) {
	s.mu.Lock()
	begins := s.fetched == nil && !s.now().Before(s.next)
	if begins {
		s.fetched = make(chan struct{})
		// Other requests need the result, so the end of this one must not stop it.
		go s.fetch(context.WithoutCancel(ctx), s.fetched)
	}
	keys, err, fetched := s.keys, s.err, s.fetched
	s.mu.Unlock()
	switch {
	case keys != nil:
		return keys, nil
	case fetched == nil, err != nil && !begins:
		return nil, err
	}
	select {
	case <-fetched:
	case <-ctx.Done():
		return nil, fmt.Errorf("metadata of %s: %w", s.issuer, context.Cause(ctx))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		return nil, s.err
	}
	return s.keys, nil
}

// fetch fetches the metadata and closes fetched.
func (s *issuerSource) fetch(ctx context.Context, fetched chan struct{}) {
	metadata, err := remote.Discover(ctx, s.issuer, s.o)
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(fetched)
	s.fetched = nil
	s.next = s.now().Add(rediscovery)
	if err == nil && metadata.JWKSURL != s.url {
		var keys *remote.Source
		if keys, err = remote.New(metadata.JWKSURL, s.o); err == nil {
			s.keys, s.url = keys, metadata.JWKSURL
		}
	}
	if s.err = err; err != nil {
		s.err = fmt.Errorf("metadata of %s: %w", s.issuer, err)
		s.next = s.now().Add(discoveryPause)
	}
}
