package token

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
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
	Claims    json.RawMessage // the payload, byte for byte
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
	token := Token{KeyID: public.KeyID(), Algorithm: public.Algorithm(), IssuedAt: iat, ExpiresAt: exp}
	header, err := r.header(public).encode()
	if err != nil {
		return Token{}, err
	}
	if token.Claims, err = r.claims(iat, exp).encode(); err != nil {
		return Token{}, err
	}
	if token.Compact, err = compact(method{token.Algorithm}, key, header, token.Claims); err != nil {
		return Token{}, fmt.Errorf("sign the token: %v", err)
	}
	if len(token.Compact) > DefaultMaxSize {
		return Token{}, &RequestError{"claims", fmt.Sprintf("the token would have %d bytes, the limit is %d", len(token.Compact), DefaultMaxSize)}
	}
	return token, nil
}

// compact puts the parts together and has golang-jwt's method sign them. Its Token
// would go by way of maps and several copies, which take a third of the time of an
// Ed25519 signature.
func compact(m jwt.SigningMethod, key jwk.PrivateKey, header, payload []byte) (string, error) {
	encoding := base64.RawURLEncoding
	b := make([]byte, 0, encoding.EncodedLen(len(header))+len(".")+encoding.EncodedLen(len(payload)))
	b = append(encoding.AppendEncode(b, header), '.')
	input := string(encoding.AppendEncode(b, payload))
	signature, err := m.Sign(input, key)
	if err != nil {
		return "", err
	}
	return input + "." + encoding.EncodeToString(signature), nil
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

// header returns the whole of the header.
func (r Request) header(key jwk.PublicKey) object {
	o := object{{"alg", string(key.Algorithm())}, {"kid", key.KeyID()}, {"typ", r.typ()}}
	return o.with(r.Header)
}

// claims returns the whole of the claims.
func (r Request) claims(iat, exp time.Time) object {
	o := make(object, 0, 8+len(r.Claims))
	switch len(r.Audience) {
	case 0:
	case 1:
		o = append(o, member{"aud", r.Audience[0]})
	default:
		o = append(o, member{"aud", r.Audience})
	}
	o = append(o, member{"exp", exp.Unix()}, member{"iat", iat.Unix()})
	if r.NotBefore != nil {
		o = append(o, member{"nbf", r.NotBefore.Unix()})
	}
	id := r.ID
	if id == "" {
		id = rand.Text() // at least 128 bits
	}
	for _, text := range [...]member{{"iss", r.Issuer}, {"jti", id}, {"scope", r.Scope}, {"sub", r.Subject}} {
		if text.value != "" {
			o = append(o, text)
		}
	}
	return o.with(r.Claims)
}

func (r Request) typ() string {
	if r.Type == "" {
		return "JWT"
	}
	return r.Type
}
