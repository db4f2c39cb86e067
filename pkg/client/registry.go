package client

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/remote"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// Options are what a Registry needs besides the list. Issuer is required.
type Options struct {
	Issuer        func() string // the current issuer: an audience of assertions
	TokenEndpoint func() string // its URL, another audience of assertions; nil if there is none

	Remote remote.Options   // how to fetch keys
	Leeway time.Duration    // how far the clocks of clients and platforms may differ; 0 is 10s
	Now    func() time.Time // nil is time.Now
}

// maxAge is the longest age of an assertion that a client signed.
const maxAge = 60 * time.Second

// Registry is the list of clients in use. It is safe for concurrent use.
type Registry struct {
	o      Options
	decoys decoys
	used   replayMemory
	list   atomic.Pointer[list]

	mu      sync.Mutex // held by Set
	sources map[string]token.KeySource
}

// list is one list of clients. It is not changed.
type list struct {
	revision uint64
	clients  []Client
	byID     map[string]*member
	byIssuer map[string][]*platform
}

// member is a client and, if it signs its assertions, where its keys are.
type member struct {
	*Client
	keys      token.KeySource
	platforms []*platform
}

// platform is a trust entry of a client, and where the keys of its issuer are.
type platform struct {
	client *Client
	trust  *Trust
	keys   token.KeySource
}

// New returns a registry without clients.
func New(o Options) *Registry {
	if o.Leeway <= 0 {
		o.Leeway = 10 * time.Second
	}
	o.Leeway = min(o.Leeway, token.MaxLeeway)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Remote.Now == nil {
		o.Remote.Now = o.Now
	}
	r := &Registry{o: o, decoys: newDecoys(), sources: map[string]token.KeySource{}}
	// An assertion may come from a clock that is leeway ahead, and is accepted until it is
	// leeway too old.
	r.used.keep = maxAge + 2*o.Leeway + time.Second
	r.list.Store(&list{})
	return r
}

// Set replaces the list. If it returns an error, which joins all problems, the list stays.
// Keys that were fetched for an issuer or address that both lists have are kept, and so is
// the memory of assertions that were used.
func (r *Registry) Set(clients []Client) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := &list{
		revision: r.list.Load().revision + 1,
		clients:  slices.Clone(clients),
		byID:     map[string]*member{},
		byIssuer: map[string][]*platform{},
	}
	sources := map[string]token.KeySource{}
	problems := conflicts(clients)
	for i := range next.clients {
		c := &next.clients[i]
		m, err := r.member(c, sources)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", place(i, c.ID), err))
			continue
		}
		next.byID[c.ID] = m
		for _, p := range m.platforms {
			next.byIssuer[p.trust.Issuer] = append(next.byIssuer[p.trust.Issuer], p)
		}
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	r.sources = sources
	r.list.Store(next)
	return nil
}

// member checks a client against this server and finds the sources of its keys. It adds
// them to sources.
func (r *Registry) member(c *Client, sources map[string]token.KeySource) (*member, error) {
	ways := 0
	for _, has := range []bool{len(c.Trust) > 0, c.JWKS != nil, c.JWKSURI != "", len(c.SecretSHA256) > 0} {
		if has {
			ways++
		}
	}
	switch {
	case c.ID == "" || len(c.Audiences) == 0:
		return nil, errors.New("it has no id or no audience")
	case ways != 1:
		return nil, errors.New("it needs exactly one of trust, jwks, jwks_uri and secret_sha256")
	case c.hasKeys() && c.ID == r.o.Issuer():
		return nil, errors.New("id: it is the issuer of this server, so that each token could be an assertion: choose another")
	}
	m := &member{Client: c}
	var err error
	if c.hasKeys() {
		if m.keys, err = r.source(sources, c.JWKS, c.JWKSURI, ""); err != nil {
			return nil, fmt.Errorf("jwks_uri: %w", err)
		}
	}
	for i := range c.Trust {
		t := &c.Trust[i]
		if t.Issuer == r.o.Issuer() {
			return nil, fmt.Errorf("trust %d: issuer: %s is the issuer of this server, so that each token could be an assertion for the next one: remove the entry", i+1, t.Issuer)
		}
		keys, err := r.source(sources, t.JWKS, t.JWKSURI, t.Issuer)
		if err != nil {
			return nil, fmt.Errorf("trust %d: %w", i+1, err)
		}
		m.platforms = append(m.platforms, &platform{c, t, keys})
	}
	return m, nil
}

// source returns the source for these keys: the same as before, if there was one.
func (r *Registry) source(sources map[string]token.KeySource, set *jwk.Set, address, issuer string) (token.KeySource, error) {
	if set != nil {
		return newSource(set, "", "", r.o.Remote)
	}
	name := "address " + address
	if address == "" {
		name = "issuer " + issuer
	}
	for _, known := range []map[string]token.KeySource{sources, r.sources} {
		if s, ok := known[name]; ok {
			sources[name] = s
			return s, nil
		}
	}
	s, err := newSource(nil, address, issuer, r.o.Remote)
	if err != nil {
		return nil, err
	}
	sources[name] = s
	return s, nil
}

// Clients returns the list in its order. Nobody may change what the clients refer to.
func (r *Registry) Clients() []Client { return slices.Clone(r.list.Load().clients) }

// Revision returns a number that grows with each Set that replaces the list.
func (r *Registry) Revision() uint64 { return r.list.Load().revision }

// AuthMethods returns the methods by which some client can authenticate, as
// token_endpoint_auth_methods_supported names them (RFC 8414, section 2). The token of a
// platform is an assertion as that of private_key_jwt is.
func (r *Registry) AuthMethods() []string {
	var methods []string
	clients := r.list.Load().clients
	if slices.ContainsFunc(clients, func(c Client) bool { return len(c.SecretSHA256) > 0 }) {
		methods = append(methods, string(SecretBasic), string(SecretPost))
	}
	if slices.ContainsFunc(clients, usesAssertions) {
		methods = append(methods, string(PrivateKeyJWT))
	}
	return methods
}

func usesAssertions(c Client) bool { return c.hasKeys() || len(c.Trust) > 0 }
