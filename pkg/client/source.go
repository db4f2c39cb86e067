package client

import (
	"context"
	"fmt"
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

	busy chan struct{} // has one element while the fields below are in use
	keys *remote.Source
	url  string // of keys
	next time.Time
	err  error // of the last attempt
}

func newIssuerSource(issuer string, o remote.Options) *issuerSource {
	s := &issuerSource{issuer: issuer, o: o, now: o.Now, busy: make(chan struct{}, 1)}
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

// source returns the source at the address that the metadata names. If new metadata cannot
// be fetched, the last address stays in use.
func (s *issuerSource) source(ctx context.Context) (*remote.Source, error) {
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	case <-ctx.Done():
		return nil, fmt.Errorf("metadata of %s: %w", s.issuer, context.Cause(ctx))
	}
	if !s.now().Before(s.next) {
		// Other requests wait for the result, so the end of this one must not stop it.
		s.err = s.discover(context.WithoutCancel(ctx))
		s.next = s.now().Add(rediscovery)
		if s.err != nil {
			s.next = s.now().Add(discoveryPause)
		}
	}
	if s.keys == nil {
		return nil, s.err
	}
	return s.keys, nil
}

func (s *issuerSource) discover(ctx context.Context) error {
	metadata, err := remote.Discover(ctx, s.issuer, s.o)
	if err != nil {
		return fmt.Errorf("metadata of %s: %w", s.issuer, err)
	}
	if metadata.JWKSURL == s.url {
		return nil
	}
	keys, err := remote.New(metadata.JWKSURL, s.o)
	if err != nil {
		return fmt.Errorf("metadata of %s: jwks_uri: %w", s.issuer, err)
	}
	s.keys, s.url = keys, metadata.JWKSURL
	return nil
}
