package jwk

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// parsePEM reads the key blocks of data. It skips parameter blocks, which openssl writes
// before EC keys, and the certificates after the first, which are its chain.
func parsePEM(data []byte) ([]pair, error) {
	var pairs []pair
	certificates := 0
	for rest := rebuildPEM(data); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			certificates++
		}
		if block.Type == "EC PARAMETERS" || certificates > 1 && block.Type == "CERTIFICATE" {
			continue
		}
		p, err := decodeBlock(block)
		if err != nil {
			return nil, fmt.Errorf("PEM block %q: %v", block.Type, err)
		}
		pairs = append(pairs, p)
	}
	switch {
	case len(pairs) > 0:
		return pairs, nil
	case bytes.Contains(data, []byte("ENCRYPTED")): // its headers are lost if it is on one line
		return nil, errEncrypted
	default:
		return nil, errors.New("PEM: no complete key block")
	}
}

var errEncrypted = errors.New("the key is encrypted: decrypt it first, with openssl pkey")

// rebuildPEM returns the PEM blocks of data in lines. In settings and environment
// variables, the ends of the lines are often spaces, the two characters \n, or missing.
func rebuildPEM(data []byte) []byte {
	text := strings.NewReplacer(`\r`, "", `\n`, "\n").Replace(string(data))
	var b strings.Builder
	for _, block := range regexp.MustCompile(`(?s)-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END ([A-Z0-9 ]+)-----`).FindAllStringSubmatch(text, -1) {
		body := strings.TrimSpace(block[2])
		if !strings.Contains(body, "\n") {
			body = strings.Join(strings.Fields(body), "")
		}
		fmt.Fprintf(&b, "-----BEGIN %s-----\n%s\n-----END %s-----\n", block[1], body, block[3])
	}
	return []byte(b.String())
}

func decodeBlock(block *pem.Block) (pair, error) {
	if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return pair{}, errEncrypted
	}
	var key any
	var limit pss
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, limit, err = parsePKIX(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			key, limit, err = parsePKIX(certificate.RawSubjectPublicKeyInfo)
		}
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "PRIVATE KEY":
		key, limit, err = parsePKCS8(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		err = errors.New("not a key: use PUBLIC KEY, PRIVATE KEY, their RSA and EC forms, or CERTIFICATE")
	}
	if err != nil {
		return pair{}, err
	}
	var p pair
	if signer, ok := key.(crypto.Signer); ok {
		p.signer, key = signer, signer.Public()
	}
	if p.public, err = newKey(key); err != nil {
		return pair{}, err
	}
	p.public.pssOnly, p.public.alg = limit.only, limit.alg
	return p, nil
}

// pss says what the OID of a key restricts: a key with the OID of RSASSA-PSS (RFC 4055,
// section 1.2) is for that only, and may be for one hash function only.
type pss struct {
	only bool
	alg  Algorithm // "" if the key may be used with any hash function
}

func isPSS(algorithm pkix.AlgorithmIdentifier) bool {
	return algorithm.Algorithm.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10})
}

// parsePKIX is x509.ParsePKIXPublicKey, which refuses RSASSA-PSS keys.
func parsePKIX(der []byte) (key any, limit pss, err error) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if rest, err := asn1.Unmarshal(der, &info); err == nil && len(rest) == 0 && isPSS(info.Algorithm) {
		if limit, err = limitOf(info.Algorithm); err != nil {
			return nil, pss{}, err
		}
		info.Algorithm = pkix.AlgorithmIdentifier{
			Algorithm:  asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, // rsaEncryption
			Parameters: asn1.NullRawValue,
		}
		if der, err = asn1.Marshal(info); err != nil {
			return nil, pss{}, err
		}
	}
	key, err = x509.ParsePKIXPublicKey(der)
	return key, limit, err
}

// parsePKCS8 is signerFromPKCS8, and accepts RSASSA-PSS keys too.
func parsePKCS8(der []byte) (key any, limit pss, err error) {
	var info struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
		Rest      []asn1.RawValue `asn1:"optional,tag:0"`
	}
	if _, err := asn1.Unmarshal(der, &info); err == nil && isPSS(info.Algorithm) {
		if limit, err = limitOf(info.Algorithm); err != nil {
			return nil, pss{}, err
		}
		key, err = x509.ParsePKCS1PrivateKey(info.Key)
		return key, limit, err
	}
	key, err = signerFromPKCS8(der)
	return key, limit, err
}

// limitOf reads the parameters of an RSASSA-PSS key (RFC 4055, section 3.1). Without
// parameters, the key may be used with any hash function.
func limitOf(algorithm pkix.AlgorithmIdentifier) (pss, error) {
	if len(algorithm.Parameters.FullBytes) == 0 {
		return pss{only: true}, nil
	}
	var parameters struct {
		Hash pkix.AlgorithmIdentifier `asn1:"explicit,tag:0,optional"`
		MGF  pkix.AlgorithmIdentifier `asn1:"explicit,tag:1,optional"`
		Salt int                      `asn1:"explicit,tag:2,optional,default:20"`
	}
	if _, err := asn1.Unmarshal(algorithm.Parameters.FullBytes, &parameters); err != nil {
		return pss{}, errors.New("the parameters of the RSASSA-PSS key cannot be read")
	}
	sha2 := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2}
	for i, alg := range []Algorithm{PS256, PS384, PS512} {
		if parameters.Hash.Algorithm.Equal(append(sha2, i+1)) {
			return pss{true, alg}, nil
		}
	}
	return pss{}, errors.New("the RSASSA-PSS key is for a hash function that JWS does not have: use SHA-256, SHA-384 or SHA-512")
}
