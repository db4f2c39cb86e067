package token

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// Signer provides the signing key; keys.Ring satisfies it.
type Signer interface {
	// SigningKey returns the key, the current time, and the latest exp that a token
	// of this key may have. Mint uses this time throughout.
	SigningKey(ctx context.Context) (key jwk.PrivateKey, now, latest time.Time, err error)
}

// Token is a minted token. Compact is secret: its bearer is authenticated by it.
type Token struct {
	Compact   string
	KeyID     string
	Algorithm jwk.Algorithm
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// Mint makes a signed token. iat is the signer's now, exp is at most its latest, and
// both are whole seconds, rounded down. The same claims give the same JSON, sorted by
// name. The error is a *RequestError, a *TTLError, or wraps that of the signer.
func Mint(ctx context.Context, s Signer, r Request) (Token, error) {
	if err := r.check(); err != nil {
		return Token{}, err
	}
	key, now, latest, err := s.SigningKey(ctx)
	if err != nil {
		return Token{}, fmt.Errorf("no key to sign with: %w", err)
	}
	iat, exp, err := r.validity(now, latest)
	if err != nil {
		return Token{}, err
	}
	unsigned := jwt.NewWithClaims(SigningMethod(key.Algorithm()), r.claims(iat, exp))
	maps.Copy(unsigned.Header, r.Header)
	unsigned.Header["kid"] = key.KeyID()
	if r.Type != "" {
		unsigned.Header["typ"] = r.Type
	}
	compact, err := unsigned.SignedString(key)
	if err != nil {
		return Token{}, fmt.Errorf("sign the token: %v", err)
	}
	if len(compact) > DefaultMaxSize {
		return Token{}, &RequestError{"claims", fmt.Sprintf("the token would have %d bytes, the limit is %d", len(compact), DefaultMaxSize)}
	}
	return Token{Compact: compact, KeyID: key.KeyID(), Algorithm: key.Algorithm(), IssuedAt: iat, ExpiresAt: exp}, nil
}

// validity returns iat and exp.
func (r *Request) validity(now, latest time.Time) (iat, exp time.Time, err error) {
	iat, latest = now.Truncate(time.Second), latest.Truncate(time.Second)
	if exp = latest; r.TTL > 0 {
		exp = iat.Add(r.TTL).Truncate(time.Second)
	}
	switch longest := latest.Sub(iat); {
	case longest < time.Second:
		return iat, exp, fmt.Errorf("no token can be minted now: it would expire at once (the key's tokens must expire by %s)", timestamp(latest))
	case exp.Sub(iat) > longest:
		return iat, exp, &TTLError{r.TTL, longest}
	case r.NotBefore != nil && r.NotBefore.Unix() >= exp.Unix():
		return iat, exp, &RequestError{"nbf", fmt.Sprintf("%s is not before the token expires at %s", timestamp(*r.NotBefore), timestamp(exp))}
	}
	return iat, exp, nil
}

// claims returns all claims of the token.
func (r *Request) claims(iat, exp time.Time) jwt.MapClaims {
	claims := jwt.MapClaims{"exp": exp.Unix(), "iat": iat.Unix(), "jti": r.ID}
	maps.Copy(claims, r.Claims)
	for name, value := range map[string]string{"iss": r.Issuer, "sub": r.Subject, "scope": r.Scope} {
		if value != "" {
			claims[name] = value
		}
	}
	switch len(r.Audience) {
	case 0:
	case 1:
		claims["aud"] = r.Audience[0]
	default:
		claims["aud"] = r.Audience
	}
	if r.NotBefore != nil {
		claims["nbf"] = r.NotBefore.Unix()
	}
	if r.ID == "" {
		claims["jti"] = rand.Text() // at least 128 random bits
	}
	return claims
}
