package jwk

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// Parse reads one key, a JWK or PEM as the content tells, and returns its public
// half; of a private key nothing else is kept. PEM may be PKIX, PKCS#1, PKCS#8 or
// SEC 1. A key from PEM has no kid, alg, use or key_ops.
func Parse(data []byte) (PublicKey, error) {
	public, _, err := parse(data)
	return public, err
}

// ParsePrivate reads one private key, a JWK or PEM as the content tells, to sign
// for alg. If alg is "", the key's own alg counts, then the one algorithm that its
// type allows, then RS256. What else a JWK says of itself must allow alg, but is
// not kept: the kid is the thumbprint.
func ParsePrivate(alg Algorithm, data []byte) (PrivateKey, error) {
	public, signer, err := parse(data)
	if err != nil {
		return PrivateKey{}, err
	}
	if signer == nil {
		return PrivateKey{}, errors.New("a private key was expected, but this one is public")
	}
	if alg == "" {
		alg = public.usual()
	}
	if err := public.fitsToSign(alg); err != nil {
		return PrivateKey{}, err
	}
	return NewPrivateKey(alg, signer)
}

// usual returns the algorithm that a key is for if nobody says.
func (k PublicKey) usual() Algorithm {
	if k.alg != "" {
		return k.alg
	}
	for _, row := range table() {
		if row.keyType == k.params.KeyType && row.curve == k.params.Curve {
			return row.name
		}
	}
	return ""
}

// fitsToSign is Fits for the private half, whose key_ops name "sign" and need
// not name "verify".
func (k PublicKey) fitsToSign(alg Algorithm) error {
	if k.ops != nil {
		if !slices.Contains(k.ops, "sign") {
			return fmt.Errorf("the key is not for signing: its key_ops are %q", k.ops)
		}
		k.ops = nil
	}
	return k.Fits(alg)
}

// parse returns the public half, and the private one if there is one.
func parse(data []byte) (PublicKey, crypto.Signer, error) {
	data = bytes.TrimSpace(data)
	switch {
	case bytes.HasPrefix(data, []byte("{")):
		return parseJWK(data)
	case bytes.Contains(data, []byte("-----BEGIN ")):
		return parsePEM(data)
	default:
		return PublicKey{}, nil, errors.New("neither a JWK nor PEM")
	}
}

func parseJWK(data []byte) (PublicKey, crypto.Signer, error) {
	found, err := readMembers(data)
	if err != nil {
		return PublicKey{}, nil, err
	}
	if _, ok := found["keys"]; ok {
		return PublicKey{}, nil, errors.New("this is a JWK Set, but one key was expected: take one member of its keys")
	}
	if _, ok := found["d"]; !ok {
		var public PublicKey
		err := public.UnmarshalJSON(data)
		return public, nil, err
	}
	public, err := found.public()
	if err != nil {
		return PublicKey{}, nil, err
	}
	signer, err := found.signer(public.KeyType())
	if err != nil {
		return PublicKey{}, nil, err
	}
	return public, signer, nil
}

// signer reads the private part of a JWK whose public part is sound. Its errors
// say nothing of the values.
func (m members) signer(keyType string) (crypto.Signer, error) {
	if _, ok := m["oth"]; ok {
		return nil, errors.New("RSA keys of more than two primes cannot be used")
	}
	private := members{}
	// dp, dq and qi follow from the others: they are computed, not believed.
	for _, name := range append(paramNames(keyType), "kty", "d", "p", "q") {
		if value, ok := m[name]; ok {
			private[name] = value
		}
	}
	data, err := json.Marshal(private)
	if err != nil {
		return nil, errors.New("broken private key")
	}
	var parsed jose.JSONWebKey
	if err := parsed.UnmarshalJSON(data); err != nil {
		return nil, errors.New("the private members are missing, broken, or do not belong to the public ones; RSA needs d, p and q")
	}
	switch key := parsed.Key.(type) {
	case *ecdsa.PrivateKey:
		return checkedPair(key)
	case *rsa.PrivateKey:
		key.Precompute()
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	default:
		return nil, fmt.Errorf("%T cannot sign: use RSA, EC or Ed25519", key)
	}
}

// checkedPair makes sure that d belongs to x and y, which go-jose does not look at.
func checkedPair(key *ecdsa.PrivateKey) (crypto.Signer, error) {
	own, err := key.Bytes()
	if err != nil {
		return nil, errors.New("EC key: d is not in the range of its curve")
	}
	made, err := ecdsa.ParseRawPrivateKey(key.Curve, own)
	if err != nil || !made.PublicKey.Equal(&key.PublicKey) {
		return nil, errors.New("EC key: d does not belong to x and y")
	}
	return made, nil
}

// parsePEM reads the one key block of data. Parameter blocks, which openssl puts
// in front of EC keys, are passed over.
func parsePEM(data []byte) (PublicKey, crypto.Signer, error) {
	var key any
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type == "EC PARAMETERS" {
			continue
		}
		if key != nil {
			return PublicKey{}, nil, errors.New("PEM: more than one block, but one key was expected")
		}
		var err error
		if key, err = decodeBlock(block); err != nil {
			return PublicKey{}, nil, fmt.Errorf("PEM block %q: %v", block.Type, err)
		}
	}
	if key == nil {
		return PublicKey{}, nil, errors.New("PEM: no whole key block")
	}
	signer, ok := key.(crypto.Signer)
	if ok {
		key = signer.Public()
	}
	public, err := bare(key)
	return public, signer, err
}

func decodeBlock(block *pem.Block) (any, error) {
	if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, errors.New("the key is encrypted: decrypt it first, with openssl pkey")
	}
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "PRIVATE KEY":
		return signerFromPKCS8(block.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, errors.New("not a key: use PUBLIC KEY, PRIVATE KEY, or their RSA and EC forms")
	}
}
