package token_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// TestCost bounds the memory that a verification allocates, and so its time, for tokens
// that use the size limit in costly ways.
func TestCost(t *testing.T) {
	exp := fmt.Sprintf(`"exp":%d`, now().Unix()+3600)
	repeated := func(piece string) func(size int) string {
		return func(size int) string {
			return `{"a":[` + strings.TrimSuffix(strings.Repeat(piece+",", (size-20)/(len(piece)+1)), ",") + `]}`
		}
	}
	many := make([]string, token.DefaultMaxSize/8)
	for i := range many {
		many[i] = fmt.Sprintf(`"%x":0`, i)
	}
	tests := map[string]struct {
		json func(size int) string
		want token.Reason // if json is the claims
	}{
		"numbers":            {repeated("0"), token.ReasonClaimMissing},
		"empty objects":      {repeated("{}"), token.ReasonClaimMissing},
		"empty arrays":       {repeated("[]"), token.ReasonClaimMissing},
		"small objects":      {repeated(`{"":0}`), token.ReasonClaimMissing},
		"deep arrays":        {repeated(strings.Repeat("[", 60) + strings.Repeat("]", 60)), token.ReasonClaimMissing},
		"deep objects":       {repeated(strings.Repeat(`{"":`, 60) + "0" + strings.Repeat("}", 60)), token.ReasonClaimMissing},
		"escapes":            {repeated(`"\u00e9\ud83d\ude00"`), token.ReasonClaimMissing},
		"names":              {func(size int) string { return fill("{", many, "}", size) }, token.ReasonClaimMissing},
		"names and one more": {func(size int) string { return fill("{", many, `,"0":0}`, size) }, token.ReasonPayload},
		"digits":             {func(size int) string { return `{"exp":` + strings.Repeat("9", size-8) + "}" }, token.ReasonClaimMissing},
		"fraction":           {func(size int) string { return `{"exp":0.` + strings.Repeat("9", size-10) + "}" }, token.ReasonExpired},
		"exponent":           {func(int) string { return `{"exp":1e99999999999999999999}` }, token.ReasonClaimMissing},
		"audiences": {func(size int) string {
			return `{"aud":[` + strings.Repeat(`"",`, (size-200)/3) + `""],"scope":"read","iss":"` + issuer + `",` + exp + "}"
		}, token.ReasonAudience},
		"scopes": {func(size int) string {
			return `{"scope":"` + strings.Repeat(" ", size-200) + `","iss":"` + issuer + `","aud":"` + audience + `",` + exp + "}"
		}, token.ReasonScope},
	}
	v := verifier()
	v.Scopes = []string{"read"}
	for name, test := range tests {
		const size = 48_000 // bytes; base64 makes them 64,000
		claims, header := good(jwk.EdDSA), good(jwk.EdDSA)
		claims.rawClaims = test.json(size)
		checkCost(t, name, v, claims.String(), test.want)
		header.rawHeader = strings.TrimSuffix(toJSON(header.header), "}") + "," + strings.TrimPrefix(test.json(size), "{")
		checkCost(t, name+" in the header", v, header.String(), "")
	}
	checkCost(t, "dots", v, strings.Repeat(".", token.DefaultMaxSize), token.ReasonNotCompact)
	checkCost(t, "too long", v, strings.Repeat("a.", 10<<20), token.ReasonTooLarge)
	checkCost(t, "long kid", v, good(jwk.EdDSA).head("kid", strings.Repeat("\u00e9", 20_000)).String(), token.ReasonKidUnknown)

	// A JWK Set with the most keys that it may contain, all with the same kid, of which two
	// are different.
	key := keys()[jwk.EdDSA]
	same := make([]jwk.PublicKey, 999)
	for i := range same {
		same[i] = withMembers(t, keys()[jwk.ES256], map[string]any{"kid": key.KeyID()})
	}
	other, err := jwk.Generate(jwk.ES256, 0)
	if err != nil {
		t.Fatal(err)
	}
	same[0] = withMembers(t, other, map[string]any{"kid": key.KeyID()})
	v.Keys = source(append(same, key.Public())...)
	checkCost(t, "one matching key", v, good(jwk.EdDSA).String(), token.ReasonClaimMissing)
	checkCost(t, "many matching keys", v, good(jwk.ES256).head("kid", key.KeyID()).String(), token.ReasonKidAmbiguous)
}

// checkCost verifies a token and checks how much memory is allocated; a want of ""
// stands for any reason.
func checkCost(t *testing.T, name string, v token.Verifier, compact string, want token.Reason) {
	t.Helper()
	const limit = 8 << 20 // bytes, an eighth of what FuzzVerify allows
	before := allocated()
	verdict, err := v.Verify(t.Context(), compact)
	bytes := allocated() - before
	if reason := reasonOf(t, err); reason != want && want != "" {
		t.Errorf("%s: %q (%v), want %q", name, reason, err, want)
	}
	if bytes > limit {
		t.Errorf("%s: a token of %d bytes allocates %d, want at most %d", name, len(compact), bytes, limit)
	}
	if data := toJSON(verdict); len(data) > limit {
		t.Errorf("%s: the verdict has %d bytes", name, len(data))
	}
}

// fill puts as many members between start and end as size bytes allow.
func fill(start string, members []string, end string, size int) string {
	n, used := 0, len(start)+len(end)
	for n < len(members) && used+len(members[n])+1 <= size {
		used += len(members[n]) + 1
		n++
	}
	return start + strings.Join(members[:n], ",") + end
}
