package fault_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/fault"
	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// reference is the verdict, tier and severity of each row.
const reference = `
alg-none              reject! core critical
alg-none-case         reject! core critical
alg-missing           reject! core high
sig-empty             reject! core critical
sig-flipped           reject! core critical
sig-other-payload     reject! core critical
sig-untrusted-key     reject! core critical
alg-hs-public-key     reject! core critical
alg-hs-empty-key      reject! core critical
alg-same-key-other    reject! core high
ecdsa-zero            reject! core critical
ecdsa-der             reject! core medium
ecdsa-wrong-curve     reject! profile medium
ecdsa-high-s          either profile info
eddsa-s-plus-l        reject! profile medium
pss-salt              reject! profile low
rsa-padding           reject! profile high
hdr-jwk               reject! core critical
hdr-jku               reject! core critical
hdr-x5u               reject! core critical
hdr-x5c               reject! core critical
kid-path              reject! core critical
kid-metachar          reject! core high
kid-unknown           reject! core high
kid-type              reject profile low
crit-unknown          reject! core high
crit-malformed        reject profile medium
b64-false             reject! core high
hdr-duplicate-alg     reject! core high
enc-segments          reject! core medium
enc-json-jws          reject! core high
enc-polyglot          reject! core critical
enc-padding           reject! core low
enc-std-alphabet      reject! core low
enc-linebreak         reject! profile low
enc-trailing-bits     reject profile low
enc-bad-utf8          reject! profile medium
payload-not-object    reject! core high
payload-trailing      reject! profile medium
claims-duplicate      reject! core high
claims-duplicate-rev  either profile info
claims-case           reject! core high
claims-escaped        reject! core high
exp-past              reject! core critical
exp-leeway            either core medium
exp-leeway-beyond     reject core medium
exp-missing           reject profile high
exp-zero              reject! core high
exp-string            reject core medium
exp-type              reject core medium
exp-huge              either profile low
nbf-future            reject! core high
iat-future            reject profile medium
iss-wrong             reject! core critical
iss-missing           reject! core critical
iss-near              reject! core high
iss-array             reject! core high
aud-wrong             reject! core critical
aud-missing           reject! core critical
aud-array-other       reject! core critical
aud-near              reject! core high
aud-type              reject profile medium
sub-missing           reject profile medium
typ-missing           reject profile medium
typ-id-token          reject profile high
typ-logout            reject core high
typ-other             reject core high
cty-nested            reject! profile high
jwe-for-jws           reject! profile critical
jwe-p2c               reject opt-in medium
jwe-zip               reject opt-in medium
res-size              reject opt-in medium
res-dots              reject opt-in medium
res-depth             reject opt-in medium
key-expired           reject! core high
key-revoked           reject! core critical
ok-key-retired        accept! core
ok-plain              accept! core
ok-each-alg           accept! core
ok-aud-array          accept! core
ok-aud-string         accept! core
ok-exp-fraction       accept! core
ok-nbf-past           accept! core
ok-unknown-header     accept! core
ok-unknown-claim      accept! core
ok-json-whitespace    accept! core
ok-unicode            accept! core
ok-typ-forms          accept! profile
ok-kid-missing        either core
ok-skew               accept core
ok-long-kid           accept core
ok-4k                 accept core
`

// TestReference compares the rows with the reference.
func TestReference(t *testing.T) {
	want := map[string]string{}
	for line := range strings.Lines(strings.TrimSpace(reference)) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		want[name] = strings.TrimSpace(rest)
	}
	got := map[string]string{}
	for _, c := range fault.Cases() {
		row, _, _ := strings.Cut(c.Name, "/")
		got[row] = strings.TrimSpace(string(c.Verdict) + " " + string(c.Tier) + " " + string(c.Severity))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// TestCases checks that each case is complete, and that its name is unique and can be
// an argument and a file name on any system.
func TestCases(t *testing.T) {
	name := regexp.MustCompile(`^[a-z0-9-]+(/[a-z0-9-]+)?$`)
	rule := regexp.MustCompile(`^((RFC \d{4}|rfc8725bis|OIDC Core|ASVS 5\.0) §[0-9.]+|policy|interoperability|no rule: .+)$`)
	cve := regexp.MustCompile(`^(CVE-\d{4}-\d{4,}|GHSA(-[a-z0-9]{4}){3})$`)
	seen := map[string]bool{}
	for _, c := range fault.Cases() {
		if !name.MatchString(c.Name) || seen[c.Name] {
			t.Errorf("name %q is invalid or not unique", c.Name)
		}
		seen[c.Name] = true
		if c.Group == "" || c.Differs == "" || strings.ContainsAny(c.Differs, "\n\t") || len(c.Rules) == 0 {
			t.Errorf("%s is incomplete: %+v", c.Name, c)
		}
		for _, r := range c.Rules {
			if !rule.MatchString(r) {
				t.Errorf("%s: invalid rule %q", c.Name, r)
			}
		}
		for _, n := range c.CVEs {
			if !cve.MatchString(n) {
				t.Errorf("%s: %q is not a CVE or GHSA number", c.Name, n)
			}
		}
	}
}

func TestFind(t *testing.T) {
	for name, want := range map[string]string{
		"alg-none": "alg-none", "alg-none-case/mixed": "alg-none-case/mixed", "alg-none-case": "alg-none-case/title",
		"ALG-NONE": "", "alg-none-case/": "", "": "",
	} {
		if got, ok := fault.Find(name); got.Name != want || ok != (want != "") {
			t.Errorf("Find(%q) = %q, %t", name, got.Name, ok)
		}
	}
}

// TestDifferences pins how each token differs from the good one, to show that it has no
// other fault.
func TestDifferences(t *testing.T) {
	in := input()
	in.Request.ID = "1"
	var lines string
	for _, c := range fault.Cases() {
		good, _ := fault.Find("ok-plain")
		good.Profile = c.Profile
		goodToken, err := good.Make(in)
		if err != nil {
			t.Fatal(err)
		}
		made, err := c.Make(in)
		if err != nil {
			t.Fatal(err)
		}
		found := differences(in, goodToken, made)
		if len(found) == 0 && c.Verdict.Answer() == "reject" {
			t.Errorf("%s does not differ from the good token", c.Name)
		}
		lines += strings.Join(append([]string{c.Name + ":"}, found...), " ") + "\n"
	}
	golden(t, "differences.golden", lines)
}

// differences lists where a token differs from the good one: members, the text of the
// JSON ("header-text"), the serialization ("form"), and the signature, if it is invalid.
func differences(in fault.Input, good, made string) []string {
	var found []string
	want, got := token.Inspect(good), token.Inspect(made)
	for _, part := range []struct {
		name      string
		want, got json.RawMessage
	}{{"header", want.Header, got.Header}, {"claims", want.Claims, got.Claims}} {
		found = append(found, members(part.name, part.want, part.got)...)
	}
	parts, err := token.Split(made, 1<<20)
	if err != nil {
		return append(found, "form")
	}
	var header struct {
		KeyID any `json:"kid"`
	}
	_ = json.Unmarshal(got.Header, &header) // an invalid header has no kid
	key := in.Key.Public()
	for _, trusted := range append(slices.Clone(in.Others), in.Retired) {
		if trusted.KeyID() == header.KeyID {
			key = trusted.Public()
		}
	}
	if key.Verify(key.Algorithm(), []byte(parts.Input), parts.Signature) != nil {
		found = append(found, "signature")
	}
	return found
}

func members(part string, good, made json.RawMessage) []string {
	var want, got map[string]json.RawMessage
	if json.Unmarshal(good, &want) != nil || json.Unmarshal(made, &got) != nil || got == nil {
		return []string{part}
	}
	names := maps.Clone(want)
	maps.Copy(names, got)
	var found []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !bytes.Equal(want[name], got[name]) {
			found = append(found, part+"."+name)
		}
	}
	var again bytes.Buffer
	encoder := json.NewEncoder(&again)
	encoder.SetEscapeHTML(false) // as Inspect shows it
	if err := encoder.Encode(got); err != nil || !bytes.Equal(bytes.TrimSpace(again.Bytes()), made) {
		found = append(found, part+"-text")
	}
	return found
}

// TestAlgorithmOfKey makes every case with keys of other algorithms. Each token gets its
// verdict, or the error says what the case needs.
func TestAlgorithmOfKey(t *testing.T) {
	for _, alg := range []jwk.Algorithm{jwk.PS256, jwk.ES256, jwk.ES384, jwk.EdDSA} {
		t.Run(alg.String(), func(t *testing.T) {
			in := input()
			in.Alias, in.Retired, in.Others = "", jwk.PrivateKey{}, nil
			in.Key, in.Attacker, in.Expired, in.Revoked = keysFor(t, alg)
			verifier := token.Verifier{
				Keys: keySource{jwk.Set{Keys: []jwk.PublicKey{in.Key.Public()}}}, Now: now,
				Issuer: []string{issuer}, Audience: []string{audience}, Leeway: 30 * time.Second,
			}
			for _, c := range fault.Cases() {
				compact, err := c.Make(in)
				if err != nil {
					checkNeed(t, c.Name, err)
					continue
				}
				verifier.Profile = c.Profile
				verdict, err := verifier.Verify(t.Context(), compact)
				if answer := c.Verdict.Answer(); answer != "either" && verdict.Valid != (answer == "accept") {
					t.Errorf("%s: want %s, got %v", c.Name, answer, err)
				}
			}
		})
	}
}

func keysFor(t *testing.T, alg jwk.Algorithm) (key, attacker, expired, revoked jwk.PrivateKey) {
	t.Helper()
	var keys [4]jwk.PrivateKey
	for i := range keys {
		if alg.KeyType() == "RSA" {
			keys[i] = rsaKey(alg, i)
			continue
		}
		var err error
		if keys[i], err = jwk.Generate(alg, 0); err != nil {
			t.Fatal(err)
		}
	}
	return keys[0], keys[1], keys[2], keys[3]
}
