package jwk_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// fixture reads a file of testdata.
func fixture(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// signer reads a PKCS#8 fixture without the package under test.
func signer(tb testing.TB, name string) crypto.Signer {
	tb.Helper()
	block, _ := pem.Decode(fixture(tb, name))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		tb.Fatal(err)
	}
	s, ok := key.(crypto.Signer)
	if !ok {
		tb.Fatalf("%s contains a %T", name, key)
	}
	return s
}

// file returns the name of the fixture for an algorithm.
func file(alg jwk.Algorithm) string {
	switch alg {
	case jwk.ES256:
		return "p256.pem"
	case jwk.ES384:
		return "p384.pem"
	case jwk.ES512:
		return "p521.pem"
	case jwk.EdDSA:
		return "ed25519.pem"
	default:
		return "rsa2048.pem"
	}
}

// private returns the key in the fixture for an algorithm.
func private(tb testing.TB, alg jwk.Algorithm) jwk.PrivateKey {
	tb.Helper()
	key, err := jwk.NewPrivateKey(alg, signer(tb, file(alg)))
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// publicJSON returns the public JWK of a fixture as an object that a test may change.
func publicJSON(tb testing.TB, alg jwk.Algorithm) map[string]any {
	tb.Helper()
	return unmarshal(tb, toJSON(tb, private(tb, alg).Public()))
}

func unmarshal(tb testing.TB, data []byte) map[string]any {
	tb.Helper()
	var object map[string]any
	if err := json.Unmarshal(data, &object); err != nil {
		tb.Fatal(err)
	}
	return object
}

func toJSON(tb testing.TB, v any) []byte {
	tb.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func decode(tb testing.TB, s string) []byte {
	tb.Helper()
	data, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// remote is a signer of another type than the keys of the standard library, like a
// hardware module. It returns signature or err, if one of them is set.
type remote struct {
	crypto.Signer
	signature []byte
	err       error
}

func (r remote) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if r.signature != nil || r.err != nil {
		return r.signature, r.err
	}
	return r.Signer.Sign(rand, digest, opts)
}

// messageSigner is a signer that hashes the input itself.
type messageSigner struct {
	remote
	key crypto.Signer
}

func (m messageSigner) SignMessage(rand io.Reader, input []byte, opts crypto.SignerOpts) ([]byte, error) {
	return crypto.SignMessage(m.key, rand, input, opts)
}

// lowOrder returns a point of Ed25519 for which anyone can forge signatures.
func lowOrder() ed25519.PublicKey {
	point := make(ed25519.PublicKey, ed25519.PublicKeySize)
	point[0] = 1
	return point
}
