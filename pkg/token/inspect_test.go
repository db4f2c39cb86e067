package token_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

func TestInspect(t *testing.T) {
	base := good(jwk.RS256)
	header, claims := toJSON(base.header), toJSON(base.claims)
	duplicate := base
	duplicate.rawClaims = `{"a":1,"a":2}`
	text := base
	text.rawClaims = "just \xff text"
	broken := base
	broken.rawClaims = "{\"a\":\"\xff\"}"
	padded := strings.Split(base.String(), ".")
	padded[0] += "="

	tests := map[string]struct {
		token    string
		want     token.Unverified
		problems int
	}{
		"good":       {base.String(), token.Unverified{Header: []byte(header), Claims: []byte(claims), Signature: 256}, 0},
		"duplicates": {duplicate.String(), token.Unverified{Header: []byte(header), Claims: []byte(duplicate.rawClaims), Signature: 256}, 1},
		"text":       {text.String(), token.Unverified{Header: []byte(header), Payload: "just \ufffd text", Signature: 256}, 1},
		"bad UTF-8":  {broken.String(), token.Unverified{Header: []byte(header), Payload: "{\"a\":\"\ufffd\"}", Signature: 256}, 1},
		"unsigned":   {base.head("alg", "none").input() + ".", token.Unverified{Header: []byte(strings.Replace(header, "RS256", "none", 1)), Claims: []byte(claims)}, 1},
		"two parts":  {base.input(), token.Unverified{Header: []byte(header), Claims: []byte(claims)}, 1},
		"padded":     {strings.Join(padded, "."), token.Unverified{Header: []byte(header), Claims: []byte(claims), Signature: 256}, 1},
		"encrypted":  {b64([]byte(`{"enc":"A128GCM"}`)) + ".AAAA.AAAA.AAAA.AAAA", token.Unverified{Header: []byte(`{"enc":"A128GCM"}`)}, 2},
		"empty":      {"", token.Unverified{}, 1},
		"too large":  {strings.Repeat("A", token.DefaultMaxSize+1), token.Unverified{}, 1},
	}
	for name, test := range tests {
		got := token.Inspect(test.token)
		if len(got.Problems) != test.problems {
			t.Errorf("%s: problems %q, want %d", name, got.Problems, test.problems)
		}
		got.Problems = nil
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Mint writes <, > and & as escapes, as encoding/json does. Inspect shows the characters.
func TestInspectShowsEscapedCharacters(t *testing.T) {
	text := "<&>\u2028\\u003c"
	minted, err := token.Mint(t.Context(), minter(jwk.EdDSA), token.Request{Subject: text, ID: "id", Header: map[string]any{"a": text}})
	if err != nil {
		t.Fatal(err)
	}
	got := token.Inspect(minted.Compact)
	want := `{"exp":1800003600,"iat":1800000000,"jti":"id","sub":"<&>\u2028\\u003c"}`
	if diff := cmp.Diff(want, string(got.Claims)); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	want = `{"a":"<&>\u2028\\u003c","alg":"EdDSA","kid":"` + minted.KeyID + `","typ":"JWT"}`
	if diff := cmp.Diff(want, string(got.Header)); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	other := good(jwk.RS256)
	other.rawClaims = `{"a":"\u003C\u0026\u003E\\\u0026\\u0026","a":1.50e3}`
	if diff := cmp.Diff(`{"a":"<&>\\&\\u0026","a":1.50e3}`, string(token.Inspect(other.String()).Claims)); diff != "" {
		t.Errorf("claims of another issuer (-want +got):\n%s", diff)
	}
}

func TestInspectJSON(t *testing.T) {
	var got map[string]any
	if err := json.Unmarshal([]byte(toJSON(token.Inspect(good(jwk.RS256).String()))), &got); err != nil {
		t.Fatal(err)
	}
	if got["verified"] != false || got["header"] == nil || got["claims"] == nil || got["problems"] != nil {
		t.Errorf("inspection: %v", got)
	}
}
