package jwk

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// ErrKind is the error of data that is a key where a JWK Set is expected, or the other way
// round.
var ErrKind = errors.New("the wrong kind of data")

// Parse reads one key from a JWK or from PEM (PKIX, PKCS#1, PKCS#8, SEC 1 or a
// certificate) and returns the public key, also if the input is a private key. A key
// from PEM has no kid, use or key_ops, and an alg only if it is for RSASSA-PSS with one
// hash function. Of certificates only the key of the first is used, and nothing in it is
// checked.
func Parse(data []byte) (PublicKey, error) {
	all, err := ParseAll(data)
	if err != nil {
		return PublicKey{}, err
	}
	if len(all) > 1 {
		return PublicKey{}, fmt.Errorf("PEM: %d keys, but one was expected", len(all))
	}
	return all[0], nil
}

// ParseAll is Parse for PEM that has one or more keys.
func ParseAll(data []byte) ([]PublicKey, error) {
	pairs, err := parse(data)
	if err != nil {
		return nil, err
	}
	var all []PublicKey
	for _, p := range pairs {
		// A private key often stands beside its public key or its certificate.
		if !slices.ContainsFunc(all, p.public.Equal) {
			all = append(all, p.public)
		}
	}
	return all, nil
}

// ParsePrivate reads one private key from a JWK or from PEM, to sign with alg. If
// alg is "", it is the alg of the JWK, then the one algorithm that the key type
// allows, then RS256. The use and key_ops of a JWK must allow alg, but are dropped,
// as its kid is: the kid of the result is the thumbprint.
func ParsePrivate(alg Algorithm, data []byte) (PrivateKey, error) {
	pairs, err := parse(data)
	if err != nil {
		return PrivateKey{}, err
	}
	pairs = slices.DeleteFunc(pairs, func(p pair) bool { return p.signer == nil })
	switch {
	case len(pairs) == 0:
		return PrivateKey{}, errors.New("a private key was expected, but this one is public")
	case len(pairs) > 1:
		return PrivateKey{}, fmt.Errorf("PEM: %d private keys, but one was expected", len(pairs))
	}
	public := pairs[0].public
	if alg == "" {
		alg = public.defaultAlgorithm()
	}
	if err := public.checkSigning(alg); err != nil {
		return PrivateKey{}, err
	}
	return NewPrivateKey(alg, pairs[0].signer)
}

// Thumbprint returns the SHA-256 thumbprint (RFC 7638) of the key that Parse reads. The
// alg and use of the key may be any, also those of encryption.
func Thumbprint(data []byte) (string, error) {
	if data = bytes.TrimSpace(data); !bytes.HasPrefix(data, []byte("{")) {
		key, err := Parse(data)
		return key.Thumbprint(), err
	}
	object, err := readMembers(data)
	if err != nil {
		return "", err
	}
	if err := object.checkOne(); err != nil {
		return "", err
	}
	key, err := object.bare()
	return key.Thumbprint(), err
}

// defaultAlgorithm returns the alg of the key, or the first algorithm for its type
// and curve.
func (k PublicKey) defaultAlgorithm() Algorithm {
	if k.alg != "" {
		return k.alg
	}
	for _, s := range table() {
		if s.keyType == k.params.KeyType && s.curve == k.params.Curve && (s.pss || !k.pssOnly) {
			return s.name
		}
	}
	return ""
}

// checkSigning is CheckAlgorithm for a private key, whose key_ops must contain
// "sign" and need not contain "verify".
func (k PublicKey) checkSigning(alg Algorithm) error {
	if k.ops != nil {
		if !slices.Contains(k.ops, "sign") {
			return fmt.Errorf("the key is not for signing: its key_ops are %q", k.ops)
		}
		k.ops = nil
	}
	return k.CheckAlgorithm(alg)
}

// pair is a public key and its private key, which is nil if the input does not have it.
type pair struct {
	public PublicKey
	signer crypto.Signer
}

// parse returns the keys in data, at least one if there is no error.
func parse(data []byte) ([]pair, error) {
	data = bytes.TrimSpace(data)
	switch {
	case bytes.HasPrefix(data, []byte("{")):
		p, err := parseJWK(data)
		return []pair{p}, err
	case bytes.Contains(data, []byte("-----BEGIN ")):
		return parsePEM(data)
	default:
		return nil, errors.New("neither a JWK nor PEM")
	}
}

func parseJWK(data []byte) (pair, error) {
	object, err := readMembers(data)
	if err != nil {
		return pair{}, err
	}
	if err := object.checkOne(); err != nil {
		return pair{}, err
	}
	if keyType, _ := object.text("kty"); keyType == "oct" {
		return pair{}, errors.New(`a shared secret (kty "oct"), but a key pair was expected: RSA, EC or OKP`)
	}
	if !object.has("d") {
		if name := object.privateName(); name != "" {
			return pair{}, fmt.Errorf("the JWK has the private member %q, but no d", name)
		}
		var public PublicKey
		err := public.UnmarshalJSON(data)
		return pair{public: public}, err
	}
	public, err := object.public()
	if err != nil {
		return pair{}, err
	}
	signer, err := object.signer(public)
	return pair{public, signer}, err
}

// checkOne refuses a JWK Set.
func (m members) checkOne() error {
	if _, ok := m["keys"]; ok {
		return fmt.Errorf("%w: a JWK Set, but a key was expected; pass one element of its keys", ErrKind)
	}
	return nil
}

// signer reads the private members of a JWK that belong to public. Its errors do not
// contain the values. Of an RSA key, n, e and d are enough.
func (m members) signer(public PublicKey) (crypto.Signer, error) {
	if m.has("oth") {
		return nil, errors.New("RSA keys of more than two primes are not supported")
	}
	private := struct {
		params
		D string `json:"d"`
		P string `json:"p,omitempty"`
		Q string `json:"q,omitempty"`
		// dp, dq and qi follow from the others: they are computed, not read.
	}{params: public.params}
	fields := []field{{"d", &private.D}}
	if public.KeyType() == typeRSA {
		fields = append(fields, field{"p", &private.P}, field{"q", &private.Q})
	}
	if err := m.texts(fields...); err != nil {
		return nil, err
	}
	var r reader
	switch public.KeyType() {
	case typeRSA:
		private.D, private.P, private.Q = r.number("d", private.D), r.number("p", private.P), r.number("q", private.Q)
	case typeEC:
		private.D = r.fixed("d", private.D, coordinateSize(private.Curve))
	case typeOKP:
		private.D = base64.RawURLEncoding.EncodeToString(r.bytes("d", private.D))
	}
	if r.err != nil {
		return nil, r.err
	}
	if key, ok := public.material.(*rsa.PublicKey); ok && private.P == "" && private.Q == "" {
		private.P, private.Q = primesOf(key, private.D)
	}
	key, err := decodeJWK(private)
	if err != nil {
		return nil, errors.New("the private members are missing, broken, or do not belong to the public ones; RSA needs d, and p and q or neither")
	}
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		return checkECPair(key)
	case *rsa.PrivateKey:
		key.Precompute()
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	default:
		return nil, fmt.Errorf("%T cannot sign: use RSA, EC or Ed25519", key)
	}
}

// primesOf computes the prime factors of an RSA modulus from the private exponent, in
// base64url, as NIST SP 800-56B, appendix C, describes. They are empty if d does not
// belong to the key.
func primesOf(key *rsa.PublicKey, exponent string) (p, q string) {
	data, err := base64.RawURLEncoding.DecodeString(exponent)
	if err != nil || len(data) == 0 || len(data) > maxRSABits/8 {
		return "", ""
	}
	one := big.NewInt(1)
	minusOne := new(big.Int).Sub(key.N, one)
	odd := new(big.Int).Mul(new(big.Int).SetBytes(data), big.NewInt(int64(key.E)))
	odd.Sub(odd, one) // a multiple of the order of each number modulo n
	if odd.Sign() <= 0 {
		return "", ""
	}
	halvings := odd.TrailingZeroBits()
	odd.Rsh(odd, halvings)
	// Each base finds the factors with a probability of at least one half.
	for base := int64(2); base < 40; base++ {
		x := new(big.Int).Exp(big.NewInt(base), odd, key.N)
		for range halvings {
			root := new(big.Int).Set(x)
			x.Mul(x, x).Mod(x, key.N)
			if x.Cmp(one) != 0 || root.Cmp(one) == 0 || root.Cmp(minusOne) == 0 {
				continue
			}
			// The root is a square root of 1 other than 1 and -1.
			first := new(big.Int).GCD(nil, nil, root.Sub(root, one), key.N)
			second := new(big.Int).Quo(key.N, first)
			return base64.RawURLEncoding.EncodeToString(first.Bytes()), base64.RawURLEncoding.EncodeToString(second.Bytes())
		}
	}
	return "", ""
}

// checkECPair checks that d belongs to x and y, because go-jose does not.
func checkECPair(key *ecdsa.PrivateKey) (crypto.Signer, error) {
	d, err := key.Bytes()
	if err != nil {
		return nil, errors.New("EC key: d is not in the range of its curve")
	}
	computed, err := ecdsa.ParseRawPrivateKey(key.Curve, d)
	if err != nil || !computed.PublicKey.Equal(&key.PublicKey) {
		return nil, errors.New("EC key: d does not belong to x and y")
	}
	return computed, nil
}
