package jwk

import (
	"crypto"
	_ "crypto/sha256" // makes crypto.SHA256 available
	_ "crypto/sha512" // makes crypto.SHA384 and crypto.SHA512 available
	"fmt"
	"slices"
	"strings"
)

// Algorithm is a signature algorithm by its JWS name (RFC 7518, section 3.1).
type Algorithm string

// The supported algorithms. EdDSA is always with Ed25519 (RFC 8037); every function
// that takes an algorithm accepts the name Ed25519 of RFC 9864 for it.
const (
	RS256 Algorithm = "RS256"
	RS384 Algorithm = "RS384"
	RS512 Algorithm = "RS512"
	PS256 Algorithm = "PS256"
	PS384 Algorithm = "PS384"
	PS512 Algorithm = "PS512"
	ES256 Algorithm = "ES256"
	ES384 Algorithm = "ES384"
	ES512 Algorithm = "ES512"
	EdDSA Algorithm = "EdDSA"
)

// ed25519Name is the other name of EdDSA with Ed25519 (RFC 9864, section 2.2).
const ed25519Name Algorithm = "Ed25519"

// The supported key types (RFC 7518, section 6.1, and RFC 8037, section 2).
const (
	typeRSA = "RSA"
	typeEC  = "EC"
	typeOKP = "OKP"
)

// The accepted sizes of RSA moduli, in bits. RFC 7518, section 3.3, sets the lower
// bound; the upper bound limits the time of a verification.
const (
	minRSABits = 2048
	maxRSABits = 4096
)

// scheme is a row of the table: how an algorithm signs, and with which keys.
type scheme struct {
	name    Algorithm
	keyType string
	curve   string // the crv member; "" for RSA
	bits    int    // the size of a key; for RSA the default size
	hash    crypto.Hash
	pss     bool
}

// table is a function, so that no code can change a row.
func table() [10]scheme {
	return [...]scheme{
		{RS256, typeRSA, "", minRSABits, crypto.SHA256, false},
		{RS384, typeRSA, "", minRSABits, crypto.SHA384, false},
		{RS512, typeRSA, "", minRSABits, crypto.SHA512, false},
		{PS256, typeRSA, "", minRSABits, crypto.SHA256, true},
		{PS384, typeRSA, "", minRSABits, crypto.SHA384, true},
		{PS512, typeRSA, "", minRSABits, crypto.SHA512, true},
		{ES256, typeEC, "P-256", 256, crypto.SHA256, false},
		{ES384, typeEC, "P-384", 384, crypto.SHA384, false},
		{ES512, typeEC, "P-521", 521, crypto.SHA512, false},
		// crypto.Hash(0) is no hash: Ed25519 signs the input itself.
		{EdDSA, typeOKP, "Ed25519", 256, 0, false},
	}
}

// Algorithms returns every algorithm, in the order of the table.
func Algorithms() []Algorithm {
	schemes := table()
	names := make([]Algorithm, len(schemes))
	for i, s := range schemes {
		names[i] = s.name
	}
	return names
}

// ParseAlgorithm returns the algorithm of that exact name. Ed25519 gives EdDSA.
// The error of an unknown name lists the known ones.
func ParseAlgorithm(s string) (Algorithm, error) {
	scheme, err := Algorithm(s).scheme()
	return scheme.name, err
}

// UnmarshalText sets a as ParseAlgorithm does. Settings and JSON use it.
func (a *Algorithm) UnmarshalText(text []byte) error {
	parsed, err := ParseAlgorithm(string(text))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}

// String returns the JWS name.
func (a Algorithm) String() string { return string(a) }

// KeyType returns the kty of the algorithm's keys: RSA, EC or OKP. It is "" if the
// algorithm is unknown.
func (a Algorithm) KeyType() string {
	scheme, _ := a.scheme()
	return scheme.keyType
}

// Sizes returns the key sizes, in bits, that Generate accepts; nil if the algorithm
// has one size only.
func (a Algorithm) Sizes() []int {
	if a.KeyType() != typeRSA {
		return nil
	}
	return []int{minRSABits, 3072, maxRSABits}
}

// DefaultSize returns the default key size in bits: 2048 for RSA, the only size for
// the others.
func (a Algorithm) DefaultSize() int {
	scheme, _ := a.scheme()
	return scheme.bits
}

// checkSize refuses a key size, in bits, that the algorithm does not have. Zero is
// the default.
func (s scheme) checkSize(size int) error {
	sizes := s.name.Sizes()
	switch {
	case size == 0, size == s.bits, slices.Contains(sizes, size):
		return nil
	case sizes == nil:
		return fmt.Errorf("key size %d: %s keys always have %d bits: leave out the size", size, s.name, s.bits)
	default:
		return fmt.Errorf("key size %d: %s keys may have %s bits", size, s.name, strings.Trim(fmt.Sprint(sizes), "[]"))
	}
}

func (a Algorithm) scheme() (scheme, error) {
	if a == ed25519Name {
		a = EdDSA
	}
	schemes := table()
	i := slices.IndexFunc(schemes[:], func(s scheme) bool { return s.name == a })
	if i < 0 {
		return scheme{}, fmt.Errorf("unknown algorithm %.80q: use one of %s",
			string(a), strings.Trim(fmt.Sprint(Algorithms()), "[]"))
	}
	return schemes[i], nil
}
