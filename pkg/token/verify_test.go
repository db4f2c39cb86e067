package token_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// row is a token and what Verify must return for it. It covers what pkg/fault does not:
// settings of the Verifier, limits, and forms that are not faults of a token.
type row struct {
	name  string
	token fmt.Stringer
	want  []token.Reason        // all refusals; nil if the token is valid
	with  func(*token.Verifier) // changes the settings
}

// text is a token that is not made from a draft.
type text string

func (s text) String() string { return string(s) }

func refuse(reasons ...token.Reason) []token.Reason { return reasons }

func TestVerify(t *testing.T) {
	for _, r := range rows() {
		t.Run(r.name, func(t *testing.T) {
			v := verifier()
			if r.with != nil {
				r.with(&v)
			}
			checkVerdict(t, v, r)
		})
	}
}

func checkVerdict(t *testing.T, v token.Verifier, r row) {
	t.Helper()
	compact := r.token.String()
	verdict, err := v.Verify(t.Context(), compact)
	if len(r.want) == 0 {
		if err != nil || !verdict.Valid || verdict.Claims == nil || verdict.Reason != "" || verdict.Errors != nil {
			t.Errorf("refused: %v; verdict %+v", err, verdict)
		}
		return
	}
	checkRefusal(t, r.name, compact, verdict, err)
	var got []token.Reason
	for _, failed := range verdict.Errors {
		got = append(got, failed.Reason)
	}
	if !slices.Equal(got, r.want) {
		t.Errorf("reasons %q, want %q", got, r.want)
	}
}

// checkRefusal checks what all refusals have in common: no claims, a complete message,
// and no token or control character in it.
func checkRefusal(t *testing.T, name, compact string, verdict token.Verdict, err error) {
	t.Helper()
	reason := reasonOf(t, err)
	if reason == "" || len(verdict.Errors) == 0 {
		t.Fatalf("%s: accepted", name)
	}
	for _, failed := range verdict.Errors {
		message := failed.Error()
		if failed.Message == "" || failed.Hint == "" || failed.Reason.Class() == "" || len(message) > 600 {
			t.Errorf("%s: the refusal is incomplete or long: %+v", name, failed)
		}
		if compact != "" && strings.Contains(message, compact) || strings.ContainsAny(message, "\n\r\x1b") {
			t.Errorf("%s: the message %q contains the token or control characters", name, message)
		}
	}
	if verdict.Valid || verdict.Claims != nil || verdict.Reason != reason || !errors.Is(err, verdict.Errors[0]) {
		t.Errorf("%s: verdict and error disagree: %+v, %v", name, verdict, err)
	}
}

func TestValidate(t *testing.T) {
	tests := map[string]func(*token.Verifier){
		"no keys":             func(v *token.Verifier) { v.Keys = nil },
		"no issuer":           func(v *token.Verifier) { v.Issuer = nil },
		"empty issuer":        func(v *token.Verifier) { v.Issuer = []string{issuer, ""} },
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

// TestNow checks that a Verifier without Now uses the system clock.
func TestNow(t *testing.T) {
	v := verifier()
	v.Now = nil
	soon := time.Now().Unix() + 60
	if _, err := v.Verify(t.Context(), good(jwk.RS256).claim("exp", soon).claim("iat", 1).claim("nbf", 1).String()); err != nil {
		t.Error(err)
	}
	if _, err := v.Verify(t.Context(), good(jwk.RS256).claim("exp", 1_500_000_000).claim("iat", 1).claim("nbf", 1).String()); err == nil {
		t.Error("a token of 2017 was accepted")
	}
}

// TestVerdictJSON pins the JSON of a verdict, which scripts read.
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

// TestReasons checks that each reason is listed once, in the order of the classes.
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

func TestVerifySignatureRefuses(t *testing.T) {
	base := good(jwk.RS256)
	empty := signed(base.key, b64([]byte(toJSON(base.header)))+".")
	if _, err := token.VerifySignature(t.Context(), verifier().Keys, empty); err != nil {
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
		if got := reasonOf(t, err); got != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestConfusedClaimsAreSorted repeats the verification, because the order of a map is
// random.
func TestConfusedClaimsAreSorted(t *testing.T) {
	compact := good(jwk.EdDSA).claim("Nbf", 1).claim("EXP", 1).claim("Aud", "a").String()
	for range 50 {
		verdict, _ := verifier().Verify(t.Context(), compact)
		var names []string
		for _, failed := range verdict.Errors {
			names = append(names, failed.Claim)
		}
		if want := []string{"Aud", "EXP", "Nbf"}; !slices.Equal(names, want) {
			t.Fatalf("refused claims %q, want %q", names, want)
		}
	}
}
