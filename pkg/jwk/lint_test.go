package jwk_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// changed returns the public JWK of a fixture with some members changed; nil deletes one.
func changed(t *testing.T, alg jwk.Algorithm, change map[string]any) string {
	t.Helper()
	members := publicJSON(t, alg)
	maps.Copy(members, change)
	maps.DeleteFunc(members, func(_ string, value any) bool { return value == nil })
	return string(toJSON(t, members))
}

// TestLint lints a set for each rule and compares all findings.
func TestLint(t *testing.T) {
	weak := strings.Repeat("x", 170) + "w" // 1024 bits in base64url
	for _, c := range []struct {
		name    string
		members []string
		want    []string // severity, rule, index
	}{
		{"no findings", []string{changed(t, jwk.RS256, nil), changed(t, jwk.ES256, nil), changed(t, jwk.EdDSA, nil)}, nil},
		{"empty", nil, []string{"error empty -1"}},
		{"private", []string{changed(t, jwk.ES256, map[string]any{"d": "c2VjcmV0"})}, []string{"error private 0"}},
		{"private-prime", []string{changed(t, jwk.RS256, map[string]any{"dp": "c2VjcmV0"})}, []string{"error private 0"}},
		{
			"symmetric",
			[]string{`{"kty":"oct","kid":"1","alg":"HS256","use":"sig","k":"c2VjcmV0"}`},
			[]string{"error symmetric 0", "error empty -1"},
		},
		{
			"weak",
			[]string{changed(t, jwk.ES256, nil), changed(t, jwk.RS256, map[string]any{"n": weak, "kid": "w"})},
			[]string{"error weak 1"},
		},
		{
			"kid-missing",
			[]string{changed(t, jwk.ES256, map[string]any{"kid": nil}), changed(t, jwk.ES384, map[string]any{"kid": ""})},
			[]string{"warning kid-missing 0", "warning kid-missing 1", "warning empty-member 1"},
		},
		{
			"kid-duplicate",
			[]string{changed(t, jwk.ES256, nil), changed(t, jwk.ES256, nil)},
			[]string{"error kid-duplicate 1"},
		},
		{
			"kid-of-two-types",
			[]string{changed(t, jwk.ES256, map[string]any{"kid": "a"}), changed(t, jwk.RS256, map[string]any{"kid": "a"})},
			[]string{"info kid-thumbprint 0", "warning kid-duplicate 1", "info kid-thumbprint 1"},
		},
		{"kid-thumbprint", []string{changed(t, jwk.ES256, map[string]any{"kid": "a"})}, []string{"info kid-thumbprint 0"}},
		{"alg-missing", []string{changed(t, jwk.RS256, map[string]any{"alg": nil})}, []string{"warning alg-missing 0"}},
		{"spiffe", []string{changed(t, jwk.ES256, map[string]any{"use": "jwt-svid", "alg": nil})}, []string{"warning alg-missing 0"}},
		{"x509-svid", []string{changed(t, jwk.ES256, map[string]any{"use": "x509-svid"})}, []string{"info not-signature 0", "error empty -1"}},
		{"use-missing", []string{changed(t, jwk.RS256, map[string]any{"use": nil})}, []string{"warning use-missing 0"}},
		{"key-ops-do-for-use", []string{changed(t, jwk.RS256, map[string]any{"use": nil, "key_ops": []string{"verify"}})}, nil},
		{
			"use-contradicted",
			[]string{changed(t, jwk.RS256, map[string]any{"key_ops": []string{"encrypt"}})},
			[]string{"error use-contradicted 0", "error empty -1"},
		},
		{
			"private-operation",
			[]string{changed(t, jwk.RS256, map[string]any{"key_ops": []string{"sign", "verify"}})},
			[]string{"warning use-contradicted 0"},
		},
		{
			"encryption-key",
			[]string{changed(t, jwk.ES256, nil), changed(t, jwk.RS256, map[string]any{"use": "enc", "alg": "RSA-OAEP"})},
			[]string{"info not-signature 1"},
		},
		{
			"encryption-operations",
			[]string{changed(t, jwk.ES256, nil), changed(t, jwk.RS256, map[string]any{"use": nil, "key_ops": []string{"encrypt"}})},
			[]string{"info not-signature 1"},
		},
		{
			"unknown",
			[]string{
				changed(t, jwk.ES256, nil),
				`{"kty":"AKP","kid":"1","alg":"ML-DSA-65","use":"sig","pub":"AAAA"}`,
				`{"kty":"EC","kid":"2","crv":"secp256k1","alg":"ES256K","use":"sig","x":"AA","y":"AA"}`,
				changed(t, jwk.RS256, map[string]any{"alg": "RS1", "kid": "3"}),
			},
			[]string{"warning unknown 1", "warning unknown 2", "warning unknown 3"},
		},
		{
			"unusable",
			[]string{
				changed(t, jwk.ES256, nil), `7`, `{"kid":"1"}`,
				changed(t, jwk.ES256, map[string]any{"kid": "2", "x": "AA"}),
				changed(t, jwk.ES256, map[string]any{"kid": "3", "alg": "RS256"}),
				`{"kty":"EC","kid":"4","kid":"5"}`,
			},
			[]string{"error unusable 1", "error unusable 2", "error unusable 3", "error unusable 4", "error unusable 5"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, f := range jwk.Lint([]byte(`{"keys":[` + strings.Join(c.members, ",") + `]}`)) {
				got = append(got, fmt.Sprintf("%s %s %d", f.Severity, f.Rule, f.Index))
				if strings.Contains(f.Message, "c2VjcmV0") {
					t.Errorf("the message contains a secret: %s", f.Message)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLintNotASet(t *testing.T) {
	for _, data := range []string{"", "[]", `{}`, `{"keys":null}`, `{"keys":{}}`, `{"keys":[]} {}`, `{"kty":"EC"}`} {
		got := jwk.Lint([]byte(data))
		if len(got) != 1 || got[0].Rule != jwk.RuleNotASet || got[0].Severity != jwk.SeverityError {
			t.Errorf("%s: %v", data, got)
		}
	}
}

func TestFindingNamesTheKey(t *testing.T) {
	set := `{"keys":[` + changed(t, jwk.ES256, nil) + "," + changed(t, jwk.RS256, map[string]any{"kid": "mine"}) + `]}`
	got := jwk.Lint([]byte(set))
	if len(got) != 1 || got[0].Index != 1 || got[0].KeyID != "mine" {
		t.Errorf("got %v", got)
	}
}
