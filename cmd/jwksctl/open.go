package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/seal"
	"github.com/jwksctl/jwksctl/pkg/store"
)

// openStore opens the store. If it is a file that does not exist, the file is made.
func openStore(ctx context.Context, p places) (keys.Store, error) {
	return openStoreWith(ctx, p, store.Open)
}

type storeOpener = func(ctx context.Context, url string) (keys.Store, error)

// openTimeout is how long a command waits until its store is open. A ring limits the calls
// that follow.
const openTimeout = 10 * time.Second

func openStoreWith(ctx context.Context, p places, open storeOpener) (keys.Store, error) {
	if p.err != nil {
		return nil, p.err
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	s, err := open(ctx, p.store)
	if errors.Is(err, store.ErrURL) {
		return nil, usageError{err}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", keys.ErrUnavailable, keys.ExplainTimeout(err))
	}
	return s, nil
}

// openExistingStore opens the store for a command that never creates a keyset. It
// makes no file.
func openExistingStore(ctx context.Context, p places) (keys.Store, error) {
	return openExistingStoreWith(ctx, p, store.Open)
}

// openStoreToRead opens the store for a command that changes nothing. The store may be
// read-only.
func openStoreToRead(ctx context.Context, p places) (keys.Store, error) {
	return openExistingStoreWith(ctx, p, store.OpenReader)
}

func openExistingStoreWith(ctx context.Context, p places, open storeOpener) (keys.Store, error) {
	if p.err == nil && p.storeIsMissing() {
		return nil, noKeyset(p)
	}
	return openStoreWith(ctx, p, open)
}

// noKeyset says that the store has no keyset, and what to do.
func noKeyset(p places) error {
	if lost := p.lostKeyset(); lost != "" {
		return fmt.Errorf("%w (%s), but %s: restore the store from a backup, "+
			"or, if that keyset is no longer needed, create one with 'jwksctl serve --new-keyset' or 'jwksctl token --new-keyset'",
			keys.ErrNoKeyset, config.Masked(p.store), lost)
	}
	return fmt.Errorf("%w (%s): 'jwksctl serve' or 'jwksctl token' makes one", keys.ErrNoKeyset, config.Masked(p.store))
}

// readKeyset reads the keyset. It opens no private key and needs no sealing key.
func readKeyset(ctx context.Context, c settings) (keys.Keyset, error) {
	s, err := openStoreToRead(ctx, c.places)
	if err != nil {
		return keys.Keyset{}, err
	}
	defer func() { _ = s.Close() }() // nothing was written
	return readKeysetIn(ctx, c, s)
}

// readKeysetIn is readKeyset for a store that is open.
func readKeysetIn(ctx context.Context, c settings, s keys.Store) (keys.Keyset, error) {
	ks, err := keys.Read(ctx, keys.Options{Store: s, Witness: c.places.witness, Log: c.log})
	if errors.Is(err, keys.ErrNoKeyset) {
		return ks, noKeyset(c.places)
	}
	if err != nil {
		return ks, err
	}
	return ks, checkPolicySettings(c.Config, ks)
}

// openedRing is a ring and its store. Closing it closes the store.
type openedRing struct {
	*keys.Ring
	io.Closer
	sealer  keys.Sealer // nil if openReader opened it, or if this command created the keyset
	created bool        // the store was empty: this command created the keyset, or another process did at the same time
}

// openRing opens the keyset for a command that changes or signs, and never creates one.
func openRing(ctx context.Context, c settings) (openedRing, error) {
	return openRingWith(ctx, c, store.Open)
}

// openRingToRead opens the keyset for a command that needs the private keys and changes
// nothing.
func openRingToRead(ctx context.Context, c settings) (openedRing, error) {
	return openRingWith(ctx, c, store.OpenReader)
}

// openReader opens the keyset for a server that only publishes. It needs no sealing key,
// and the store may be read-only.
func openReader(ctx context.Context, c settings) (openedRing, error) {
	s, err := openStoreToRead(ctx, c.places)
	if err != nil {
		return openedRing{}, err
	}
	ring, err := keys.OpenReader(ctx, keys.Options{Store: s, Witness: c.places.witness, Log: c.log})
	if errors.Is(err, keys.ErrNoKeyset) {
		err = noKeyset(c.places)
	}
	if err == nil {
		err = checkPolicySettings(c.Config, ring.Keyset())
	}
	if err != nil {
		return openedRing{}, errors.Join(err, s.Close())
	}
	c.places.recordKeyset(ctx, c.log, ring.Keyset().ID)
	return openedRing{Ring: ring, Closer: s}, nil
}

func openRingWith(ctx context.Context, c settings, open storeOpener) (openedRing, error) {
	s, err := openExistingStoreWith(ctx, c.places, open)
	if err != nil {
		return openedRing{}, err
	}
	ring, err := openRingIn(ctx, c, s, func(keys.Options) (*keys.Ring, error) { return nil, noKeyset(c.places) })
	if err != nil {
		return openedRing{}, err
	}
	if err := checkPolicySettings(c.Config, ring.Keyset()); err != nil {
		return openedRing{}, errors.Join(err, ring.Close())
	}
	return ring, nil
}

// newKeyset is what a command asks of a keyset that it may have to create.
type newKeyset struct {
	issuer    string                  // if the settings name none; "" if they have to
	key       jwk.PrivateKey          // the key that signs first; the zero value is one that is generated
	otherKid  string                  // the kid that the file of the key has, if it is not kept
	check     func(keys.Policy) error // an error if the command cannot do its work under the policy
	confirmed bool                    // --new-keyset was given: create one even if an earlier keyset was lost
}

// openOrCreateRing opens the keyset, and creates it if there is none. What is wrong
// with the settings or the command's arguments is found before anything is created.
func openOrCreateRing(ctx context.Context, c settings, n newKeyset) (openedRing, error) {
	// The store is read after the witness: another process that creates the keyset
	// writes the witness last.
	lost := c.places.lostKeyset() != ""
	policy := sync.OnceValues(func() (keys.Policy, error) { // the check may generate a key
		if lost && !n.confirmed {
			return keys.Policy{}, &keys.Refusal{Guard: keys.GuardRestored, Text: noKeyset(c.places).Error()}
		}
		return n.policy(c.Config)
	})
	if c.places.err == nil && c.places.storeIsMissing() {
		if _, err := policy(); err != nil {
			return openedRing{}, err
		}
	}
	s, err := openStore(ctx, c.places)
	if err != nil {
		return openedRing{}, err
	}
	ring, err := openRingIn(ctx, c, s, func(o keys.Options) (*keys.Ring, error) {
		p, err := policy()
		if err != nil {
			return nil, err
		}
		if o.Sealer, err = openSealer(ctx, c, true); err != nil {
			return nil, err
		}
		if n.otherKid != "" {
			c.log.WarnContext(ctx, "the kid of the imported key is not kept; it is the key's thumbprint", "given", printable(n.otherKid), "kid", n.key.KeyID())
		}
		return keys.CreateWithKey(ctx, o, p, n.key)
	})
	if err != nil {
		return openedRing{}, err
	}
	if err := checkImported(n.key, ring.Keyset()); err != nil {
		return openedRing{}, errors.Join(err, ring.Close())
	}
	return ring, nil
}

// policy is the first policy of the keyset.
func (n newKeyset) policy(c config.Config) (keys.Policy, error) {
	given, err := policySettings(c)
	if err != nil {
		return keys.Policy{}, err
	}
	given.Issuer = cmp.Or(given.Issuer, n.issuer)
	if given.Issuer == "" {
		return keys.Policy{}, errNoIssuer(c)
	}
	if !n.key.IsZero() {
		given.Algorithm = cmp.Or(given.Algorithm, n.key.Algorithm())
	}
	p, err := keys.NewPolicy(given)
	if err != nil {
		return p, usageError{err}
	}
	return p, n.check(p)
}

// errNoIssuer is the error for settings from which no issuer follows.
func errNoIssuer(c config.Config) error {
	const advice = "so the URL that tokens have to name is not known: set --issuer to the one by which others reach the server"
	if _, unix := socketPath(c); unix {
		return badUsage("host %s is a Unix socket, %s", c.Host, advice)
	}
	c.Port = cmp.Or(c.Port, 8080)
	return badUsage("host %s is every address, %s, or to %s if all of them are on this machine", c.Host, advice, baseURL(c))
}

// openRingIn opens the keyset in an open store, which it closes if it fails. If the
// store is empty, the ring comes from ifEmpty.
func openRingIn(
	ctx context.Context, c settings, s keys.Store, ifEmpty func(keys.Options) (*keys.Ring, error),
) (_ openedRing, err error) {
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	o := keys.Options{Store: s, Witness: c.places.witness, Log: c.log, Generate: newKey, Changed: c.audit.keysetChanged}
	first, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	switch _, err := s.Load(first); {
	case errors.Is(err, keys.ErrNoKeyset):
		ring, err := ifEmpty(o)
		if err == nil {
			c.places.recordKeyset(ctx, c.log, ring.Keyset().ID)
		}
		return openedRing{Ring: ring, Closer: s, created: true}, err
	case err != nil:
		return openedRing{}, fmt.Errorf("%w: %w", keys.ErrUnavailable, keys.ExplainTimeout(err))
	}
	if o.Sealer, err = openSealer(ctx, c, false); err != nil {
		return openedRing{}, err
	}
	ring, err := keys.Open(ctx, o)
	if err == nil {
		c.places.recordKeyset(ctx, c.log, ring.Keyset().ID)
	}
	return openedRing{Ring: ring, Closer: s, sealer: o.Sealer}, err
}

// newKey generates a key whose kid can be an argument: one that begins with a dash
// would be taken for a flag.
func newKey(alg jwk.Algorithm, size int) (jwk.PrivateKey, error) {
	for {
		k, err := jwk.Generate(alg, size)
		if err != nil || !strings.HasPrefix(k.KeyID(), "-") {
			return k, err
		}
	}
}

// openSealer reads the sealing keys. It makes one only if the store is empty: keys in
// the store would be sealed under another one.
func openSealer(ctx context.Context, c settings, storeIsEmpty bool) (keys.Sealer, error) {
	open := seal.Open
	switch {
	case c.places.sealErr != nil:
		return nil, c.places.sealErr
	case c.places.sealKey.IsZero():
		return seal.NewKey()
	case storeIsEmpty:
		open = seal.Create
	}
	env := c.sealEnv
	env.Log = c.log
	s, err := open(ctx, c.places.sealKey, env)
	switch {
	case errors.Is(err, seal.ErrCommand):
		return nil, err
	case err != nil:
		return nil, usageError{err}
	}
	return s, nil
}
