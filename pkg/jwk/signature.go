package jwk

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// ErrSignature says that a signature is not one of this key over this input.
var ErrSignature = errors.New("the signature is wrong")

// Verify checks a raw JWS signature over input (RFC 7515, section 5.2). It
// returns ErrSignature if it is wrong, and the error of Fits if the key may not
// verify alg in the first place.
//
// RSA signatures have the length of the modulus, PSS salts that of the hash, and
// ECDSA signatures are r and s at full length, nothing else (RFC 7518, section 3).
func (k PublicKey) Verify(alg Algorithm, input, signature []byte) error {
	row, err := alg.spec()
	if err != nil {
		return err
	}
	if err := k.fits(row); err != nil {
		return err
	}
	if !row.verify(k.material, input, signature) {
		return ErrSignature
	}
	return nil
}

func (s spec) verify(key crypto.PublicKey, input, signature []byte) bool {
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

// sign asks signer for a signature and gives it the form of a JWS.
func (s spec) sign(signer crypto.Signer, input []byte) ([]byte, error) {
	var opts crypto.SignerOpts = s.hash
	if s.pss {
		opts = s.pssOptions()
	}
	signature, err := s.signMessage(signer, input, opts)
	if err != nil {
		return nil, err
	}
	if s.keyType == typeEC {
		return s.fixedLength(signature)
	}
	return signature, nil
}

// signMessage is crypto.SignMessage without a hash.Hash on the heap.
func (s spec) signMessage(signer crypto.Signer, input []byte, opts crypto.SignerOpts) ([]byte, error) {
	if signer, ok := signer.(crypto.MessageSigner); ok {
		return signer.SignMessage(rand.Reader, input, opts)
	}
	if s.hash != 0 {
		input = s.digest(input)
	}
	return signer.Sign(rand.Reader, input, opts)
}

func (s spec) pssOptions() *rsa.PSSOptions {
	return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: s.hash}
}

// digest returns the hash of input.
func (s spec) digest(input []byte) []byte {
	switch s.hash {
	case crypto.SHA384:
		sum := sha512.Sum384(input)
		return sum[:]
	case crypto.SHA512:
		sum := sha512.Sum512(input)
		return sum[:]
	default:
		sum := sha256.Sum256(input)
		return sum[:]
	}
}

// coordinate returns the length of r and of s, in bytes.
func (s spec) coordinate() int { return (s.bits + 7) / 8 }

// fixedLength turns the ASN.1 of an ECDSA signer into r followed by s (RFC
// 7518, section 3.4).
func (s spec) fixedLength(der []byte) ([]byte, error) {
	var r, t []byte // without leading zeros, except that zero is one of them
	var point cryptobyte.String
	input := cryptobyte.String(der)
	size := s.coordinate()
	if !input.ReadASN1(&point, asn1.SEQUENCE) || !input.Empty() ||
		!point.ReadASN1Integer(&r) || !point.ReadASN1Integer(&t) || !point.Empty() ||
		!fitsIn(r, size) || !fitsIn(t, size) {
		return nil, errors.New("the signer did not return an ASN.1 signature of this curve")
	}
	signature := make([]byte, 2*size)
	copy(signature[size-len(r):], r)
	copy(signature[2*size-len(t):], t)
	return signature, nil
}

// fitsIn reports whether n, without leading zeros, is positive and at most size
// bytes long.
func fitsIn(n []byte, size int) bool {
	return n[0] != 0 && len(n) <= size
}
