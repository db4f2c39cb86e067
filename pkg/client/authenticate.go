package client

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
)

// minSecret is the length of the shortest secret that is accepted. A shorter one, which a
// person may have chosen, could be found from its hash by a reader of the list.
const minSecret = 32

// Authenticate finds the client that the credentials prove, and returns how it
// authenticated. The error is a *Refusal, or wraps token.ErrKeysUnavailable if the keys of
// the client or of its platform could not be fetched, so that it may try again.
//
// Credentials of unknown clients are checked against decoys, so that a refusal takes as long
// for each reason. Two things remain that can be measured: the time to fetch keys, and
// whether the RSA key of a client is longer than 2048 bits. And token.ErrKeysUnavailable tells
// that a client or an issuer is in the list, before a signature proves anything. A refusal
// in its place would have honest clients give up good credentials during an outage.
func (r *Registry) Authenticate(ctx context.Context, c Credentials) (*Client, Method, error) {
	clients := r.list.Load()
	switch {
	case c.Secret != "" && c.Assertion != "":
		return nil, "", clients.refuse(c, c.Method, "the request has a secret and an assertion: it must have one of them")
	case c.Assertion != "":
		return r.checkAssertion(ctx, clients, c)
	case c.Method == PrivateKeyJWT:
		return nil, "", clients.refuse(c, c.Method, "the assertion is empty")
	}
	return clients.checkSecret(c)
}

// refuse makes a Refusal. Its texts come from the request and are bounded. An id that no
// client has may be a secret that was sent in the wrong place. If it is long enough for one,
// the log must not have it.
func (l *list) refuse(c Credentials, m Method, reason string) *Refusal {
	if l.byID[c.ClientID] == nil && len(c.ClientID) >= minSecret {
		c.ClientID = ""
		reason += "; the id in the request is left out, because it may be a secret"
	}
	return &Refusal{ClientID: c.ClientID, Method: m, Reason: reason}
}

// The reasons are constants, so that each is as quick to make.
func (l *list) checkSecret(c Credentials) (*Client, Method, error) {
	var hashes [][32]byte
	m := l.byID[c.ClientID]
	if m != nil {
		hashes = m.SecretSHA256
	}
	switch matches := matchesSecret(hashes, c.Secret); {
	case m == nil:
		return nil, "", l.refuse(c, c.Method, "no client has this id")
	case len(hashes) == 0:
		return nil, "", l.refuse(c, c.Method, "the client does not authenticate with a secret")
	case !matches:
		return nil, "", l.refuse(c, c.Method, "the secret is wrong")
	}
	return m.Client, c.Method, nil
}

// matchesSecret reports whether one of the hashes is that of the secret. It makes as many
// comparisons for each client, and for one that does not exist.
func matchesSecret(hashes [][32]byte, secret string) bool {
	sum := sha256.Sum256([]byte(secret))
	matches := 0
	for i := range maxSecrets {
		var want [32]byte
		if i < len(hashes) {
			want = hashes[i]
		}
		equal := subtle.ConstantTimeCompare(sum[:], want[:])
		if i < len(hashes) {
			matches |= equal
		}
	}
	return matches == 1 && len(secret) >= minSecret
}
