package jwk_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// TestOtherEncodings reads keys in forms that providers publish. Each is the same key as
// the canonical form, and Lint names what is odd.
func TestOtherEncodings(t *testing.T) {
	rsa, ec := publicJSON(t, jwk.RS256), publicJSON(t, jwk.ES256)
	text := func(object map[string]any, name string) string { s, _ := object[name].(string); return s }
	n, x, y := text(rsa, "n"), text(ec, "x"), text(ec, "y")
	zero := func(text string) string {
		return base64.RawURLEncoding.EncodeToString(append([]byte{0}, decode(t, text)...))
	}
	for _, test := range []struct {
		alg         jwk.Algorithm
		name, value string
		want        string // what Lint says
	}{
		{jwk.RS256, "n", zero(n), "n has a leading zero octet"},
		{jwk.RS256, "n", n + "==", "n has padding"},
		{jwk.RS256, "n", strings.NewReplacer("-", "+", "_", "/").Replace(n), "n uses the standard alphabet"},
		{jwk.RS256, "n", n[:76] + "\r\n" + n[76:] + "\n", "n has line breaks"},
		{jwk.RS256, "e", "AAEAAQ", "e has a leading zero octet"},
		{jwk.RS256, "e", "AQAB\n", "e has line breaks"},
		{jwk.ES256, "x", zero(x), "x has 33 octets and not 32"},
		{jwk.ES256, "y", loosen(y), "y has unused bits"},
		{jwk.EdDSA, "x", text(publicJSON(t, jwk.EdDSA), "x") + "=", "x has padding"},
	} {
		want := private(t, test.alg).Public()
		data := with(t, test.alg, test.name, test.value)
		var key jwk.PublicKey
		if err := key.UnmarshalJSON(data); err != nil || !key.Equal(want) || string(toJSON(t, key)) != string(toJSON(t, want)) {
			t.Errorf("%s: %v, %s", test.want, err, toJSON(t, key))
		}
		wantFinding(t, data, jwk.RuleEncoding, test.want)
	}
}

func wantFinding(t *testing.T, key []byte, rule jwk.Rule, message string) {
	t.Helper()
	var found []jwk.Finding
	for _, f := range jwk.Lint([]byte(`{"keys":[` + string(key) + `]}`)) {
		if f.Rule == rule {
			found = append(found, f)
		}
	}
	if len(found) != 1 || !strings.Contains(found[0].Message, message) {
		t.Errorf("%s: found %v, want one finding %s: %s", key, found, rule, message)
	}
}

// TestStrippedCoordinate reads a coordinate without its leading zero octet, as some
// providers write one key in 128.
func TestStrippedCoordinate(t *testing.T) {
	const format = `{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"z","x":"%","y":"QmyQ03Ul8qUeRha665oVQpzNMLTDqqelPt8iVWwTZe8"}`
	stripped := []byte(strings.Replace(format, "%", "zFMaDPYzX6URyIPVR7bvar-Z8yFAOZbA29bqUwcdrg", 1))
	whole := []byte(strings.Replace(format, "%", "AMxTGgz2M1-lEciD1Ue272q_mfMhQDmWwNvW6lMHHa4", 1))
	got, err := jwk.Parse(stripped)
	if err != nil {
		t.Fatal(err)
	}
	want, err := jwk.Parse(whole)
	if err != nil || !got.Equal(want) {
		t.Errorf("got %s, want %s, %v", toJSON(t, got), toJSON(t, want), err)
	}
	wantFinding(t, stripped, jwk.RuleEncoding, "x has 31 octets and not 32")
}

// TestEmptyMembers reads members that are null or empty as if they were absent.
func TestEmptyMembers(t *testing.T) {
	want := private(t, jwk.RS256).Public()
	for _, name := range []string{"d", "p", "oth", "k", "priv", "key_ops", "x5c"} {
		for _, value := range []any{nil, []any{}, ""} {
			data := with(t, jwk.RS256, name, value)
			var key jwk.PublicKey
			if err := key.UnmarshalJSON(data); err != nil || !key.Equal(want) {
				t.Errorf("%s: %v", data, err)
			}
			wantFinding(t, data, jwk.RuleEmptyMember, name)
		}
	}
	for _, name := range []string{"kid", "use", "alg"} {
		for _, value := range []any{nil, "", []any{}} {
			var key, without jwk.PublicKey
			if err := without.UnmarshalJSON(changedBytes(t, jwk.RS256, name)); err != nil {
				t.Fatal(err)
			}
			data := with(t, jwk.RS256, name, value)
			if err := key.UnmarshalJSON(data); err != nil || !key.Equal(without) {
				t.Errorf("%s: %v", data, err)
			}
		}
	}
}

func changedBytes(t *testing.T, alg jwk.Algorithm, name string) []byte {
	t.Helper()
	return []byte(changed(t, alg, map[string]any{name: nil}))
}

// TestPrivateEncodings reads private keys in other forms, and completes an RSA key that
// has only d.
func TestPrivateEncodings(t *testing.T) {
	for name, remove := range map[string][]string{"rsa2048.pem": {"p", "q", "dp", "dq", "qi"}, "p256.pem": nil, "ed25519.pem": nil} {
		object := privateJSON(t, name)
		for _, member := range remove {
			delete(object, member)
		}
		d, _ := object["d"].(string)
		object["d"] = strings.NewReplacer("-", "+", "_", "/").Replace(d) + "="
		key, err := jwk.ParsePrivate("", toJSON(t, object))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		signature, err := key.Sign([]byte("input"))
		if err != nil {
			t.Fatal(err)
		}
		if err := key.Public().Verify(key.Algorithm(), []byte("input"), signature); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := key.MarshalPKCS8(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	object := privateJSON(t, "rsa2048.pem")
	object["d"] = "AQAD"
	for _, member := range []string{"p", "q", "dp", "dq", "qi"} {
		delete(object, member)
	}
	if key, err := jwk.ParsePrivate("", toJSON(t, object)); err == nil {
		t.Errorf("d does not belong to n: gave %v", key)
	}
}
