package jwk_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// TestVectors checks the examples of RFC 7515, appendices A.2 and A.3, and RFC
// 8037, appendix A.4.
func TestVectors(t *testing.T) {
	tests := []struct {
		alg                   jwk.Algorithm
		key, input, signature string
	}{
		{
			jwk.RS256,
			`{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}`,
			"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
			"cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
		},
		{
			jwk.ES256,
			`{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`,
			"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
			"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
		},
		{
			jwk.EdDSA,
			`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
			"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
			"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
		},
	}
	for _, test := range tests {
		t.Run(string(test.alg), func(t *testing.T) {
			var key jwk.PublicKey
			if err := key.UnmarshalJSON([]byte(test.key)); err != nil {
				t.Fatal(err)
			}
			if err := key.Verify(test.alg, []byte(test.input), decode(t, test.signature)); err != nil {
				t.Error(err)
			}
			if err := key.Verify(test.alg, []byte(test.input+"x"), decode(t, test.signature)); !errors.Is(err, jwk.ErrSignature) {
				t.Errorf("another input: %v, want ErrSignature", err)
			}
		})
	}
}

// TestEd25519Signing signs the example of RFC 8037, appendix A.4.
func TestEd25519Signing(t *testing.T) {
	seed := decode(t, "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
	key, err := jwk.NewPrivateKey("Ed25519", ed25519.NewKeyFromSeed(seed))
	if err != nil {
		t.Fatal(err)
	}
	got, err := key.Sign([]byte("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"))
	if err != nil {
		t.Fatal(err)
	}
	want := decode(t, "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
	if !bytes.Equal(got, want) {
		t.Errorf("signature %x, want %x", got, want)
	}
}

func TestSignAndVerify(t *testing.T) {
	input := []byte("header.payload")
	for _, alg := range jwk.Algorithms() {
		t.Run(string(alg), func(t *testing.T) {
			key := private(t, alg)
			good, err := key.Sign(input)
			if err != nil {
				t.Fatal(err)
			}
			if err := key.Public().Verify(alg, input, good); err != nil {
				t.Fatal(err)
			}
			flipped := bytes.Clone(good)
			flipped[len(flipped)-1] ^= 1
			for name, bad := range map[string][]byte{
				"empty":          nil,
				"flipped bit":    flipped,
				"truncated":      good[1:],
				"a zero before":  append([]byte{0}, good...),
				"a zero after":   append(bytes.Clone(good), 0),
				"all zeros":      make([]byte, len(good)),
				"of another key": otherSignature(t, alg, input),
			} {
				if err := key.Public().Verify(alg, input, bad); !errors.Is(err, jwk.ErrSignature) {
					t.Errorf("%s: %v, want ErrSignature", name, err)
				}
			}
		})
	}
}

// otherSignature signs with a key of the same kind.
func otherSignature(t *testing.T, alg jwk.Algorithm, input []byte) []byte {
	t.Helper()
	var key jwk.PrivateKey
	var err error
	if alg.KeyType() == "RSA" {
		key, err = jwk.NewPrivateKey(alg, signer(t, "other-rsa2048.pem"))
	} else {
		key, err = jwk.Generate(alg, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	signature, err := key.Sign(input)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// TestRSALeadingZero signs an input whose signature starts with a zero byte, which
// must not be left out.
func TestRSALeadingZero(t *testing.T) {
	key, input := private(t, jwk.RS256), []byte{14} // RSASSA-PKCS1-v1_5 is deterministic
	signature, err := key.Sign(input)
	if err != nil || len(signature) != 256 || signature[0] != 0 {
		t.Fatalf("signature of %d bytes that starts with %v, %v", len(signature), signature[:1], err)
	}
	if err := key.Public().Verify(jwk.RS256, input, signature[1:]); !errors.Is(err, jwk.ErrSignature) {
		t.Errorf("without its leading zero: %v, want ErrSignature", err)
	}
}

func TestPSSSaltLength(t *testing.T) {
	input := []byte("header.payload")
	digest := sha256.Sum256(input)
	raw := signer(t, "rsa2048.pem")
	public := private(t, jwk.PS256).Public()
	for salt, want := range map[int]error{
		32: nil, 0: jwk.ErrSignature, 20: jwk.ErrSignature, 31: jwk.ErrSignature, 33: jwk.ErrSignature, 64: jwk.ErrSignature,
	} {
		// In Go a salt length of 0 means the longest one, here 222 bytes.
		signature, err := raw.Sign(rand.Reader, digest[:], &rsa.PSSOptions{SaltLength: salt, Hash: crypto.SHA256})
		if err != nil {
			t.Fatal(err)
		}
		if got := public.Verify(jwk.PS256, input, signature); !errors.Is(got, want) {
			t.Errorf("salt of %d bytes: %v, want %v", salt, got, want)
		}
	}
	signature, err := private(t, jwk.PS256).Sign(input)
	if err != nil {
		t.Fatal(err)
	}
	err = rsa.VerifyPSS(rsaKey(t, "rsa2048.pem"), crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: 32})
	if err != nil {
		t.Errorf("the salt of Sign is not 32 bytes long: %v", err)
	}
}

func TestECDSAForms(t *testing.T) {
	input := []byte("header.payload")
	for _, alg := range []jwk.Algorithm{jwk.ES256, jwk.ES384, jwk.ES512} {
		t.Run(string(alg), func(t *testing.T) {
			key := private(t, alg)
			good, err := key.Sign(input)
			if err != nil {
				t.Fatal(err)
			}
			size := len(good) / 2
			if want := (alg.DefaultSize() + 7) / 8; size != want {
				t.Fatalf("r has %d bytes, want %d", size, want)
			}
			r, s := good[:size], good[size:]
			zero := make([]byte, size)
			full := bytes.Repeat([]byte{0xff}, size)
			for name, bad := range map[string][]byte{
				"r is zero":          slices.Concat(zero, s),
				"s is zero":          slices.Concat(r, zero),
				"r over the order":   slices.Concat(full, s),
				"s over the order":   slices.Concat(r, full),
				"ASN.1":              derOf(t, r, s),
				"s a byte longer":    slices.Concat(r, []byte{0}, s),
				"both a byte longer": slices.Concat([]byte{0}, r, []byte{0}, s),
			} {
				if err := key.Public().Verify(alg, input, bad); !errors.Is(err, jwk.ErrSignature) {
					t.Errorf("%s: %v, want ErrSignature", name, err)
				}
			}
		})
	}
}

func derOf(t *testing.T, r, s []byte) []byte {
	t.Helper()
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(r), new(big.Int).SetBytes(s)})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// signedAs returns the JWS signature of a key for alg whose signer returns signature.
func signedAs(t *testing.T, alg jwk.Algorithm, signature []byte) ([]byte, error) {
	t.Helper()
	key, err := jwk.NewPrivateKey(alg, remote{signer(t, file(alg)), signature, nil})
	if err != nil {
		t.Fatal(err)
	}
	return key.Sign(nil)
}

// TestFixedLength checks that r and s are padded with zeros, and do not contain the
// zero that ASN.1 writes before a high bit.
func TestFixedLength(t *testing.T) {
	for alg, size := range map[jwk.Algorithm]int{jwk.ES256: 32, jwk.ES384: 48, jwk.ES512: 66} {
		for _, r := range [][]byte{{1}, {0x80}, {1, 0}, bytes.Repeat([]byte{1}, size), bytes.Repeat([]byte{0xff}, size)} {
			s := slices.Concat([]byte{2}, r[1:])
			got, err := signedAs(t, alg, derOf(t, r, s))
			if err != nil {
				t.Fatal(err)
			}
			zeros := make([]byte, size-len(r))
			if want := slices.Concat(zeros, r, zeros, s); !bytes.Equal(got, want) {
				t.Errorf("%s: signature %x, want %x", alg, got, want)
			}
		}
	}
}

func TestBrokenSigner(t *testing.T) {
	for name, signature := range map[string][]byte{
		"empty":               {},
		"not ASN.1":           make([]byte, 64),
		"a SET":               {0x31, 6, 2, 1, 1, 2, 1, 2},
		"no integers":         {0x30, 6, 4, 1, 1, 4, 1, 2},
		"r alone":             {0x30, 3, 2, 1, 1},
		"three integers":      {0x30, 9, 2, 1, 1, 2, 1, 2, 2, 1, 3},
		"trailing data":       {0x30, 6, 2, 1, 1, 2, 1, 2, 0},
		"cut":                 {0x30, 6, 2, 1, 1, 2, 1},
		"length not minimal":  {0x30, 0x81, 6, 2, 1, 1, 2, 1, 2},
		"length not definite": {0x30, 0x80, 2, 1, 1, 2, 1, 2, 0, 0},
		"r is empty":          {0x30, 5, 2, 0, 2, 1, 2},
		"r is zero":           {0x30, 6, 2, 1, 0, 2, 1, 2},
		"s is zero":           {0x30, 6, 2, 1, 1, 2, 1, 0},
		"r is negative":       {0x30, 6, 2, 1, 0xff, 2, 1, 2},
		"s is negative":       {0x30, 6, 2, 1, 1, 2, 1, 0x80},
		"r not minimal":       {0x30, 7, 2, 2, 0, 1, 2, 1, 2},
		"s not minimal":       {0x30, 7, 2, 1, 1, 2, 2, 0, 2},
	} {
		if got, err := signedAs(t, jwk.ES256, signature); err == nil {
			t.Errorf("%s: signed %x, want an error", name, got)
		}
	}
	for alg, size := range map[jwk.Algorithm]int{jwk.ES256: 32, jwk.ES384: 48, jwk.ES512: 66} {
		long := append([]byte{1}, make([]byte, size)...)
		for name, signature := range map[string][]byte{
			"r too long": derOf(t, long, []byte{2}),
			"s too long": derOf(t, []byte{1}, long),
		} {
			if got, err := signedAs(t, alg, signature); err == nil {
				t.Errorf("%s, %s: signed %x, want an error", alg, name, got)
			}
		}
	}
}

func TestFailingSigner(t *testing.T) {
	unavailable := errors.New("the signer is unavailable")
	for _, alg := range jwk.Algorithms() {
		key, err := jwk.NewPrivateKey(alg, remote{Signer: signer(t, file(alg)), err: unavailable})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := key.Sign(nil); !errors.Is(err, unavailable) || got != nil {
			t.Errorf("%s: signed %x, %v, want the error of the signer", alg, got, err)
		}
	}
}

// checkSigns signs with a key and verifies with its public key.
func checkSigns(t *testing.T, key jwk.PrivateKey) {
	t.Helper()
	input := []byte("header.payload")
	signature, err := key.Sign(input)
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Public().Verify(key.Algorithm(), input, signature); err != nil {
		t.Errorf("%s: %v", key.Algorithm(), err)
	}
}

// TestRemoteSigner signs through a signer that is not a key of the standard library.
func TestRemoteSigner(t *testing.T) {
	for _, alg := range jwk.Algorithms() {
		key, err := jwk.NewPrivateKey(alg, remote{Signer: signer(t, file(alg))})
		if err != nil {
			t.Fatal(err)
		}
		checkSigns(t, key)
		if der, err := key.MarshalPKCS8(); err == nil {
			t.Errorf("%s: MarshalPKCS8 returned %d bytes", alg, len(der))
		}
	}
}

// TestMessageSigner signs through a crypto.MessageSigner.
func TestMessageSigner(t *testing.T) {
	for _, alg := range jwk.Algorithms() {
		key, err := jwk.NewPrivateKey(alg, messageSigner{remote{Signer: signer(t, file(alg)), err: errors.New("Sign was called with a digest")}, signer(t, file(alg))})
		if err != nil {
			t.Fatal(err)
		}
		checkSigns(t, key)
	}
}

func TestVerifyAsEd25519(t *testing.T) {
	key := private(t, jwk.EdDSA)
	signature, err := key.Sign([]byte("input"))
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Public().Verify("Ed25519", []byte("input"), signature); err != nil {
		t.Error(err)
	}
}

// TestVerifyChecksUse verifies a correct signature with a key for encryption.
func TestVerifyChecksUse(t *testing.T) {
	key := private(t, jwk.RS256)
	signature, err := key.Sign([]byte("input"))
	if err != nil {
		t.Fatal(err)
	}
	object := publicJSON(t, jwk.RS256)
	object["use"] = "enc"
	var forEncryption jwk.PublicKey
	if err := forEncryption.UnmarshalJSON(toJSON(t, object)); err != nil {
		t.Fatal(err)
	}
	if err := forEncryption.Verify(jwk.RS256, []byte("input"), signature); err == nil || errors.Is(err, jwk.ErrSignature) {
		t.Errorf("use enc: %v, want an error about the use", err)
	}
	if err := (jwk.PublicKey{}).Verify(jwk.RS256, []byte("input"), signature); err == nil {
		t.Error("the zero key verifies")
	}
}
