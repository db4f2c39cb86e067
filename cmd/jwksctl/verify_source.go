package main

import (
	"bytes"
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

	Type         string            `json:"type"` // store, jwks, key or issuer
	From         string            `json:"from"` // its URL, file or issuer; no secret
	alternatives []token.KeySource // tried in turn if the token is not signed by a key of KeySource

	issuer string                  // the issuer whose keys these are, if the source says so
	leeway time.Duration           // the clock difference to allow unless a flag says otherwise
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
	if err := o.network.checkHeaders(o.jwks); err != nil {
		return keySource{}, err
	}
	var source keySource
	switch {
	case o.key != "":
		source, err = a.keyFile(o.key, o.quiet)
	case isURL(o.jwks):
		source, err = a.jwksURL(o.jwks, network)
	case o.jwks != "":
		source, err = a.jwksFile(o.jwks)
	case o.discover != "":
		source, err = a.issuerKeys(ctx, o.discover, network)
	default:
		return a.storeKeys(ctx, cfg)
	}
	source.leeway = otherLeeway
	return source, err
}

// otherLeeway is the clock difference to allow for tokens of other issuers.
const otherLeeway = 30 * time.Second

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

// oneKey is a key of --key. A key without a kid, such as one from PEM, is used for
// every kid.
type oneKey struct{ jwk.PublicKey }

func (k oneKey) Keys(_ context.Context, kid string) ([]jwk.PublicKey, error) {
	if keyID := k.KeyID(); kid == "" || keyID == "" || keyID == kid {
		return []jwk.PublicKey{k.PublicKey}, nil
	}
	return nil, nil
}

// keyFile is the source of --key. PEM with several keys names no kid, so the token may be
// signed by any of them: the source gives the first and has the others as alternatives.
func (a *app) keyFile(name string, quiet bool) (keySource, error) {
	data, err := a.read(strings.TrimPrefix(name, "@"))
	if err != nil {
		return keySource{}, badUsage("--key: %v", err)
	}
	source := keySource{Type: "key", From: name}
	all, err := jwk.ParseAll(data)
	if errors.Is(err, jwk.ErrKind) {
		return keySource{}, badUsage("--key: %s: %v; use --jwks for a JWK Set", name, err)
	}
	if err != nil {
		source.KeySource = failing(fmt.Errorf("%s: %v", name, err))
		return source, nil
	}
	if isJWK := bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")); !isJWK && !quiet && bytes.Contains(data, []byte("-----BEGIN CERTIFICATE-----")) {
		a.printMessage("%s is a certificate: only its key is used, and its chain, dates and names are not checked", name)
	}
	source.KeySource = oneKey{all[0]}
	for _, key := range all[1:] {
		source.alternatives = append(source.alternatives, oneKey{key})
	}
	return source, nil
}

func (a *app) jwksFile(name string) (keySource, error) {
	data, err := a.read(strings.TrimPrefix(name, "@"))
	if err != nil {
		return keySource{}, badUsage("--jwks: %v", err)
	}
	source := keySource{Type: "jwks", From: name}
	set, problems, err := jwk.ParseSet(data)
	switch {
	case errors.Is(err, jwk.ErrKind):
		return keySource{}, badUsage("--jwks: %s: %v; use --key for one key", name, err)
	case err != nil:
		source.KeySource = failing(fmt.Errorf("%s: %v", name, err))
	default:
		source.KeySource = remote.Static{Set: set, Problems: problems}
	}
	return source, nil
}

// failing is a source of no keys: a token that needs one has no verdict.
func failing(err error) token.KeySource {
	return lazily(func() (token.KeySource, error) { return nil, err })
}

func (a *app) jwksURL(address string, network remote.Options) (keySource, error) {
	source, err := remote.New(address, network)
	return keySource{Type: "jwks", From: withoutQuery(address), KeySource: source}, err
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
		if other, ok := errors.AsType[*remote.IssuerError](err); ok {
			hint := ""
			switch {
			case printable(other.Metadata.JWKSURL+other.Metadata.Issuer) != other.Metadata.JWKSURL+other.Metadata.Issuer:
				return nil, badUsage("--discover: %v", other) // the text could change what a terminal shows
			case strings.Contains(other.Metadata.Issuer, "{"):
				hint = ", with a value in place of the braces"
			}
			return nil, badUsage("--discover: %v; if you trust that issuer, use --jwks %s --iss %s%s",
				other, shellQuote(other.Metadata.JWKSURL), shellQuote(other.Metadata.Issuer), hint)
		}
		if err != nil {
			return nil, err
		}
		source, err := remote.New(found.JWKSURL, network)
		if err != nil {
			return nil, err
		}
		return source, nil
	})}, nil
}

// shellQuote writes text as one word of a POSIX shell.
func shellQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

func (a *app) storeKeys(ctx context.Context, cfg settings) (keySource, error) {
	from := config.Masked(cfg.places.store)
	local := &localKeys{now: a.now, read: func() (keys.Keyset, error) { return readKeyset(ctx, cfg) }}
	if err := local.refresh(); err != nil {
		if _, usage := errors.AsType[usageError](err); usage {
			return keySource{}, err
		}
		return keySource{KeySource: failing(err), Type: "store", From: from}, nil
	}
	return keySource{KeySource: local, Type: "store", From: from, issuer: local.issuer, leeway: local.leeway, state: local.State}, nil
}

// localKeys finds keys in the local keyset. It reads the keyset again once a
// second, so that a batch of any length sees rotations and revocations.
type localKeys struct {
	read   func() (keys.Keyset, error)
	now    func() time.Time
	issuer string        // as recorded when it was first read
	leeway time.Duration // as recorded when it was first read

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
	l.issuer, l.leeway = cmp.Or(l.issuer, ks.Policy.Issuer), cmp.Or(l.leeway, ks.Policy.Leeway)
	for _, k := range ks.Sorted(now) {
		found, err := ks.Find(k.KeyID(), now)
		l.known[k.KeyID()] = localKey{k.State(now), found, err}
	}
	return nil
}
