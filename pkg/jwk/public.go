package jwk

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// PublicKey is a public key with the kid, alg, use and key_ops of its JWK. It is
// immutable. The zero value is no key: it verifies nothing and does not marshal.
type PublicKey struct {
	kid        string
	alg        Algorithm
	use        string
	ops        []string // nil if the JWK has no key_ops
	params     params
	pssOnly    bool // an RSA key from PEM that is marked as a key for RSASSA-PSS
	thumbprint string
	material   crypto.PublicKey
}

// NewPublicKey returns key as a key for alg, with its thumbprint as kid and the use
// "sig". The key must be a *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey that
// suits alg.
func NewPublicKey(alg Algorithm, key crypto.PublicKey) (PublicKey, error) {
	scheme, err := alg.scheme()
	if err != nil {
		return PublicKey{}, err
	}
	k, err := newKey(key)
	if err != nil {
		return PublicKey{}, err
	}
	if err := k.checkScheme(scheme); err != nil {
		return PublicKey{}, err
	}
	k.kid, k.use, k.alg = k.thumbprint, "sig", scheme.name
	return k, nil
}

// newKey returns a key without kid, use, alg and key_ops.
func newKey(key crypto.PublicKey) (PublicKey, error) {
	material, err := checkedCopy(key)
	if err != nil {
		return PublicKey{}, err
	}
	encoder := jose.JSONWebKey{Key: material}
	sum, err := encoder.Thumbprint(crypto.SHA256)
	if err != nil {
		return PublicKey{}, joseError(err)
	}
	p, err := paramsOf(encoder)
	if err != nil {
		return PublicKey{}, err
	}
	return PublicKey{
		params:     p,
		thumbprint: base64.RawURLEncoding.EncodeToString(sum),
		material:   material,
	}, nil
}

// checkedCopy returns a copy of key, or an error if the key is not safe to use.
func checkedCopy(key crypto.PublicKey) (crypto.PublicKey, error) {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return checkedRSA(key)
	case *ecdsa.PublicKey:
		return checkedEC(key)
	case ed25519.PublicKey:
		// go-jose refuses wrong lengths and points of low order.
		return slices.Clone(key), nil
	default:
		return nil, fmt.Errorf("%T is not a public key for signatures: use RSA, EC or Ed25519", key)
	}
}

func checkedRSA(key *rsa.PublicKey) (crypto.PublicKey, error) {
	if key == nil || key.N == nil || key.N.Sign() <= 0 {
		return nil, errors.New("empty RSA key")
	}
	if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return nil, fmt.Errorf("RSA key of %d bits: use %d to %d", bits, minRSABits, maxRSABits)
	}
	if key.N.Bit(0) == 0 || key.E < 3 || key.E%2 == 0 || key.E > math.MaxInt32 {
		return nil, errors.New("RSA key: the modulus and the exponent must be odd, the exponent from 3 to 2^31-1")
	}
	if err := checkFactors(key.N); err != nil {
		return nil, err
	}
	return &rsa.PublicKey{N: new(big.Int).Set(key.N), E: key.E}, nil
}

func checkedEC(key *ecdsa.PublicKey) (crypto.PublicKey, error) {
	//nolint:staticcheck // the coordinates are only compared; Bytes panics if they are nil
	if key == nil || key.Curve == nil || key.X == nil || key.Y == nil {
		return nil, errors.New("empty EC key")
	}
	point, err := key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("EC key: the point is not on %s, or that curve is not supported", key.Curve.Params().Name)
	}
	return ecdsa.ParseUncompressedPublicKey(key.Curve, point)
}

// KeyID returns kid, "" if the key has none.
func (k PublicKey) KeyID() string { return k.kid }

// Algorithm returns alg, "" if the key has none.
func (k PublicKey) Algorithm() Algorithm { return k.alg }

// Use returns use, "" if the key has none (RFC 7517, section 4.2).
func (k PublicKey) Use() string { return k.use }

// Operations returns key_ops, nil if the key has none (RFC 7517, section 4.3).
func (k PublicKey) Operations() []string { return slices.Clone(k.ops) }

// KeyType returns kty: RSA, EC or OKP.
func (k PublicKey) KeyType() string { return k.params.KeyType }

// Size returns the size of the key in bits: of the modulus, or of the curve.
func (k PublicKey) Size() int {
	switch key := k.material.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen()
	case *ecdsa.PublicKey:
		return key.Curve.Params().BitSize
	case ed25519.PublicKey:
		return 8 * len(key)
	default:
		return 0
	}
}

// Thumbprint returns the SHA-256 thumbprint of RFC 7638 in base64url.
func (k PublicKey) Thumbprint() string { return k.thumbprint }

// Material returns the key as a type of the standard library: *rsa.PublicKey,
// *ecdsa.PublicKey or ed25519.PublicKey. The caller must not change it.
func (k PublicKey) Material() crypto.PublicKey { return k.material }

// Equal reports whether both are the same key with the same kid, alg, use and key_ops.
func (k PublicKey) Equal(o PublicKey) bool {
	return k.thumbprint == o.thumbprint &&
		k.kid == o.kid && k.alg == o.alg && k.use == o.use && k.pssOnly == o.pssOnly &&
		(k.ops == nil) == (o.ops == nil) && slices.Equal(k.ops, o.ops)
}

// CheckAlgorithm returns nil if this key may verify signatures of alg: the key type
// and the curve must be those of alg, and the alg, use and key_ops of the key must
// allow it.
func (k PublicKey) CheckAlgorithm(alg Algorithm) error {
	scheme, err := alg.scheme()
	if err != nil {
		return err
	}
	return k.checkScheme(scheme)
}

// verifiesTokens reports whether a key with this use may verify a JWT: "sig", or
// "jwt-svid" of SPIFFE bundles (SPIFFE Trust Domain and Bundle, section 4.2.2).
func verifiesTokens(use string) bool { return use == "sig" || use == "jwt-svid" }

func (k PublicKey) checkScheme(s scheme) error {
	switch {
	case k.material == nil:
		return errors.New("empty key")
	case k.params.KeyType != s.keyType:
		return fmt.Errorf("%s needs a key of type %s, this one is %s", s.name, s.keyType, k.params.KeyType)
	case k.params.Curve != s.curve:
		return fmt.Errorf("%s needs a key on %s, this one is on %s", s.name, s.curve, k.params.Curve)
	case k.pssOnly && !s.pss:
		return fmt.Errorf("the key is for RSASSA-PSS (PS256, PS384 or PS512), not for %s", s.name)
	case k.alg != "" && k.alg != s.name:
		return fmt.Errorf("the key is for %s (its alg), not for %s", k.alg, s.name)
	case k.use != "" && !verifiesTokens(k.use):
		return fmt.Errorf("the key is not for signatures: its use is %q", k.use)
	case k.ops != nil && !slices.Contains(k.ops, "verify"):
		return fmt.Errorf("the key is not for verification: its key_ops are %q", k.ops)
	}
	return nil
}

// PEM returns the key as a PKIX "PUBLIC KEY" block (RFC 7468, section 13).
func (k PublicKey) PEM() ([]byte, error) {
	if k.material == nil {
		return nil, errors.New("empty key")
	}
	der, err := x509.MarshalPKIXPublicKey(k.material)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %v", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// joseError returns an error of go-jose without the name of the library.
func joseError(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), "go-jose/go-jose: "))
}
