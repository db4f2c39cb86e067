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

// Signer gives the key that signs now; keys.Ring satisfies it.
type Signer interface {
	// SigningKey returns the key, the one reading of the clock on which the whole
	// decision rests, and the latest exp that the key may give.
	SigningKey(ctx context.Context) (key jwk.PrivateKey, now, latest time.Time, err error)
}

// Request says what a token shall hold. The zero value asks for a token of the
// longest life with iat, exp and jti alone.
type Request struct {
	Issuer    string         // iss
	Subject   string         // sub
	Audience  []string       // aud: a string if it is one, else an array
	Scope     string         // scope, separated by spaces
	TTL       time.Duration  // exp - iat, rounded down to whole seconds; 0 means the longest
	NotBefore *time.Time     // nbf, rounded down to the second
	ID        string         // jti; "" means a random one of 128 bits
	Type      string         // typ; "" means "JWT"
	Claims    map[string]any // further claims, as encoding/json reads them
	Header    map[string]any // further header members, likewise
}

// Token is a token as it was minted. Compact is a secret of its bearer.
type Token struct {
	Compact   string
	KeyID     string
	Algorithm jwk.Algorithm
	IssuedAt  time.Time
	ExpiresAt time.Time
	Claims    map[string]any // all of them; iat, exp and nbf are int64
}

// RequestError says that a Request cannot be met as it is.
type RequestError struct {
	Field   string // the field at fault, by the name of its claim or setting: "aud", "claims", "header"…
	Message string
}

// Error names the field and what is wrong with it.
func (e *RequestError) Error() string { return e.Field + ": " + e.Message }

// TTLError says that a Request asks for a longer life than any token may have now.
type TTLError struct {
	Asked, Longest time.Duration
}

// Error names the limit.
func (e *TTLError) Error() string {
	return fmt.Sprintf("ttl: %s is longer than a token may live: ask for %s at most, or for none to get the longest", e.Asked, e.Longest)
}

// Mint makes a signed token. iat is the signer's now and exp never later than its
// latest, both whole seconds rounded down. The same claims give the same JSON. The
// error is a *RequestError, a *TTLError, or wraps that of the signer.
func Mint(ctx context.Context, s Signer, r Request) (Token, error) {
	if err := r.check(); err != nil {
		return Token{}, err
	}
	key, now, latest, err := s.SigningKey(ctx)
	if err != nil {
		return Token{}, fmt.Errorf("no key to sign with: %w", err)
	}
	iat := now.Truncate(time.Second)
	exp, err := r.expiry(iat, latest)
	if err != nil {
		return Token{}, err
	}
	public := key.Public()
	token := Token{
		KeyID: public.KeyID(), Algorithm: public.Algorithm(), IssuedAt: iat, ExpiresAt: exp,
		Claims: r.claims(iat, exp),
	}
	header := maps.Clone(r.Header)
	if header == nil {
		header = map[string]any{}
	}
	header["alg"], header["kid"], header["typ"] = token.Algorithm, token.KeyID, r.typ()
	unsigned := jwt.Token{Header: header, Claims: jwt.MapClaims(token.Claims), Method: method{token.Algorithm}}
	if token.Compact, err = unsigned.SignedString(key); err != nil {
		return Token{}, fmt.Errorf("sign the token: %v", err)
	}
	if len(token.Compact) > DefaultMaxSize {
		return Token{}, &RequestError{"claims", fmt.Sprintf("the token would have %d bytes, the limit is %d", len(token.Compact), DefaultMaxSize)}
	}
	return token, nil
}

// expiry returns exp for a token of this moment.
func (r Request) expiry(iat, latest time.Time) (time.Time, error) {
	exp := latest.Truncate(time.Second)
	if r.TTL > 0 {
		exp = iat.Add(r.TTL).Truncate(time.Second)
	}
	longest := latest.Truncate(time.Second).Sub(iat)
	switch {
	case longest < time.Second:
		return exp, fmt.Errorf("no token can be given now: it would expire at once (the key signs nothing beyond %s)", stamp(latest))
	case exp.Sub(iat) > longest:
		return exp, &TTLError{r.TTL, longest}
	case r.NotBefore != nil && r.NotBefore.Unix() >= exp.Unix():
		return exp, &RequestError{"nbf", fmt.Sprintf("%s is not before the token's end at %s", stamp(*r.NotBefore), stamp(exp))}
	}
	return exp, nil
}

// claims returns the whole of the claims.
func (r Request) claims(iat, exp time.Time) map[string]any {
	claims := maps.Clone(r.Claims)
	if claims == nil {
		claims = map[string]any{}
	}
	for name, text := range map[string]string{"iss": r.Issuer, "sub": r.Subject, "scope": r.Scope, "jti": r.ID} {
		if text != "" {
			claims[name] = text
		}
	}
	switch len(r.Audience) {
	case 0:
	case 1:
		claims["aud"] = r.Audience[0]
	default:
		claims["aud"] = r.Audience
	}
	if r.ID == "" {
		claims["jti"] = rand.Text() // at least 128 bits
	}
	if r.NotBefore != nil {
		claims["nbf"] = r.NotBefore.Unix()
	}
	claims["iat"], claims["exp"] = iat.Unix(), exp.Unix()
	return claims
}

func (r Request) typ() string {
	if r.Type == "" {
		return "JWT"
	}
	return r.Type
}
