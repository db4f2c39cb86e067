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

// The algorithms of the table. EdDSA is Ed25519 alone (RFC 8037); the name
// Ed25519 of RFC 9864 is read as EdDSA wherever an algorithm is taken.
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

// ed25519Name is the fully specified name of EdDSA with Ed25519 (RFC 9864,
// section 2.2).
const ed25519Name Algorithm = "Ed25519"

// The key types of the table (RFC 7518, section 6.1, and RFC 8037, section 2).
const (
	typeRSA = "RSA"
	typeEC  = "EC"
	typeOKP = "OKP"
)

// The sizes of RSA moduli that are taken, in bits: RFC 7518, section 3.3, sets
// the lower bound, the cost of a verification the upper.
const (
	minRSABits = 2048
	maxRSABits = 4096
)

// spec is a row of the table.
type spec struct {
	name    Algorithm
	keyType string
	curve   string // the crv member; "" for RSA
	bits    int    // the size of a key, for RSA the default
	hash    crypto.Hash
	pss     bool
}

// table is a function, so that nobody can change a row.
func table() [10]spec {
	return [...]spec{
		{RS256, typeRSA, "", minRSABits, crypto.SHA256, false},
		{RS384, typeRSA, "", minRSABits, crypto.SHA384, false},
		{RS512, typeRSA, "", minRSABits, crypto.SHA512, false},
		{PS256, typeRSA, "", minRSABits, crypto.SHA256, true},
		{PS384, typeRSA, "", minRSABits, crypto.SHA384, true},
		{PS512, typeRSA, "", minRSABits, crypto.SHA512, true},
		{ES256, typeEC, "P-256", 256, crypto.SHA256, false},
		{ES384, typeEC, "P-384", 384, crypto.SHA384, false},
		{ES512, typeEC, "P-521", 521, crypto.SHA512, false},
		// Ed25519 hashes for itself: crypto.Hash(0) hands it the whole input.
		{EdDSA, typeOKP, "Ed25519", 256, 0, false},
	}
}

// Algorithms returns every algorithm, in the order of the table.
func Algorithms() []Algorithm {
	rows := table()
	names := make([]Algorithm, len(rows))
	for i, row := range rows {
		names[i] = row.name
	}
	return names
}

// ParseAlgorithm returns the algorithm of that exact name. Ed25519 gives EdDSA.
// The error of an unknown name lists the known ones.
func ParseAlgorithm(s string) (Algorithm, error) {
	row, err := Algorithm(s).spec()
	return row.name, err
}

// UnmarshalText is ParseAlgorithm, for settings and JSON.
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

// KeyType returns the kty of the algorithm's keys: RSA, EC or OKP. It is ""
// for an unknown algorithm.
func (a Algorithm) KeyType() string {
	row, _ := a.spec()
	return row.keyType
}

// Sizes returns the key sizes, in bits, that one may choose from; nil if the
// algorithm fixes the size.
func (a Algorithm) Sizes() []int {
	if a.KeyType() != typeRSA {
		return nil
	}
	return []int{minRSABits, 3072, maxRSABits}
}

// DefaultSize returns the size, in bits, of a key made without one being
// chosen: 2048 for RSA, what the algorithm fixes for the others.
func (a Algorithm) DefaultSize() int {
	row, _ := a.spec()
	return row.bits
}

// checkSize refuses a size, in bits, that Generate cannot make. Zero stands for
// the default.
func (s spec) checkSize(size int) error {
	sizes := s.name.Sizes()
	switch {
	case size == 0, size == s.bits, slices.Contains(sizes, size):
		return nil
	case sizes == nil:
		return fmt.Errorf("key size %d: %s keys have %d bits; leave the size out", size, s.name, s.bits)
	default:
		return fmt.Errorf("key size %d: %s keys may have %s bits", size, s.name, strings.Trim(fmt.Sprint(sizes), "[]"))
	}
}

func (a Algorithm) spec() (spec, error) {
	if a == ed25519Name {
		a = EdDSA
	}
	rows := table()
	i := slices.IndexFunc(rows[:], func(row spec) bool { return row.name == a })
	if i < 0 {
		return spec{}, fmt.Errorf("unknown algorithm %.80q: use one of %s",
			string(a), strings.Trim(fmt.Sprint(Algorithms()), "[]"))
	}
	return rows[i], nil
}
