package token

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
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
	compact, token, err := new(Minter).Append(ctx, nil, s, r)
	token.Compact = string(compact)
	return token, err
}

// Minter does what Mint does, for one goroutine, and leaves next to nothing to the
// garbage collector. The zero value is ready.
type Minter struct {
	header encodedHeader
	claims []byte
}

// Append mints a token and appends it to b; the Compact of what it returns is
// empty. After an error, b is what it was, but for the space behind it.
//
// It does not go by way of golang-jwt's Token: the maps and copies of that take a
// third of the time of an Ed25519 signature, and a server would spend it for each token.
func (m *Minter) Append(ctx context.Context, b []byte, s Signer, r Request) ([]byte, Token, error) {
	if err := r.check(); err != nil {
		return b, Token{}, err
	}
	key, now, latest, err := s.SigningKey(ctx)
	if err != nil {
		return b, Token{}, fmt.Errorf("no key to sign with: %w", err)
	}
	iat, exp, err := r.life(now, latest)
	if err != nil {
		return b, Token{}, err
	}
	token := Token{KeyID: key.KeyID(), Algorithm: key.Algorithm(), IssuedAt: iat, ExpiresAt: exp}
	compact, err := m.appendInput(b, &r, &token)
	if err != nil {
		return b, Token{}, err
	}
	signature, err := key.Sign(compact[len(b):len(compact):len(compact)])
	if err != nil {
		return b, Token{}, fmt.Errorf("sign the token: %v", err)
	}
	compact = base64.RawURLEncoding.AppendEncode(append(compact, '.'), signature)
	if size := len(compact) - len(b); size > DefaultMaxSize {
		*m = Minter{} // no room is kept for what is refused
		return b, Token{}, &RequestError{"claims", fmt.Sprintf("the token would have %d bytes, the limit is %d", size, DefaultMaxSize)}
	}
	return compact, token, nil
}

// appendInput appends the signing input (RFC 7515, section 5.1).
func (m *Minter) appendInput(b []byte, r *Request, t *Token) (input []byte, err error) {
	if !m.header.fits(r, t) {
		if m.header, err = r.encodeHeader(t); err != nil {
			return nil, err
		}
	}
	if m.claims, err = r.writeClaims(m.claims, t); err != nil {
		return nil, err
	}
	input = append(append(b, m.header.encoded...), '.')
	return base64.RawURLEncoding.AppendEncode(input, m.claims), nil
}

// encodedHeader is a header, and what it was made for: nearly all tokens of a key
// have the same.
type encodedHeader struct {
	alg      jwk.Algorithm
	kid, typ string
	free     bool // it has members of the caller's
	encoded  []byte
}

func (h *encodedHeader) fits(r *Request, t *Token) bool {
	return !h.free && len(r.Header) == 0 && h.alg == t.Algorithm && h.kid == t.KeyID && h.typ == r.typ()
}

// encodeHeader makes the whole of the header.
func (r *Request) encodeHeader(t *Token) (encodedHeader, error) {
	o, err := newObject(nil, r.Header)
	if err != nil {
		return encodedHeader{}, err
	}
	o = o.text("alg", string(t.Algorithm))
	o = o.text("kid", t.KeyID)
	o = o.text("typ", r.typ())
	return encodedHeader{t.Algorithm, t.KeyID, r.typ(), len(r.Header) > 0, base64.RawURLEncoding.AppendEncode(nil, o.end())}, nil
}

// life returns iat and exp of a token of this moment.
func (r *Request) life(now, latest time.Time) (iat, exp time.Time, err error) {
	iat, latest = now.Truncate(time.Second), latest.Truncate(time.Second)
	if exp = latest; r.TTL > 0 {
		exp = iat.Add(r.TTL).Truncate(time.Second)
	}
	switch longest := latest.Sub(iat); {
	case longest < time.Second:
		return iat, exp, fmt.Errorf("no token can be given now: it would expire at once (the key signs nothing beyond %s)", stamp(latest))
	case exp.Sub(iat) > longest:
		return iat, exp, &TTLError{r.TTL, longest}
	case r.NotBefore != nil && r.NotBefore.Unix() >= exp.Unix():
		return iat, exp, &RequestError{"nbf", fmt.Sprintf("%s is not before the token's end at %s", stamp(*r.NotBefore), stamp(exp))}
	}
	return iat, exp, nil
}

// writeClaims writes the whole of the claims into the space of b.
func (r *Request) writeClaims(b []byte, t *Token) ([]byte, error) {
	o, err := newObject(b, r.Claims)
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
	o = o.number("exp", t.ExpiresAt.Unix())
	o = o.number("iat", t.IssuedAt.Unix())
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
