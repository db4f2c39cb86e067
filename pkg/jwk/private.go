package jwk

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/go-jose/go-jose/v4"
)

// errMarshal is the error of every encoder of a private key.
var errMarshal = errors.New("a private key does not marshal itself: use MarshalPKCS8, MarshalJWK, or Public")

// PrivateKey signs with one algorithm. Nothing that prints, logs or encodes it, or a
// value that contains it, shows the private part: only MarshalPKCS8 and MarshalJWK
// return that. The zero value is no key; see IsZero.
type PrivateKey struct {
	public PublicKey
	// This is a function, so that packages that print values by reflection cannot
	// reach the private part. It is nil in the zero value.
	signer func() crypto.Signer
}

// Generate returns a new key for alg of size bits; 0 means alg.DefaultSize().
func Generate(alg Algorithm, size int) (PrivateKey, error) {
	scheme, err := alg.scheme()
	if err != nil {
		return PrivateKey{}, err
	}
	if err := scheme.checkSize(size); err != nil {
		return PrivateKey{}, err
	}
	if size == 0 {
		size = scheme.bits
	}
	signer, err := scheme.generate(size)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("generate a key for %s: %v", scheme.name, err)
	}
	return NewPrivateKey(scheme.name, signer)
}

func (s scheme) generate(size int) (crypto.Signer, error) {
	switch s.curve {
	case "P-256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "P-384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "P-521":
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "Ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	default:
		return rsa.GenerateKey(rand.Reader, size)
	}
}

// NewPrivateKey returns a key that signs with alg through s, which may be a hardware
// module or a remote service. alg must suit the public key of s.
func NewPrivateKey(alg Algorithm, s crypto.Signer) (PrivateKey, error) {
	if s == nil {
		return PrivateKey{}, errors.New("empty private key")
	}
	if key, ok := s.(ed25519.PrivateKey); ok && len(key) != ed25519.PrivateKeySize {
		return PrivateKey{}, errors.New("empty or broken Ed25519 private key")
	}
	public, err := NewPublicKey(alg, s.Public())
	if err != nil {
		return PrivateKey{}, err
	}
	return PrivateKey{public, func() crypto.Signer { return s }}, nil
}

// ParsePKCS8 reads a key for alg that MarshalPKCS8 wrote.
func ParsePKCS8(alg Algorithm, der []byte) (PrivateKey, error) {
	signer, err := signerFromPKCS8(der)
	if err != nil {
		return PrivateKey{}, err
	}
	return NewPrivateKey(alg, signer)
}

func signerFromPKCS8(der []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("not a PKCS#8 private key: %v", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%T cannot sign: use RSA, EC or Ed25519", key)
	}
	return signer, nil
}

// MarshalPKCS8 returns the private key in DER (RFC 5958), unencrypted. It fails if
// the key is in a hardware module or a remote service.
func (k PrivateKey) MarshalPKCS8() ([]byte, error) {
	if k.IsZero() {
		return nil, errors.New("empty private key")
	}
	switch signer := k.signer().(type) {
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
		return x509.MarshalPKCS8PrivateKey(signer)
	default:
		return nil, errors.New("the private key cannot leave its signer")
	}
}

// MarshalJWK returns the private key as a JWK, unencrypted: the members of the
// public key and the private members (RFC 7518, sections 6.2.2 and 6.3.2). It fails
// where MarshalPKCS8 does.
func (k PrivateKey) MarshalJWK() ([]byte, error) {
	der, err := k.MarshalPKCS8()
	if err != nil {
		return nil, err
	}
	signer, err := signerFromPKCS8(der)
	if err != nil {
		return nil, err
	}
	encoder := jose.JSONWebKey{Key: signer, KeyID: k.public.kid, Use: k.public.use, Algorithm: string(k.public.alg)}
	data, err := encoder.MarshalJSON()
	if err != nil {
		return nil, joseError(err)
	}
	return data, nil
}

// Public returns the public key.
func (k PrivateKey) Public() PublicKey { return k.public }

// KeyID returns the kid of the public key.
func (k PrivateKey) KeyID() string { return k.public.kid }

// Algorithm returns the alg of the public key.
func (k PrivateKey) Algorithm() Algorithm { return k.public.alg }

// IsZero reports whether there is no key.
func (k PrivateKey) IsZero() bool { return k.signer == nil }

// Sign returns the raw JWS signature of input (RFC 7515, section 5.1).
func (k PrivateKey) Sign(input []byte) ([]byte, error) {
	if k.IsZero() {
		return nil, errors.New("empty private key")
	}
	scheme, err := k.public.alg.scheme()
	if err != nil {
		return nil, err
	}
	signature, err := scheme.sign(k.signer(), input)
	if err != nil {
		return nil, fmt.Errorf("sign with key %q: %w", k.KeyID(), err)
	}
	return signature, nil
}

// CheckSign makes a signature, and returns an error if the key cannot make one: FIPS 140-3
// mode refuses some keys only then.
func (k PrivateKey) CheckSign() error {
	if _, err := k.Sign([]byte("a signature that is thrown away")); err != nil {
		return fmt.Errorf("the key cannot sign: %w", err)
	}
	return nil
}

// String returns the kid in brackets.
func (k PrivateKey) String() string {
	if k.IsZero() {
		return "[no private key]"
	}
	return "[private key " + k.KeyID() + "]"
}

// GoString returns String, for %#v.
func (k PrivateKey) GoString() string { return k.String() }

// Format writes String for every verb.
func (k PrivateKey) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, k.String()) // fmt keeps no error of a Formatter
}

// LogValue returns String, for log/slog.
func (k PrivateKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalJSON always fails.
func (PrivateKey) MarshalJSON() ([]byte, error) { return nil, errMarshal }

// MarshalText always fails.
func (PrivateKey) MarshalText() ([]byte, error) { return nil, errMarshal }
