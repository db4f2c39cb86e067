package jwk_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"text/template"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// buried holds a key where fmt cannot call its methods.
type buried struct{ key jwk.PrivateKey }

// TestNeverPrints prints keys in every way there is and looks for their secrets.
func TestNeverPrints(t *testing.T) {
	verbs := strings.Split("%v %+v %#v %s %q %x %X %#x %d %o %b %c %U %t %e %p %T", " ")
	for _, alg := range []jwk.Algorithm{jwk.RS256, jwk.ES256, jwk.EdDSA} {
		key := private(t, alg)
		var out strings.Builder
		for _, verb := range verbs {
			for _, v := range []any{key, &key, []any{key}, map[string]any{"k": key}, buried{key}, &buried{key}, []buried{{key}}} {
				fmt.Fprintf(&out, verb+"\n", v)
			}
		}
		if err := template.Must(template.New("").Parse("{{.}} {{.String}} {{printf \"%x\" .}}")).Execute(&out, key); err != nil {
			t.Fatal(err)
		}
		out.WriteString(key.String() + key.GoString())
		for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(handler).Info("log", "key", key, "pointer", &key, "buried", buried{key}, "list", []any{key})
		}
		fmt.Fprintln(&out, fmt.Errorf("error: %v", key), key)
		for _, secret := range secrets(t, signer(t, file(alg))) {
			if strings.Contains(strings.ToLower(out.String()), strings.ToLower(secret)) {
				t.Errorf("%s: printed its secret", alg)
			}
		}
		if want := "[private key " + key.KeyID() + "]"; key.String() != want || fmt.Sprintf("%#v", key) != want || fmt.Sprintf("%x", key) != want {
			t.Errorf("%s: String %s, %%#v %#v, %%x %x; want %s", alg, key, key, key, want)
		}
		if got := key.LogValue(); got.Kind() != slog.KindString || got.String() != key.String() {
			t.Errorf("%s: LogValue %v", alg, got)
		}
	}
}

// secrets returns the private number of a key as printers would spell it.
func secrets(t *testing.T, s crypto.Signer) []string {
	t.Helper()
	var raw []byte
	switch key := s.(type) {
	case *rsa.PrivateKey:
		raw = key.Primes[0].Bytes()
	case *ecdsa.PrivateKey:
		var err error
		if raw, err = key.Bytes(); err != nil {
			t.Fatal(err)
		}
	case ed25519.PrivateKey:
		raw = key.Seed()
	}
	decimals := strings.Trim(fmt.Sprintf("%d", raw), "[]")
	goSyntax := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", raw), "[]byte{"), "}")
	return []string{fmt.Sprintf("%x", raw), fmt.Sprintf("% x", raw), decimals, goSyntax, string(raw)}
}

func TestNeverMarshals(t *testing.T) {
	key := private(t, jwk.EdDSA)
	for name, encode := range map[string]func() (any, error){
		"MarshalJSON":    func() (any, error) { return key.MarshalJSON() },
		"MarshalText":    func() (any, error) { return key.MarshalText() },
		"json":           func() (any, error) { return json.Marshal(key) },
		"json, pointer":  func() (any, error) { return json.Marshal(&key) },
		"json, in a map": func() (any, error) { return json.Marshal(map[string]any{"key": key}) },
		"xml":            func() (any, error) { return xml.Marshal(key) },
		"gob":            func() (any, error) { return nil, gob.NewEncoder(&bytes.Buffer{}).Encode(key) },
	} {
		if out, err := encode(); err == nil {
			t.Errorf("%s gave %s, want an error", name, out)
		}
	}
}

func TestGenerate(t *testing.T) {
	for _, alg := range jwk.Algorithms() {
		t.Run(string(alg), func(t *testing.T) {
			if alg.KeyType() == "RSA" && alg != jwk.RS256 {
				t.Parallel() // the slow ones
			}
			key, err := jwk.Generate(alg, 0)
			if err != nil {
				t.Fatal(err)
			}
			if key.Public().Size() != alg.DefaultSize() || key.Algorithm() != alg {
				t.Errorf("%d bits for %s", key.Public().Size(), key.Algorithm())
			}
			var public jwk.PublicKey
			if err := json.Unmarshal(toJSON(t, key.Public()), &public); err != nil {
				t.Fatal(err)
			}
			der, err := key.MarshalPKCS8()
			if err != nil {
				t.Fatal(err)
			}
			back, err := jwk.ParsePKCS8(alg, der)
			if err != nil {
				t.Fatal(err)
			}
			if !back.Public().Equal(key.Public()) {
				t.Error("another key came back from PKCS#8")
			}
			signature, err := back.Sign([]byte("input"))
			if err != nil {
				t.Fatal(err)
			}
			if err := public.Verify(alg, []byte("input"), signature); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestGenerateSizes(t *testing.T) {
	key, err := jwk.Generate(jwk.PS256, 3072)
	if err != nil || key.Public().Size() != 3072 {
		t.Errorf("%d bits, %v, want 3072", key.Public().Size(), err)
	}
	if _, err := jwk.Generate(jwk.ES512, 521); err != nil {
		t.Errorf("the size that ES512 has: %v", err)
	}
	for _, test := range []struct {
		alg  jwk.Algorithm
		size int
		want string
	}{
		{jwk.RS256, 1024, "key size 1024: RS256 keys may have 2048 3072 4096 bits"},
		{jwk.RS256, 2049, "key size 2049: RS256 keys may have 2048 3072 4096 bits"},
		{jwk.PS256, -1, "key size -1: PS256 keys may have 2048 3072 4096 bits"},
		{jwk.RS256, 8192, "key size 8192: RS256 keys may have 2048 3072 4096 bits"},
		{jwk.ES256, 2048, "key size 2048: ES256 keys have 256 bits; leave the size out"},
	} {
		if _, err := jwk.Generate(test.alg, test.size); err == nil || err.Error() != test.want {
			t.Errorf("Generate(%s, %d): %v, want %s", test.alg, test.size, err, test.want)
		}
	}
}

func TestNewPrivateKeyRefuses(t *testing.T) {
	tests := map[string]struct {
		alg    jwk.Algorithm
		signer crypto.Signer
	}{
		"nothing":           {jwk.RS256, nil},
		"empty RSA":         {jwk.RS256, &rsa.PrivateKey{}},
		"RSA of 1024 bits":  {jwk.RS256, signer(t, "rsa1024.pem")},
		"wrong curve":       {jwk.ES256, signer(t, "p384.pem")},
		"wrong type":        {jwk.EdDSA, signer(t, "p256.pem")},
		"short Ed25519":     {jwk.EdDSA, make(ed25519.PrivateKey, 8)},
		"unknown algorithm": {"HS256", signer(t, "rsa2048.pem")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if key, err := jwk.NewPrivateKey(test.alg, test.signer); err == nil || !key.IsZero() {
				t.Errorf("gave %v, %v", key, err)
			}
		})
	}
}

func TestParsePKCS8Refuses(t *testing.T) {
	der := func(name string) []byte {
		key := private(t, jwk.Algorithm(name))
		data, err := key.MarshalPKCS8()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, test := range map[string]struct {
		alg jwk.Algorithm
		der []byte
	}{
		"nothing":       {jwk.RS256, nil},
		"garbage":       {jwk.RS256, []byte("garbage")},
		"another type":  {jwk.RS256, der("ES256")},
		"another curve": {jwk.ES384, der("ES256")},
		"cut":           {jwk.RS256, der("RS256")[:100]},
		"X25519":        {jwk.EdDSA, pemBytes(t, "x25519.pem")},
	} {
		if key, err := jwk.ParsePKCS8(test.alg, test.der); err == nil {
			t.Errorf("%s: gave %v", name, key)
		}
	}
}

func TestZeroPrivateKey(t *testing.T) {
	var key jwk.PrivateKey
	if !key.IsZero() || private(t, jwk.EdDSA).IsZero() {
		t.Error("IsZero is wrong")
	}
	if key.KeyID() != "" || key.Algorithm() != "" || key.Public().KeyID() != "" {
		t.Errorf("it has kid %q, alg %q, a public key %q", key.KeyID(), key.Algorithm(), key.Public().KeyID())
	}
	if _, err := key.Sign(nil); err == nil {
		t.Error("it signs")
	}
	if _, err := key.MarshalPKCS8(); err == nil {
		t.Error("it has PKCS#8")
	}
	if got := fmt.Sprint(key); got != "[no private key]" {
		t.Errorf("it prints %s", got)
	}
}

// TestMarshalJWK takes each key out as a JWK and in again.
func TestMarshalJWK(t *testing.T) {
	for _, alg := range jwk.Algorithms() {
		key := private(t, alg)
		data, err := key.MarshalJWK()
		if err != nil {
			t.Fatal(err)
		}
		back, err := jwk.ParsePrivate("", data)
		if err != nil || !back.Public().Equal(key.Public()) {
			t.Errorf("%s came back as %v, %v", alg, back, err)
		}
		members := unmarshal(t, data)
		for name, value := range unmarshal(t, toJSON(t, key.Public())) {
			if members[name] != value {
				t.Errorf("%s: %s is %v, want %v", alg, name, members[name], value)
			}
		}
	}
	if _, err := (jwk.PrivateKey{}).MarshalJWK(); err == nil {
		t.Error("no key has a JWK")
	}
}
