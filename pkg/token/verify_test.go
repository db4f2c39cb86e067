package token_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

func TestValidate(t *testing.T) {
	tests := map[string]func(*token.Verifier){
		"no keys":             func(v *token.Verifier) { v.Keys = nil },
		"no issuer":           func(v *token.Verifier) { v.Issuer = "" },
		"empty audience":      func(v *token.Verifier) { v.Audience = []string{"api", ""} },
		"negative leeway":     func(v *token.Verifier) { v.Leeway = -1 },
		"leeway over the cap": func(v *token.Verifier) { v.Leeway = token.MaxLeeway + 1 },
		"negative min ttl":    func(v *token.Verifier) { v.MinTTL = -1 },
		"negative max age":    func(v *token.Verifier) { v.MaxAge = -1 },
		"negative size":       func(v *token.Verifier) { v.MaxSize = -1 },
		"unknown profile":     func(v *token.Verifier) { v.Profile = "id" },
		"profile and types":   func(v *token.Verifier) { v.Profile, v.Types = token.ProfileAccessToken, []string{"JWT"} },
		"profile, no aud":     func(v *token.Verifier) { v.Profile, v.Audience = token.ProfileAccessToken, nil },
	}
	for name, change := range tests {
		v := verifier()
		change(&v)
		verdict, err := v.Verify(t.Context(), good(jwk.RS256).String())
		if _, ok := errors.AsType[*token.Refusal](err); err == nil || ok || verdict.Valid {
			t.Errorf("%s: %v, want an error that is no refusal", name, err)
		}
	}
	v := verifier()
	v.Leeway = token.MaxLeeway
	if err := v.Validate(); err != nil {
		t.Error(err)
	}
}

// TestNow checks that the real clock is used if none is given.
func TestNow(t *testing.T) {
	v := verifier()
	v.Now = nil
	now := json.Number(decimal(time.Now().Unix() + 60))
	if _, err := v.Verify(t.Context(), good(jwk.RS256).claim("exp", now).claim("iat", 1).claim("nbf", 1).String()); err != nil {
		t.Error(err)
	}
	if _, err := v.Verify(t.Context(), good(jwk.RS256).claim("exp", 1_500_000_000).claim("iat", 1).claim("nbf", 1).String()); err == nil {
		t.Error("a token of 2017 was accepted")
	}
}

func decimal(n int64) string {
	data, _ := json.Marshal(n)
	return string(data)
}

// TestVerdictJSON pins the object that scripts read.
func TestVerdictJSON(t *testing.T) {
	kid := keys()[jwk.RS256].KeyID()
	tests := map[string]struct{ token, want string }{
		"valid": {
			good(jwk.RS256).claim("n", json.RawMessage("12345678901234567890.10")).String(),
			`{"valid":true,"kid":"KID","alg":"RS256","expires_in":3599,"claims":{"aud":"https://api.example","exp":1800003600,` +
				`"iat":1799992800,"iss":"https://issuer.example","jti":"1","n":12345678901234567890.10,"nbf":1799992800,"sub":"alice"}}`,
		},
		"expired": {
			good(jwk.RS256).claim("exp", 1_799_999_999).String(),
			`{"valid":false,"reason":"expired","errors":[{"reason":"expired","claim":"exp","message":"the token expired at 2027-01-15T07:59:59Z",` +
				`"hint":"get a new token"}],"kid":"KID","alg":"RS256","expires_in":-2}`,
		},
		"unsigned": {
			good(jwk.RS256).head("alg", "none").String(),
			`{"valid":false,"reason":"alg-none","errors":[{"reason":"alg-none","message":"the token is not signed: its alg is \"none\"",` +
				`"hint":"only signed tokens are accepted"}],"kid":"KID"}`,
		},
	}
	for name, test := range tests {
		verdict, _ := verifier().Verify(t.Context(), test.token)
		if diff := cmp.Diff(strings.ReplaceAll(test.want, "KID", kid), toJSON(verdict)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestReasons checks the table: each reason once, in the order of the classes.
func TestReasons(t *testing.T) {
	classes := token.Classes()
	last := 0
	seen := map[token.Reason]bool{}
	for _, info := range token.Reasons() {
		rank := slices.Index(classes, info.Class)
		if rank < last || info.Meaning == "" || seen[info.Reason] || info.Reason.Class() != info.Class {
			t.Errorf("bad line: %+v", info)
		}
		last, seen[info.Reason] = rank, true
	}
	if last != len(classes)-1 || token.Reason("x").Class() != "" {
		t.Error("a class has no reason, or a reason that does not exist has a class")
	}
}

// TestVerifySignature covers the layer below claims: RFC 8037, appendix A.4, signs
// a sentence, RFC 7515, appendix A.3, claims that expired in 2011.
func TestVerifySignature(t *testing.T) {
	tests := map[string]struct{ key, token, payload string }{
		"RFC 8037 A.4": {
			`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
			"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc." +
				"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
			"Example of Ed25519 signing",
		},
		"RFC 7515 A.3": {
			`{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`,
			"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ." +
				"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
			"{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}",
		},
	}
	for name, test := range tests {
		var key jwk.PublicKey
		if err := key.UnmarshalJSON([]byte(test.key)); err != nil {
			t.Fatal(err)
		}
		jws, err := token.VerifySignature(t.Context(), source(key), test.token)
		if err != nil || string(jws.Payload) != test.payload || !jws.Key.Equal(key) {
			t.Errorf("%s: %v, payload %q", name, err, jws.Payload)
		}
	}
}

func TestVerifySignatureRefuses(t *testing.T) {
	base := good(jwk.RS256)
	input := b64([]byte(toJSON(base.header))) + "."
	jws, err := token.VerifySignature(t.Context(), verifier().Keys, input+"."+b64(base.sign(input)))
	if err != nil || len(jws.Payload) != 0 {
		t.Errorf("an empty payload was refused: %v", err)
	}
	for want, compact := range map[token.Reason]string{
		token.ReasonNotCompact:    "x",
		token.ReasonHeader:        base.head("kid", 1).String(),
		token.ReasonCrit:          base.head("crit", []string{"x"}).String(),
		token.ReasonAlgNotAllowed: good(jwk.ES256).String(),
		token.ReasonKidUnknown:    base.head("kid", "x").String(),
		token.ReasonSignature:     base.input() + ".AAAA",
	} {
		_, err := token.VerifySignature(t.Context(), verifier().Keys, compact, jwk.RS256)
		if refusal, ok := errors.AsType[*token.Refusal](err); !ok || refusal.Reason != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestFirstVector judges the claims of RFC 7515, appendix A.3, at a time when they
// were good, and one second later.
func TestFirstVector(t *testing.T) {
	claims, err := token.ParseClaims([]byte("{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"))
	if err != nil {
		t.Fatal(err)
	}
	v := token.Verifier{Issuer: "joe"}
	if failed := v.CheckClaims(token.Header{}, claims, time.Unix(1_300_819_379, 0)); failed != nil {
		t.Error(failed)
	}
	if failed := v.CheckClaims(token.Header{}, claims, time.Unix(1_300_819_380, 0)); len(failed) != 1 || failed[0].Reason != token.ReasonExpired {
		t.Errorf("at exp: %v", failed)
	}
}

// TestChecker holds a Checker, which remembers headers, to what a Verifier says that
// does not: after a good token, and for the good token after that.
func TestChecker(t *testing.T) {
	trusted := good(jwk.ES256).String()
	for _, r := range slices.Concat(signatureRows(), headerRows(), encodingRows(), jsonRows(), timeRows(), acceptRows()) {
		v := verifier()
		checker := v.Checker()
		for _, compact := range []string{trusted, r.token, r.token, trusted, r.token, good(jwk.EdDSA).String()} {
			want, wantErr := v.Verify(t.Context(), compact)
			got, err := checker.Verify(t.Context(), compact)
			if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (wantErr == nil) {
				t.Errorf("%s: %v, want %v (-want +got):\n%s", r.name, err, wantErr, diff)
			}
		}
	}
}

// TestNearMissesInOrder looks more often than chance could be right.
func TestNearMissesInOrder(t *testing.T) {
	compact := good(jwk.EdDSA).claim("Nbf", 1).claim("EXP", 1).claim("Aud", "a").String()
	for range 50 {
		verdict, _ := verifier().Verify(t.Context(), compact)
		var named []string
		for _, failed := range verdict.Errors {
			named = append(named, failed.Claim)
		}
		if want := []string{"Aud", "EXP", "Nbf"}; !slices.Equal(named, want) {
			t.Fatalf("claims at fault: %q, want %q", named, want)
		}
	}
}

// TestPartsStayApart appends to a part, as its owner may.
func TestPartsStayApart(t *testing.T) {
	compact := good(jwk.EdDSA).String()
	parts, err := token.Split(compact, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = append(parts.Header, 'x'), append(parts.Payload, 'x')
	again, err := token.Split(compact, 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(again, parts); diff != "" {
		t.Errorf("one part grew into the next (-want +got):\n%s", diff)
	}
}

// TestCheckerForgetsBadHeaders gives a header that can be read but not used between
// two tokens with a good one.
func TestCheckerForgetsBadHeaders(t *testing.T) {
	checker := verifier().Checker()
	trusted := good(jwk.ES256)
	for _, compact := range []string{trusted.String(), trusted.head("alg", "none").head("kid", "x").String()} {
		_, _ = checker.Verify(t.Context(), compact) // only what it leaves behind matters
	}
	verdict, err := checker.Verify(t.Context(), trusted.String())
	if err != nil || verdict.KeyID != trusted.header["kid"] {
		t.Errorf("the good token gives %+v, %v", verdict, err)
	}
}
