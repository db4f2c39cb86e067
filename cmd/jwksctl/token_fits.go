package main

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"github.com/jwksctl/jwksctl/pkg/fault"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// fits holds what token was asked for against a policy before anything is done for it.
// What only shows when the token is made is tried with a key that such a policy has.
func (a *app) fits(o tokenOptions, r token.Request, attacker attackerKey, p keys.Policy, key func() (jwk.PrivateKey, error)) error {
	at := a.now()
	if o.expired { // it is signed at a time that lies back: see keys.Ring.Specimen
		at = at.Add(-time.Hour - cmp.Or(r.TTL, p.TokenTTL))
	}
	if err := r.Check(at, p.TokenTTL); err != nil {
		return err
	}
	if o.fault.name == "" && !heavy(r) {
		return nil
	}
	k, err := key()
	if err != nil {
		return nil // whoever needs the key will say so
	}
	r.Issuer = cmp.Or(r.Issuer, p.Issuer)
	s := rehearsal{k, at, at.Add(p.TokenTTL)}
	if o.fault.name != "" {
		_, _, err = o.fault.make(fault.Input{Key: s.key, Now: s.now, Latest: s.latest, Request: r}, attacker)
		return err
	}
	_, err = token.Mint(context.Background(), s, r)
	return err
}

// heavy tells whether a token of the request could be too large at all: base64 makes
// four bytes of three.
func heavy(r token.Request) bool {
	data, err := json.Marshal(r)
	return err != nil || len(data) > token.DefaultMaxSize/2
}

// rehearsal is a token.Signer that is asked by nobody else.
type rehearsal struct {
	key         jwk.PrivateKey
	now, latest time.Time
}

// SigningKey satisfies token.Signer.
func (s rehearsal) SigningKey(context.Context) (key jwk.PrivateKey, now, latest time.Time, err error) {
	return s.key, s.now, s.latest, nil
}
