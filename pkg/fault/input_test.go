package fault_test

import (
	"bytes"
	"crypto"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/fault"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

func checkNeed(t *testing.T, name string, err error) {
	t.Helper()
	need, ok := errors.AsType[*fault.NeedError](err)
	if !ok || need.Case != name || need.What == "" || !strings.HasPrefix(err.Error(), name+" needs ") {
		t.Errorf("%s: got %v, want a NeedError", name, err)
	}
}

// opaqueSigner is a crypto.Signer whose key cannot be exported.
type opaqueSigner struct{ crypto.Signer }

func (s opaqueSigner) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return s.Signer.Sign(r, digest, o)
}

// TestNeeds makes cases without what they need. The error says what is missing.
func TestNeeds(t *testing.T) {
	tests := map[string]struct {
		cases string
		lack  func(in *fault.Input)
		what  string
	}{
		"ECDSA":    {"ecdsa-der ecdsa-zero ecdsa-high-s ecdsa-wrong-curve ok-each-alg/es512", func(in *fault.Input) { in.Others = nil }, "a key for ES"},
		"Ed25519":  {"eddsa-s-plus-l ok-each-alg/ed25519", func(in *fault.Input) { in.Others = nil }, "a key for EdDSA"},
		"PSS":      {"pss-salt", func(in *fault.Input) { in.Others = nil }, "a key for PS256 or PS384 or PS512"},
		"audience": {"aud-wrong aud-missing aud-near aud-near/case aud-type ok-aud-array typ-missing", func(in *fault.Input) { in.Request.Audience = nil }, "audience"},
		"letter":   {"aud-near/case", func(in *fault.Input) { in.Request.Audience = []string{"42"} }, "letter"},
		"URL":      {"iss-near/port iss-near/scheme", func(in *fault.Input) { in.Request.Issuer = "me" }, "URL"},
		"profile":  {"typ-id-token ok-typ-forms sub-missing", func(in *fault.Input) { in.Request.Subject = "" }, "a subject"},
		"states": {"key-expired key-revoked ok-key-retired", func(in *fault.Input) {
			in.Retired, in.Expired, in.Revoked = jwk.PrivateKey{}, jwk.PrivateKey{}, jwk.PrivateKey{}
		}, "gallery"},
		"alias":       {"ok-long-kid", func(in *fault.Input) { in.Alias = "" }, "gallery"},
		"attacker":    {"sig-untrusted-key hdr-jwk hdr-jku kid-unknown/own-key", func(in *fault.Input) { in.Attacker = rsaKey(jwk.RS512, 1) }, "an attacker key for RS256"},
		"untrusted":   {"sig-untrusted-key hdr-jwk kid-unknown/own-key", func(in *fault.Input) { in.Attacker = in.Key }, "not the trusted key"},
		"spare bits":  {"enc-trailing-bits", func(in *fault.Input) { in.Key = es384(t) }, "bits unused"},
		"encryption":  {"jwe-for-jws jwe-zip", func(in *fault.Input) { in.Key, in.Others = eddsa(t), nil }, "an RSA or EC key"},
		"private key": {"alg-same-key-other rsa-padding/digest-info", func(in *fault.Input) { in.Key, in.Others = notExportable(t, in.Key), nil }, "exported from its signer"},
	}
	for name, test := range tests {
		in := input()
		test.lack(&in)
		for c := range strings.FieldsSeq(test.cases) {
			found, ok := fault.Find(c)
			if !ok {
				t.Fatalf("%s: no case %s", name, c)
			}
			compact, err := found.Make(in)
			checkNeed(t, found.Name, err)
			if err != nil && !strings.Contains(err.Error(), test.what) || compact != "" {
				t.Errorf("%s: %s made %q, %v", name, c, compact, err)
			}
		}
	}
}

func es384(t *testing.T) jwk.PrivateKey { key, _, _, _ := keysFor(t, jwk.ES384); return key }
func eddsa(t *testing.T) jwk.PrivateKey { key, _, _, _ := keysFor(t, jwk.EdDSA); return key }

// notExportable returns the same key, as one that cannot be exported.
func notExportable(t *testing.T, key jwk.PrivateKey) jwk.PrivateKey {
	t.Helper()
	der, err := key.MarshalPKCS8()
	if err != nil {
		t.Fatal(err)
	}
	signer := mustSigner(t, der)
	out, err := jwk.NewPrivateKey(key.Algorithm(), opaqueSigner{signer})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAttackerIsGenerated checks that a missing attacker's key is generated, and that kid,
// jwk and signature are of the same key.
func TestAttackerIsGenerated(t *testing.T) {
	in := input()
	in.Key, _, _, _ = keysFor(t, jwk.ES256)
	in.Attacker = jwk.PrivateKey{}
	c, _ := fault.Find("hdr-jwk/own-kid")
	compact, err := c.Make(in)
	if err != nil {
		t.Fatal(err)
	}
	var header struct {
		KeyID string        `json:"kid"`
		JWK   jwk.PublicKey `json:"jwk"`
	}
	parts, err := token.Split(compact, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(parts.Header, &header); err != nil {
		t.Fatal(err)
	}
	if header.KeyID != header.JWK.KeyID() || header.KeyID == in.Key.KeyID() {
		t.Errorf("kid %s, jwk %s", header.KeyID, header.JWK.KeyID())
	}
	if err := header.JWK.Verify(jwk.ES256, []byte(parts.Input), parts.Signature); err != nil {
		t.Error(err)
	}
}

// TestCanary checks that jku and x5u are the canary, or else its default.
func TestCanary(t *testing.T) {
	for canary, want := range map[string]string{"": fault.DefaultCanary, "http://127.0.0.1:1/c": "http://127.0.0.1:1/c"} {
		in := input()
		in.Canary = canary
		for name, member := range map[string]string{"hdr-jku": "jku", "hdr-x5u": "x5u"} {
			c, _ := fault.Find(name)
			compact, err := c.Make(in)
			if err != nil {
				t.Fatal(err)
			}
			var header map[string]any
			if err := json.Unmarshal(token.Inspect(compact).Header, &header); err != nil || header[member] != want {
				t.Errorf("%s: %v, %v", name, header, err)
			}
		}
	}
}

// TestRequest checks that faulty tokens follow the request, and that an invalid request
// gives the error of Mint.
func TestRequest(t *testing.T) {
	in := input()
	in.Request.Claims, in.Request.Scope, in.Request.Type, in.Request.TTL = map[string]any{"team": "blue"}, "read", "at+jwt", 0
	c, _ := fault.Find("sig-flipped")
	compact, err := c.Make(in)
	if err != nil {
		t.Fatal(err)
	}
	u := token.Inspect(compact)
	var claims map[string]any
	if err := json.Unmarshal(u.Claims, &claims); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"iss": issuer, "aud": audience, "sub": "alice", "scope": "read", "team": "blue", "jti": "sig-flipped",
		"iat": float64(now().Unix()), "exp": float64(now().Add(time.Hour).Unix()),
	}
	if diff := cmp.Diff(want, claims); diff != "" || !bytes.Contains(u.Header, []byte(`"typ":"at+jwt"`)) {
		t.Errorf("header %s, claims (-want +got):\n%s", u.Header, diff)
	}
	in.Latest = now().Add(40 * time.Minute)
	if compact, err = c.Make(in); err != nil || !bytes.Contains(token.Inspect(compact).Claims, []byte(`"exp":1898858400`)) {
		t.Errorf("exp of the good token is not the latest exp: %v, %s", err, token.Inspect(compact).Claims)
	}
	in.Request.TTL = time.Hour
	_, err = c.Make(in)
	if ttl, ok := errors.AsType[*token.TTLError](err); !ok || ttl.Longest != 40*time.Minute {
		t.Errorf("a TTL beyond the latest exp: %v", err)
	}
	in.Request.Claims = map[string]any{"exp": 1}
	if _, err := c.Make(in); err == nil {
		t.Error("Claims may contain exp")
	}
}

// TestComplete completes an Input that has almost nothing set.
func TestComplete(t *testing.T) {
	key, _, _, _ := keysFor(t, jwk.EdDSA)
	in := input()
	in, err := fault.Input{Key: key, Others: in.Others}.Complete() // RSA keys are slow to generate
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, k := range append(in.Others, in.Key, in.Attacker, in.Retired, in.Expired, in.Revoked) {
		if k.IsZero() || seen[k.KeyID()] {
			t.Errorf("zero key, or used twice: %s", k)
		}
		seen[k.KeyID()] = true
	}
	if in.Now.IsZero() || len(in.Alias) != 128 || in.Canary != fault.DefaultCanary || in.Request.Issuer == "" ||
		in.Request.Subject == "" || len(in.Request.Audience) != 1 || in.Request.TTL < time.Hour || !in.Key.Public().Equal(key.Public()) {
		t.Errorf("incomplete: %+v", in)
	}
}

// TestNearIssuer pins the variants of iss-near for several forms of URL.
func TestNearIssuer(t *testing.T) {
	tests := map[string]map[string]string{
		"https://issuer.example": {
			"slash": "https://issuer.example/", "case": "Https://issuer.example",
			"port": "https://issuer.example:443", "scheme": "http://issuer.example",
		},
		"http://127.0.0.1:8080/": {
			"slash": "http://127.0.0.1:8080", "case": "Http://127.0.0.1:8080/",
			"port": "http://127.0.0.1/", "scheme": "https://127.0.0.1:8080/",
		},
		"http://issuer.example": {
			"slash": "http://issuer.example/", "case": "Http://issuer.example",
			"port": "http://issuer.example:80", "scheme": "https://issuer.example",
		},
	}
	for iss, variants := range tests {
		in := input()
		in.Request.Issuer = iss
		for variant, want := range variants {
			c, _ := fault.Find("iss-near/" + variant)
			compact, err := c.Make(in)
			if err != nil {
				t.Fatal(err)
			}
			var claims struct{ Iss string }
			if err := json.Unmarshal(token.Inspect(compact).Claims, &claims); err != nil || claims.Iss != want {
				t.Errorf("%s of %s: %q, %v", variant, iss, claims.Iss, err)
			}
		}
	}
}
