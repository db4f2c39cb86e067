package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/seal"
	"github.com/jwksctl/jwksctl/pkg/store"
)

// openStore opens the store, and makes its file if there is none.
func openStore(ctx context.Context, c config.Config) (keys.Store, error) {
	url := storeURL(c)
	if url == "" {
		return nil, badUsage("there is no folder to keep keys in, HOME and XDG_STATE_HOME are empty: name a store with --store")
	}
	s, err := store.Open(ctx, url)
	if errors.Is(err, store.ErrURL) {
		return nil, usageError{err}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", keys.ErrUnavailable, err)
	}
	return s, nil
}

// openExisting opens the store for a command that makes no keyset. Where there
// is no store it creates nothing, not even the file.
func openExisting(ctx context.Context, c config.Config) (keys.Store, error) {
	if missing(c) {
		return nil, noKeyset(c)
	}
	return openStore(ctx, c)
}

// missing tells whether the store is a file that does not exist.
func missing(c config.Config) bool {
	path, ok := store.Path(storeURL(c))
	if !ok {
		return false
	}
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

func noKeyset(c config.Config) error {
	return fmt.Errorf("%w (%s): 'jwksctl serve' or 'jwksctl token' makes one", keys.ErrNoKeyset, config.Masked(storeURL(c)))
}

// readKeyset reads the keyset for a command that only looks.
func readKeyset(ctx context.Context, c config.Config) (keys.Keyset, error) {
	s, err := openExisting(ctx, c)
	if err != nil {
		return keys.Keyset{}, err
	}
	defer func() { _ = s.Close() }() // nothing was written
	ks, err := keys.Read(ctx, s, openWitness(c))
	if errors.Is(err, keys.ErrNoKeyset) {
		return ks, noKeyset(c)
	}
	if err != nil {
		return ks, err
	}
	return ks, agree(c, ks)
}

// opened is a ring with what must be closed after it.
type opened struct {
	*keys.Ring
	io.Closer
	founded bool // this command may have made the keyset
}

// openRing opens the keyset to act on it, for a command that makes none.
func openRing(ctx context.Context, c config.Config) (opened, error) {
	s, err := openExisting(ctx, c)
	if err != nil {
		return opened{}, err
	}
	ring, err := enter(ctx, c, s, nil, func(keys.Options) (*keys.Ring, error) { return nil, noKeyset(c) })
	if err != nil {
		return opened{}, err
	}
	if err := agree(c, ring.Keyset()); err != nil {
		return opened{}, errors.Join(err, ring.Close())
	}
	return ring, nil
}

// founding is what a command needs of a keyset that it may have to make.
type founding struct {
	issuer string                  // unless one was stated
	fits   func(keys.Policy) error // whether the command can do its work under the policy
}

// foundRing opens the keyset to act on it, and makes it where there is none. What
// is wrong with the request for one is found before anything is made.
func foundRing(ctx context.Context, c config.Config, log *slog.Logger, f founding) (opened, error) {
	policy := sync.OnceValues(func() (keys.Policy, error) { return f.policy(c) }) // it may make a key to try with
	if missing(c) {
		if _, err := policy(); err != nil {
			return opened{}, err
		}
	}
	s, err := openStore(ctx, c)
	if err != nil {
		return opened{}, err
	}
	return enter(ctx, c, s, log, func(o keys.Options) (*keys.Ring, error) {
		p, err := policy()
		if err != nil {
			return nil, err
		}
		if o.Sealer, err = openSealer(c, true); err != nil {
			return nil, err
		}
		return keys.Create(ctx, o, p)
	})
}

// policy is the first policy of a keyset, if it is one.
func (f founding) policy(c config.Config) (keys.Policy, error) {
	stated, err := policySettings(c)
	if err != nil {
		return keys.Policy{}, err
	}
	stated.Issuer = cmp.Or(stated.Issuer, f.issuer)
	p, err := keys.NewPolicy(stated)
	if err != nil {
		return p, usageError{err}
	}
	return p, f.fits(p)
}

// enter opens the keyset in a store. Where there is none, empty decides. The ring
// is closed with the store, which an error closes at once.
func enter(ctx context.Context, c config.Config, s keys.Store, log *slog.Logger, empty func(keys.Options) (*keys.Ring, error)) (_ opened, err error) {
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	o := keys.Options{Store: s, Witness: openWitness(c), Log: log, Generate: newKey}
	switch _, err := s.Load(ctx); {
	case errors.Is(err, keys.ErrNoKeyset):
		ring, err := empty(o)
		return opened{Ring: ring, Closer: s, founded: true}, err
	case err != nil:
		return opened{}, fmt.Errorf("%w: %w", keys.ErrUnavailable, err)
	}
	if o.Sealer, err = openSealer(c, false); err != nil {
		return opened{}, err
	}
	ring, err := keys.Open(ctx, o)
	return opened{Ring: ring, Closer: s}, err
}

// newKey makes a key whose kid can stand on a command line: one that begins with
// a dash would be taken for a flag.
func newKey(alg jwk.Algorithm, size int) (jwk.PrivateKey, error) {
	for {
		k, err := jwk.Generate(alg, size)
		if err != nil || !strings.HasPrefix(k.KeyID(), "-") {
			return k, err
		}
	}
}

// openSealer makes a sealing key only where there is nothing yet that another
// one may have sealed.
func openSealer(c config.Config, empty bool) (keys.Sealer, error) {
	if strings.HasPrefix(storeURL(c), "memory:") && c.SealKeyFile == "" {
		return seal.NewKey()
	}
	path := sealKeyPath(c)
	if empty {
		k, err := seal.Create(path)
		if err != nil {
			return nil, usageError{err}
		}
		return k, nil
	}
	k, err := seal.Load(path)
	if err != nil {
		return nil, usageError{err}
	}
	return k, nil
}
