package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/remote"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// keySource is where verify gets its keys.
type keySource struct {
	token.KeySource `json:"-"`

	Type   string                  `json:"type"` // store, jwks, key or issuer
	From   string                  `json:"from"` // its URL, file or issuer; no secret
	issuer string                  // the issuer whose keys these are, if the source says so
	state  func(string) keys.State // of a kid, "" if unknown; nil unless the source is a store
}

// keySource returns the source that the flags name. A wrong flag is an error now. That
// the keys cannot be obtained is an error only when a token needs one, so that a
// malformed token gets its verdict in any case.
func (a *app) keySource(ctx context.Context, o verifyOptions, cfg settings) (keySource, error) {
	network, err := o.network.options()
	if err != nil {
		return keySource{}, err
	}
	switch {
	case o.key != "":
		return a.keyFile(o.key)
	case isURL(o.jwks):
		return a.jwksURL(ctx, o.jwks, network)
	case o.jwks != "":
		return a.jwksFile(o.jwks)
	case o.discover != "":
		return a.issuerKeys(ctx, o.discover, network)
	default:
		return a.storeKeys(ctx, cfg)
	}
}

// lazyKeys opens its source once, when the first key is needed.
type lazyKeys func() (token.KeySource, error)

func lazily(open func() (token.KeySource, error)) lazyKeys { return sync.OnceValues(open) }

func (l lazyKeys) Keys(ctx context.Context, kid string) ([]jwk.PublicKey, error) {
	source, err := l()
	if err != nil {
		return nil, err
	}
	return source.Keys(ctx, kid)
}

// printProblems lists the first of the keys in a JWK Set that cannot be used, and counts
// the rest.
func (a *app) printProblems(problems []jwk.Problem) {
	const most = 10
	for _, p := range problems[:min(most, len(problems))] {
		a.printMessage("jwksctl: JWK Set: %s", p)
	}
	if more := len(problems) - most; more > 0 {
		a.printMessage("jwksctl: JWK Set: %d more cannot be used; 'jwksctl jwks lint' lists them", more)
	}
}

// oneKey is the key of --key. A key without a kid, such as one from PEM, is used for
// every kid.
type oneKey struct{ jwk.PublicKey }

func (k oneKey) Keys(_ context.Context, kid string) ([]jwk.PublicKey, error) {
	if keyID := k.KeyID(); kid == "" || keyID == "" || keyID == kid {
		return []jwk.PublicKey{k.PublicKey}, nil
	}
	return nil, nil
}

func (a *app) keyFile(name string) (keySource, error) {
	data, err := a.read(strings.TrimPrefix(name, "@"))
	if err != nil {
		return keySource{}, badUsage("--key: %v", err)
	}
	return keySource{Type: "key", From: name, KeySource: lazily(func() (token.KeySource, error) {
		key, err := jwk.Parse(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %v", name, err)
		}
		return oneKey{key}, nil
	})}, nil
}

func (a *app) jwksFile(name string) (keySource, error) {
	data, err := a.read(strings.TrimPrefix(name, "@"))
	if err != nil {
		return keySource{}, badUsage("--jwks: %v", err)
	}
	return keySource{Type: "jwks", From: name, KeySource: lazily(func() (token.KeySource, error) {
		set, problems, err := jwk.ParseSet(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %v", name, err)
		}
		a.printProblems(problems)
		if len(set.Keys)+len(problems) == 0 { // as from a URL: nothing was said about any key, so this is no verdict
			return nil, fmt.Errorf("%s: the set has no usable key", name)
		}
		return remote.Static(set.Keys), nil
	})}, nil
}

func (a *app) jwksURL(ctx context.Context, address string, network remote.Options) (keySource, error) {
	source, err := remote.New(address, network)
	if err != nil {
		return keySource{}, err
	}
	return keySource{Type: "jwks", From: withoutQuery(address), KeySource: lazily(func() (token.KeySource, error) {
		return a.fetchOnce(ctx, source)
	})}, nil
}

// fetchOnce fetches the set in order to list the keys that cannot be used.
func (a *app) fetchOnce(ctx context.Context, source *remote.Source) (token.KeySource, error) {
	doc, err := source.Document(ctx)
	if err != nil {
		return nil, err
	}
	a.printProblems(doc.Problems)
	return source, nil
}

// withoutQuery removes the parts of a URL that may have credentials.
func withoutQuery(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	u.RawQuery, u.Fragment, u.User = "", "", nil
	return u.String()
}

func (a *app) issuerKeys(ctx context.Context, issuer string, network remote.Options) (keySource, error) {
	if _, err := remote.New(issuer, network); err != nil { // a refused address is a usage error for every token
		return keySource{}, err
	}
	return keySource{Type: "issuer", From: withoutQuery(issuer), issuer: issuer, KeySource: lazily(func() (token.KeySource, error) {
		found, err := remote.Discover(ctx, issuer, network)
		if err != nil {
			return nil, err
		}
		source, err := remote.New(found.JWKSURL, network)
		if err != nil {
			return nil, err
		}
		return a.fetchOnce(ctx, source)
	})}, nil
}

func (a *app) storeKeys(ctx context.Context, cfg settings) (keySource, error) {
	from := config.Masked(cfg.places.store)
	local := &localKeys{now: a.now, read: func() (keys.Keyset, error) { return readKeyset(ctx, cfg) }}
	if err := local.refresh(); err != nil {
		if _, usage := errors.AsType[usageError](err); usage {
			return keySource{}, err
		}
		failed := lazily(func() (token.KeySource, error) { return nil, err })
		return keySource{KeySource: failed, Type: "store", From: from}, nil
	}
	return keySource{KeySource: local, Type: "store", From: from, issuer: local.issuer, state: local.State}, nil
}

// localKeys finds keys in the local keyset. It reads the keyset again once a
// second, so that a batch of any length sees rotations and revocations.
type localKeys struct {
	read   func() (keys.Keyset, error)
	now    func() time.Time
	issuer string // as recorded when it was first read

	mu    sync.Mutex
	at    time.Time
	known map[string]localKey // by kid
	all   []jwk.PublicKey     // the JWK Set
}

type localKey struct {
	state keys.State
	found []jwk.PublicKey
	err   error
}

// Keys satisfies token.KeySource.
func (l *localKeys) Keys(_ context.Context, kid string) ([]jwk.PublicKey, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now().Sub(l.at) >= time.Second {
		if err := l.refresh(); err != nil {
			return nil, err
		}
	}
	if kid == "" {
		return l.all, nil
	}
	key := l.known[kid]
	return key.found, key.err
}

// State is the state of the key, "" if the keyset does not know it.
func (l *localKeys) State(kid string) keys.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known[kid].state
}

func (l *localKeys) refresh() error {
	ks, err := l.read()
	if err != nil {
		return err
	}
	now := l.now()
	l.at, l.all, l.known = now, ks.Public(now), map[string]localKey{}
	l.issuer = cmp.Or(l.issuer, ks.Policy.Issuer)
	for _, k := range ks.Sorted(now) {
		found, err := ks.Find(k.KeyID(), now)
		l.known[k.KeyID()] = localKey{k.State(now), found, err}
	}
	return nil
}
