package jwk

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Parse reads one key from a JWK or from PEM (PKIX, PKCS#1, PKCS#8 or SEC 1) and
// returns the public key, also if the input is a private key. A key from PEM has no
// kid, alg, use or key_ops.
func Parse(data []byte) (PublicKey, error) {
	public, _, err := parse(data)
	return public, err
}

// ParsePrivate reads one private key from a JWK or from PEM, to sign with alg. If
// alg is "", it is the alg of the JWK, then the one algorithm that the key type
// allows, then RS256. The use and key_ops of a JWK must allow alg, but are dropped,
// as its kid is: the kid of the result is the thumbprint.
func ParsePrivate(alg Algorithm, data []byte) (PrivateKey, error) {
	public, signer, err := parse(data)
	if err != nil {
		return PrivateKey{}, err
	}
	if signer == nil {
		return PrivateKey{}, errors.New("a private key was expected, but this one is public")
	}
	if alg == "" {
		alg = public.defaultAlgorithm()
	}
	if err := public.checkSigning(alg); err != nil {
		return PrivateKey{}, err
	}
	return NewPrivateKey(alg, signer)
}

// defaultAlgorithm returns the alg of the key, or the first algorithm for its type
// and curve.
func (k PublicKey) defaultAlgorithm() Algorithm {
	if k.alg != "" {
		return k.alg
	}
	for _, s := range table() {
		if s.keyType == k.params.KeyType && s.curve == k.params.Curve {
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

// parse returns the public key, and the private key if data has one.
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
	object, err := readMembers(data)
	if err != nil {
		return PublicKey{}, nil, err
	}
	if _, ok := object["keys"]; ok {
		return PublicKey{}, nil, errors.New("this is a JWK Set, but one key was expected: pass one element of its keys")
	}
	if _, ok := object["d"]; !ok {
		var public PublicKey
		err := public.UnmarshalJSON(data)
		return public, nil, err
	}
	public, err := object.public()
	if err != nil {
		return PublicKey{}, nil, err
	}
	signer, err := object.signer(public.params)
	if err != nil {
		return PublicKey{}, nil, err
	}
	return public, signer, nil
}

// signer reads the private members of a JWK whose public parameters are p. Its
// errors do not contain the values.
func (m members) signer(p params) (crypto.Signer, error) {
	if _, ok := m["oth"]; ok {
		return nil, errors.New("RSA keys of more than two primes are not supported")
	}
	private := struct {
		params
		D string `json:"d"`
		P string `json:"p,omitempty"`
		Q string `json:"q,omitempty"`
		// dp, dq and qi follow from the others: they are computed, not read.
	}{params: p}
	fields := []field{{"d", &private.D}}
	if p.KeyType == typeRSA {
		fields = append(fields, field{"p", &private.P}, field{"q", &private.Q})
	}
	if err := m.texts(fields...); err != nil {
		return nil, err
	}
	key, err := decodeJWK(private)
	if err != nil {
		return nil, errors.New("the private members are missing, broken, or do not belong to the public ones; RSA needs d, p and q")
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

// parsePEM reads the one key block of data. It skips parameter blocks, which openssl
// writes before EC keys.
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
		return PublicKey{}, nil, errors.New("PEM: no complete key block")
	}
	signer, ok := key.(crypto.Signer)
	if ok {
		key = signer.Public()
	}
	public, err := newKey(key)
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
