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

// errSecret is what every encoder of a private key gets.
var errSecret = errors.New("a private key does not marshal itself: use MarshalPKCS8, MarshalJWK, or Public")

// PrivateKey signs for one algorithm. It does not print, log or marshal itself,
// whatever the verb and however deep it is buried: MarshalPKCS8 and MarshalJWK are
// the ways out. The zero value is no key; see IsZero.
type PrivateKey struct {
	of *private // so that a key is one word to hand over; nil is no key
}

type private struct {
	public PublicKey
	// These are functions, so that no printer that walks values by reflection
	// reaches what is behind them.
	signer func() crypto.Signer
	sign   func(input []byte) ([]byte, error)
}

// Generate makes a key for alg of size bits; 0 stands for alg.DefaultSize().
func Generate(alg Algorithm, size int) (PrivateKey, error) {
	row, err := alg.spec()
	if err != nil {
		return PrivateKey{}, err
	}
	if err := row.checkSize(size); err != nil {
		return PrivateKey{}, err
	}
	if size == 0 {
		size = row.bits
	}
	signer, err := row.generate(size)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("generate a key for %s: %v", row.name, err)
	}
	return NewPrivateKey(row.name, signer)
}

func (s spec) generate(size int) (crypto.Signer, error) {
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

// NewPrivateKey returns a key that signs for alg through s, which may stand for
// a key in another machine. The public key of s must fit alg, and s must neither
// keep nor change what it signs: the space is used again.
func NewPrivateKey(alg Algorithm, s crypto.Signer) (PrivateKey, error) {
	if s == nil {
		return PrivateKey{}, errors.New("empty private key")
	}
	if key, ok := s.(ed25519.PrivateKey); ok && len(key) != ed25519.PrivateKeySize {
		return PrivateKey{}, errors.New("empty or broken Ed25519 private key")
	}
	row, err := alg.spec()
	if err != nil {
		return PrivateKey{}, err
	}
	public, err := NewPublicKey(row.name, s.Public())
	if err != nil {
		return PrivateKey{}, err
	}
	return PrivateKey{&private{
		public: public,
		signer: func() crypto.Signer { return s },
		sign:   func(input []byte) ([]byte, error) { return row.sign(s, input) },
	}}, nil
}

// ParsePKCS8 reads a key for alg as MarshalPKCS8 writes it.
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

// MarshalPKCS8 returns the private key in DER (RFC 5958), unencrypted. A key
// that lives behind a signer of another kind than Go's own does not come out.
func (k PrivateKey) MarshalPKCS8() ([]byte, error) {
	if k.IsZero() {
		return nil, errors.New("empty private key")
	}
	switch signer := k.of.signer().(type) {
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
		return x509.MarshalPKCS8PrivateKey(signer)
	default:
		return nil, errors.New("the private key cannot leave its signer")
	}
}

// MarshalJWK returns the private key as a JWK, unencrypted: what MarshalJSON of
// Public writes, and the private members (RFC 7518, sections 6.2.2 and 6.3.2). What
// does not come out of MarshalPKCS8 does not come out here.
func (k PrivateKey) MarshalJWK() ([]byte, error) {
	der, err := k.MarshalPKCS8()
	if err != nil {
		return nil, err
	}
	signer, err := signerFromPKCS8(der)
	if err != nil {
		return nil, err
	}
	public := k.of.public
	w := jose.JSONWebKey{Key: signer, KeyID: public.kid, Use: public.use, Algorithm: string(public.alg)}
	data, err := w.MarshalJSON()
	if err != nil {
		return nil, reason(err)
	}
	return data, nil
}

// Public returns the public half.
func (k PrivateKey) Public() PublicKey {
	if k.IsZero() {
		return PublicKey{}
	}
	return k.of.public
}

// KeyID is that of the public key.
func (k PrivateKey) KeyID() string {
	if k.IsZero() {
		return ""
	}
	return k.of.public.kid
}

// Algorithm is that of the public key.
func (k PrivateKey) Algorithm() Algorithm {
	if k.IsZero() {
		return ""
	}
	return k.of.public.alg
}

// IsZero reports whether there is no key.
func (k PrivateKey) IsZero() bool { return k.of == nil }

// Sign returns the raw JWS signature of input (RFC 7515, section 5.1).
func (k PrivateKey) Sign(input []byte) ([]byte, error) {
	if k.IsZero() {
		return nil, errors.New("empty private key")
	}
	signature, err := k.of.sign(input)
	if err != nil {
		return nil, fmt.Errorf("sign with key %q: %w", k.KeyID(), err)
	}
	return signature, nil
}

// String names the key by its kid.
func (k PrivateKey) String() string {
	if k.IsZero() {
		return "[no private key]"
	}
	return "[private key " + k.KeyID() + "]"
}

// GoString is String: %#v shows no more than %v.
func (k PrivateKey) GoString() string { return k.String() }

// Format writes String for every verb.
func (k PrivateKey) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, k.String()) // fmt keeps no error of a Formatter
}

// LogValue is String, for log/slog.
func (k PrivateKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalJSON always fails.
func (k PrivateKey) MarshalJSON() ([]byte, error) { return nil, errSecret }

// MarshalText always fails.
func (k PrivateKey) MarshalText() ([]byte, error) { return nil, errSecret }
