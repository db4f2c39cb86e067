package jwk_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

func TestSetRoundTrip(t *testing.T) {
	var set jwk.Set
	for _, alg := range jwk.Algorithms() {
		set.Keys = append(set.Keys, private(t, alg).Public())
	}
	data := toJSON(t, set)
	back, problems, err := jwk.ParseSet(data)
	if err != nil || problems != nil {
		t.Fatal(problems, err)
	}
	if diff := cmp.Diff(set, back); diff != "" {
		t.Errorf("the set changed (-want +got):\n%s", diff)
	}
	if again := toJSON(t, back); string(again) != string(data) {
		t.Errorf("written as %s, then as %s", data, again)
	}
}

func TestEmptySet(t *testing.T) {
	for _, set := range []jwk.Set{{}, {Keys: []jwk.PublicKey{}}} {
		if got := string(toJSON(t, set)); got != `{"keys":[]}` {
			t.Errorf("got %s", got)
		}
		if got := string(toJSON(t, map[string]any{"jwks": &set})); got != `{"jwks":{"keys":[]}}` {
			t.Errorf("by pointer: %s", got)
		}
	}
	set, problems, err := jwk.ParseSet([]byte(` {"keys":[]} `))
	if len(set.Keys) != 0 || problems != nil || err != nil {
		t.Errorf("parsed as %v, %v, %v", set, problems, err)
	}
	if _, err := json.Marshal(jwk.Set{Keys: make([]jwk.PublicKey, 1)}); err == nil {
		t.Error("a set with the zero key marshals")
	}
}

// TestParseSetTolerates reads a set with keys that cannot be used between others.
func TestParseSetTolerates(t *testing.T) {
	good := publicJSON(t, jwk.ES256)
	good["kid"], good["x5c"] = "first", []int{1}
	private := publicJSON(t, jwk.EdDSA)
	private["d"], private["kid"] = "c2VjcmV0", "private"
	members := []string{
		string(toJSON(t, good)),
		`{"kty":"AKP","kid":"pq","alg":"ML-DSA-65","pub":"AAAA"}`,
		`{"kty":"oct","kid":"hmac","k":"AAAA"}`,
		`7`,
		`null`,
		`{"kty":"EC","kid":9,"crv":"P-256"}`,
		`{"kid":"duplicate","kty":"EC","kty":"RSA"}`,
		`{"kid":"\ud800","kty":"EC"}`,
		`{}`,
		string(toJSON(t, private)),
		string(toJSON(t, publicJSON(t, jwk.RS256))),
	}
	set, problems, err := jwk.ParseSet(fmt.Appendf(nil, `{"x":1,"keys":[%s],"y":{}}`, strings.Join(members, ",")))
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 2 || set.Keys[0].KeyID() != "first" || set.Keys[1].Algorithm() != jwk.RS256 {
		t.Errorf("the set is %s", toJSON(t, set))
	}
	type index struct {
		Index int
		KeyID string
	}
	var got []index
	for _, p := range problems {
		got = append(got, index{p.Index, p.KeyID})
		if p.Err == nil || !strings.Contains(p.String(), p.Err.Error()) || strings.Contains(p.String(), "c2VjcmV0") {
			t.Errorf("problem %v", p)
		}
	}
	want := []index{{1, "pq"}, {2, "hmac"}, {3, ""}, {4, ""}, {5, ""}, {6, ""}, {7, ""}, {8, ""}, {9, "private"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestParseSetRefuses(t *testing.T) {
	for name, data := range map[string]string{
		"no data":          ``,
		"HTML":             `<html>`,
		"array":            `[]`,
		"one key":          string(toJSON(t, publicJSON(t, jwk.ES256))),
		"a flat array":     `["keys",[]]`,
		"no keys":          `{}`,
		"keys is null":     `{"keys":null}`,
		"keys is object":   `{"keys":{}}`,
		"Keys":             `{"Keys":[]}`,
		"keys twice":       `{"keys":[],"keys":[]}`,
		"keys twice, \\u":  `{"keys":[],"\u006beys":[]}`,
		"trailing":         `{"keys":[]}{}`,
		"trailing text":    `{"keys":[]} x`,
		"truncated":        `{"keys":[`,
		"no closing brace": `{"keys":[]`,
		"not UTF-8":        "{\"keys\":[],\"x\":\"\xff\"}",
		"broken member":    `{"keys":[{"kty":}]}`,
		"a huge object":    `{"keys":[]` + many(1001) + `}`,
		"too many":         `{"keys":[{}` + strings.Repeat(",{}", 1000) + `]}`,
	} {
		if set, problems, err := jwk.ParseSet([]byte(data)); err == nil {
			t.Errorf("%s: gave %v, %v", name, set, problems)
		}
	}
}

func TestParseSetAllows1000Keys(t *testing.T) {
	_, problems, err := jwk.ParseSet([]byte(`{"keys":[{}` + strings.Repeat(",{}", 999) + `]}`))
	if err != nil || len(problems) != 1000 {
		t.Errorf("%d problems, %v", len(problems), err)
	}
}

// many returns n members with different names.
func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"x%d":0`, i)
	}
	return b.String()
}

func TestProblemsAreShort(t *testing.T) {
	kid := strings.Repeat("k", 1<<20)
	_, problems, err := jwk.ParseSet([]byte(`{"keys":[{"kty":"AKP","kid":"` + kid + `"},{"kty":"` + kid + `"},{"kty":"AKP"` + many(1001) + `}]}`))
	if err != nil || len(problems) != 3 {
		t.Fatalf("%d problems, %v", len(problems), err)
	}
	for _, p := range problems {
		if text := p.String(); len(text) > 300 {
			t.Errorf("key %d: the problem has %d bytes", p.Index, len(text))
		}
	}
	if text := problems[2].String(); !strings.Contains(text, "more than 1000 members") {
		t.Error(text)
	}
}

func TestByKeyID(t *testing.T) {
	named := func(alg jwk.Algorithm, kid string) jwk.PublicKey {
		object := publicJSON(t, alg)
		object["kid"] = kid
		var key jwk.PublicKey
		if err := key.UnmarshalJSON(toJSON(t, object)); err != nil {
			t.Fatal(err)
		}
		return key
	}
	a, b, c := named(jwk.ES256, "same"), named(jwk.EdDSA, "other"), named(jwk.RS256, "same")
	set := jwk.Set{Keys: []jwk.PublicKey{a, b, c}}
	if diff := cmp.Diff([]jwk.PublicKey{a, c}, set.ByKeyID("same")); diff != "" {
		t.Errorf("same (-want +got):\n%s", diff)
	}
	if got := set.ByKeyID("absent"); got != nil {
		t.Errorf("absent: %v", got)
	}
}

// TestSetWithPEM reads a set with certificates in members of its own, as a large provider
// writes it. Such members are ignored (RFC 7517, section 5).
func TestSetWithPEM(t *testing.T) {
	key := with(t, jwk.RS256, "cert", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	data := []byte(`{"keys":[` + string(key) + `],"public_cert":{"cert":"-----BEGIN CERTIFICATE-----"}}`)
	set, problems, err := jwk.ParseSet(data)
	if err != nil || len(set.Keys) != 1 || len(problems) != 0 {
		t.Errorf("%d keys, %v, %v", len(set.Keys), problems, err)
	}
	if _, _, err := jwk.ParseSet([]byte("\n-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")); !errors.Is(err, jwk.ErrKind) {
		t.Errorf("PEM: %v", err)
	}
}
