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

// checkRequest checks a request for a token against a policy before anything is created
// for it. It mints a trial token where only minting shows whether it can be made.
func (a *app) checkRequest(o tokenOptions, r token.Request, attacker attackerKey, p keys.Policy, key func() (jwk.PrivateKey, error)) error {
	at := a.now()
	if o.expired { // it is signed at an earlier time: see keys.Ring.Specimen
		at = at.Add(-time.Hour - cmp.Or(r.TTL, p.TokenTTL))
	}
	if err := r.Check(at, p.TokenTTL); err != nil {
		return err
	}
	if o.fault.name == "" && !mayBeTooLarge(r) {
		return nil
	}
	k, err := key()
	if err != nil {
		return nil // the command reports it when it needs the key
	}
	r.Issuer = cmp.Or(r.Issuer, p.Issuer)
	s := trialSigner{k, at, at.Add(p.TokenTTL)}
	if o.fault.name != "" {
		_, _, err = o.fault.make(fault.Input{Key: s.key, Now: s.now, Latest: s.latest, Request: r}, attacker)
		return err
	}
	_, err = token.Mint(context.Background(), s, r)
	return err
}

// mayBeTooLarge tells whether a token of the request may be too large: base64 makes four
// bytes of three.
func mayBeTooLarge(r token.Request) bool {
	data, err := json.Marshal(r)
	return err != nil || len(data) > token.DefaultMaxSize/2
}

// trialSigner is the token.Signer of a trial token.
type trialSigner struct {
	key         jwk.PrivateKey
	now, latest time.Time
}

// SigningKey satisfies token.Signer.
func (s trialSigner) SigningKey(context.Context) (key jwk.PrivateKey, now, latest time.Time, err error) {
	return s.key, s.now, s.latest, nil
}
