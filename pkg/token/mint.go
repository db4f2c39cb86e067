package token

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

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
	token := Token{KeyID: key.KeyID(), Algorithm: key.Algorithm(), IssuedAt: iat, ExpiresAt: exp}
	var space [2][400]byte // enough for most, and not on the heap
	header, err := r.header(space[0][:0], token.Algorithm, token.KeyID)
	if err != nil {
		return Token{}, err
	}
	claims, err := r.claims(space[1][:0], iat, exp)
	if err != nil {
		return Token{}, err
	}
	if token.Compact, err = compact(method{token.Algorithm}, key, header, claims); err != nil {
		return Token{}, fmt.Errorf("sign the token: %v", err)
	}
	if len(token.Compact) > DefaultMaxSize {
		return Token{}, &RequestError{"claims", fmt.Sprintf("the token would have %d bytes, the limit is %d", len(token.Compact), DefaultMaxSize)}
	}
	return token, nil
}

// compact puts the parts together and has golang-jwt's method sign them. Its Token
// would go by way of maps and several copies, which take a third of the time of an
// Ed25519 signature. m is no jwt.SigningMethod here, so that the compiler sees what
// becomes of the key and need not put it on the heap.
func compact(m method, key jwk.PrivateKey, header, claims []byte) (string, error) {
	encoding := base64.RawURLEncoding
	var space [800]byte // as in Mint
	b := append(encoding.AppendEncode(space[:0], header), '.')
	b = encoding.AppendEncode(b, claims)
	// A Builder gives what it has as a string without a copy, and goes on behind it.
	// There is room for the signatures that take least time; beside the others one
	// more copy is nothing.
	var out strings.Builder
	out.Grow(len(b) + len(".") + encoding.EncodedLen(64))
	out.Write(b)
	signature, err := m.Sign(out.String(), key)
	if err != nil {
		return "", err
	}
	out.Write(encoding.AppendEncode(append(b[:0], '.'), signature))
	return out.String(), nil
}

// expiry returns exp for a token of this moment.
func (r *Request) expiry(iat, latest time.Time) (time.Time, error) {
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

// header writes the whole of the header to space.
func (r *Request) header(space []byte, alg jwk.Algorithm, kid string) ([]byte, error) {
	o, err := newObject(space, r.Header)
	if err != nil {
		return nil, err
	}
	o = o.text("alg", string(alg))
	o = o.text("kid", kid)
	o = o.text("typ", r.typ())
	return o.end(), nil
}

// claims writes the whole of the claims to space.
func (r *Request) claims(space []byte, iat, exp time.Time) ([]byte, error) {
	o, err := newObject(space, r.Claims)
	if err != nil {
		return nil, err
	}
	switch len(r.Audience) {
	case 0:
	case 1:
		o = o.text("aud", r.Audience[0])
	default:
		o = o.texts("aud", r.Audience)
	}
	o = o.number("exp", exp.Unix())
	o = o.number("iat", iat.Unix())
	if r.Issuer != "" {
		o = o.text("iss", r.Issuer)
	}
	o = o.text("jti", r.id())
	if r.NotBefore != nil {
		o = o.number("nbf", r.NotBefore.Unix())
	}
	if r.Scope != "" {
		o = o.text("scope", r.Scope)
	}
	if r.Subject != "" {
		o = o.text("sub", r.Subject)
	}
	return o.end(), nil
}

func (r *Request) id() string {
	if r.ID == "" {
		return rand.Text() // at least 128 bits
	}
	return r.ID
}

func (r *Request) typ() string {
	if r.Type == "" {
		return "JWT"
	}
	return r.Type
}
