package token_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// TestCost bounds what a verification allocates, and with it the time that it takes,
// for the tokens that make most of the longest length.
func TestCost(t *testing.T) {
	const most = 8 << 20 // an eighth of what is promised
	exp := fmt.Sprintf(`"exp":%d`, moment().Unix()+3600)
	repeated := func(piece string) func(room int) string {
		return func(room int) string {
			return `{"a":[` + strings.TrimSuffix(strings.Repeat(piece+",", (room-20)/(len(piece)+1)), ",") + `]}`
		}
	}
	many := make([]string, token.DefaultMaxSize/8)
	for i := range many {
		many[i] = fmt.Sprintf(`"%x":0`, i)
	}
	costly := map[string]struct {
		json func(room int) string
		want token.Reason // of claims; a header of the same text may fail earlier
	}{
		"numbers":            {repeated("0"), token.ReasonClaimMissing},
		"empty objects":      {repeated("{}"), token.ReasonClaimMissing},
		"empty arrays":       {repeated("[]"), token.ReasonClaimMissing},
		"small objects":      {repeated(`{"":0}`), token.ReasonClaimMissing},
		"deep arrays":        {repeated(strings.Repeat("[", 60) + strings.Repeat("]", 60)), token.ReasonClaimMissing},
		"deep objects":       {repeated(strings.Repeat(`{"":`, 60) + "0" + strings.Repeat("}", 60)), token.ReasonClaimMissing},
		"too deep":           {func(room int) string { return `{"a":` + strings.Repeat("[", room-5) }, token.ReasonPayload},
		"escapes":            {repeated(`"\u00e9\ud83d\ude00"`), token.ReasonClaimMissing},
		"one name twice":     {func(int) string { return `{"a":0,"a":0}` }, token.ReasonPayload},
		"names":              {func(room int) string { return fill("{", many, "}", room) }, token.ReasonClaimMissing},
		"names and one more": {func(room int) string { return fill("{", many, `,"0":0}`, room) }, token.ReasonPayload},
		"digits":             {func(room int) string { return `{"exp":` + strings.Repeat("9", room-8) + "}" }, token.ReasonClaimMissing},
		"fraction":           {func(room int) string { return `{"exp":0.` + strings.Repeat("9", room-10) + "}" }, token.ReasonExpired},
		"exponent":           {func(int) string { return `{"exp":1e99999999999999999999}` }, token.ReasonClaimMissing},
		"audiences": {func(room int) string {
			return `{"aud":[` + strings.Repeat(`"",`, (room-200)/3) + `""],"scope":"read","iss":"` + issuer + `",` + exp + "}"
		}, token.ReasonAudience},
		"scopes": {func(room int) string {
			return `{"scope":"` + strings.Repeat(" ", room-200) + `","iss":"` + issuer + `","aud":"` + audience + `",` + exp + "}"
		}, token.ReasonScope},
	}
	v := verifier()
	v.Scopes = []string{"read"}
	for name, tt := range costly {
		claims, header := good(jwk.EdDSA), good(jwk.EdDSA)
		claims.rawClaims = tt.json(48_000)
		checkCost(t, name, v, claims.String(), most, tt.want)
		text := tt.json(48_000)
		header.rawHeader = strings.TrimSuffix(toJSON(header.header), "}") + "," + strings.TrimPrefix(text, "{")
		checkCost(t, name+" in the header", v, header.String(), most, "")
	}
	checkCost(t, "dots", v, strings.Repeat(".", token.DefaultMaxSize), most, token.ReasonNotCompact)
	checkCost(t, "too long", v, strings.Repeat("a.", 10<<20), 1<<10, token.ReasonTooLarge)
	checkCost(t, "long kid", v, good(jwk.EdDSA).head("kid", strings.Repeat("\u00e9", 20_000)).String(), most, token.ReasonKidUnknown)

	// As many keys as a JWK Set may hold, all of one kid.
	key, other := keys()[jwk.EdDSA], keys()[jwk.ES256]
	decoys := make([]jwk.PublicKey, 999)
	for i := range decoys {
		decoys[i] = foreign(t, other, map[string]any{"kid": key.KeyID()})
	}
	v = verifier()
	v.Keys = source(append(decoys, key.Public())...)
	checkCost(t, "decoys", v, good(jwk.EdDSA).String(), most, "")
	checkCost(t, "decoys that fit", v, good(jwk.ES256).head("kid", key.KeyID()).String(), most, token.ReasonKidAmbiguous)
}

// checkCost has a token judged and counts what was allocated; "" stands for any reason.
func checkCost(t *testing.T, name string, v token.Verifier, compact string, most uint64, want token.Reason) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	verdict, err := v.Verify(t.Context(), compact)
	runtime.ReadMemStats(&after)
	if _, refused := errors.AsType[*token.Refusal](err); err != nil && !refused {
		t.Errorf("%s: not judged: %v", name, err)
	}
	if want != "" && verdict.Reason != want {
		t.Errorf("%s: %q (%v), want %q", name, verdict.Reason, err, want)
	}
	bytes := after.TotalAlloc - before.TotalAlloc
	if bytes > most {
		t.Errorf("%s: a token of %d bytes takes %d, at most may be %d", name, len(compact), bytes, most)
	}
	if data, err := json.Marshal(verdict); err != nil || len(data) > int(most) {
		t.Errorf("%s: the verdict takes %d bytes, %v", name, len(data), err)
	}
}

// fill puts as many members between start and end as there is room for.
func fill(start string, members []string, end string, room int) string {
	n, size := 0, len(start)+len(end)
	for n < len(members) && size+len(members[n])+1 <= room {
		size += len(members[n]) + 1
		n++
	}
	return start + strings.Join(members[:n], ",") + end
}
