package jwk

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// ErrSignature means that a signature was not made with this key over this input.
var ErrSignature = errors.New("the signature is wrong")

// Verify checks a raw JWS signature over input (RFC 7515, section 5.2). It returns
// ErrSignature if the signature is wrong, and the error of CheckAlgorithm if the key
// may not verify alg.
//
// RSA signatures must have the length of the modulus, PSS salts the length of the
// hash, and ECDSA signatures are r and s at full length (RFC 7518, section 3).
func (k PublicKey) Verify(alg Algorithm, input, signature []byte) error {
	scheme, err := alg.scheme()
	if err != nil {
		return err
	}
	if err := k.checkScheme(scheme); err != nil {
		return err
	}
	if !scheme.verify(k.material, input, signature) {
		return ErrSignature
	}
	return nil
}

func (s scheme) verify(key crypto.PublicKey, input, signature []byte) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if s.pss {
			return rsa.VerifyPSS(key, s.hash, s.digest(input), signature, s.pssOptions()) == nil
		}
		return rsa.VerifyPKCS1v15(key, s.hash, s.digest(input), signature) == nil
	case *ecdsa.PublicKey:
		size := s.coordinate()
		if len(signature) != 2*size {
			return false
		}
		r, t := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
		return ecdsa.Verify(key, s.digest(input), r, t)
	case ed25519.PublicKey:
		return ed25519.Verify(key, input, signature)
	default:
		return false
	}
}

// sign returns the signature of signer over input in the form that JWS demands.
func (s scheme) sign(signer crypto.Signer, input []byte) ([]byte, error) {
	var opts crypto.SignerOpts = s.hash
	if s.pss {
		opts = s.pssOptions()
	}
	signature, err := crypto.SignMessage(signer, rand.Reader, input, opts)
	if err != nil {
		return nil, err
	}
	if s.keyType == typeEC {
		return s.fixedLength(signature)
	}
	return signature, nil
}

func (s scheme) pssOptions() *rsa.PSSOptions {
	return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: s.hash}
}

func (s scheme) digest(input []byte) []byte {
	hash := s.hash.New()
	hash.Write(input)
	return hash.Sum(nil)
}

// coordinate returns the length of r and of s, in bytes.
func (s scheme) coordinate() int { return (s.bits + 7) / 8 }

// fixedLength converts the ASN.1 of an ECDSA signature to r followed by s (RFC 7518,
// section 3.4).
func (s scheme) fixedLength(der []byte) ([]byte, error) {
	var r, t []byte // without leading zeros; the number zero is one zero byte
	var sequence cryptobyte.String
	input := cryptobyte.String(der)
	size := s.coordinate()
	if !input.ReadASN1(&sequence, asn1.SEQUENCE) || !input.Empty() ||
		!sequence.ReadASN1Integer(&r) || !sequence.ReadASN1Integer(&t) || !sequence.Empty() ||
		!inRange(r, size) || !inRange(t, size) {
		return nil, errors.New("the signer did not return an ASN.1 signature of this curve")
	}
	signature := make([]byte, 2*size)
	copy(signature[size-len(r):], r)
	copy(signature[2*size-len(t):], t)
	return signature, nil
}

// inRange reports whether n, which has no leading zeros, is not zero and has at
// most size bytes.
func inRange(n []byte, size int) bool {
	return n[0] != 0 && len(n) <= size
}
