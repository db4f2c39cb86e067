package token_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// FuzzVerify gives the verifier any text, and any header and payload under a right
// signature. It must not panic, and what it accepts golang-jwt must accept too.
func FuzzVerify(f *testing.F) {
	base := good(jwk.EdDSA)
	f.Add(toJSON(base.header), toJSON(base.claims), base.String())
	for _, seed := range seeds() {
		parts := strings.Split(seed, ".")
		if len(parts) == 3 {
			inspected := token.Inspect(seed)
			f.Add(string(inspected.Header), string(inspected.Claims), seed)
		}
	}
	v := verifier()
	v.Leeway = time.Second
	f.Fuzz(func(t *testing.T, header, payload, whole string) {
		if len(header)+len(payload)+len(whole) > 100_000 {
			return
		}
		input := b64([]byte(header)) + "." + b64([]byte(payload))
		for _, compact := range []string{whole, input + "." + b64(base.sign(input))} {
			verdict, err := v.Verify(t.Context(), compact)
			if verdict.Valid != (err == nil) {
				t.Fatalf("verdict %+v with error %v", verdict, err)
			}
			if err == nil {
				checkByOthers(t, compact)
			}
		}
	})
}

// seeds are the tokens of the catalogue.
func seeds() []string {
	var seeds []string
	for _, rows := range [][]row{
		signatureRows(), headerRows(), encodingRows(), jsonRows(), claimNameRows(), timeRows(), issuerRows(), audienceRows(), kindRows(), acceptRows(),
	} {
		for _, r := range rows {
			seeds = append(seeds, r.token)
		}
	}
	return seeds
}

// checkByOthers has golang-jwt verify a token as strictly as it can.
func checkByOthers(t *testing.T, compact string) {
	t.Helper()
	parser := jwt.NewParser(
		jwt.WithStrictDecoding(), jwt.WithIssuer(issuer), jwt.WithAudience(audience), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithTimeFunc(moment), jwt.WithLeeway(2*time.Second), jwt.WithJSONNumber(),
	)
	_, err := parser.Parse(compact, func(parsed *jwt.Token) (any, error) {
		alg, _ := parsed.Header["alg"].(string)
		return keys()[jwk.Algorithm(alg)].Public().Material(), nil
	})
	header := string(token.Inspect(compact).Header)
	if strings.Contains(header, "Ed25519") {
		return // a name that golang-jwt does not know
	}
	if wide, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && strings.HasPrefix(wide.Value, "number") {
		return // a number beyond float64 in the header
	}
	if err != nil {
		t.Errorf("golang-jwt refuses what we accepted: %v\nheader %s", err, header)
	}
}

// FuzzParseClaims checks that our reader accepts only what encoding/json accepts
// too, and reads the same from it.
func FuzzParseClaims(f *testing.F) {
	for _, seed := range seeds() {
		f.Add([]byte(token.Inspect(seed).Claims))
	}
	f.Add([]byte(`{"a":[{},[],"\u00e9\ud83d\ude00\n",-0.5e+3,0,true,false,null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := token.ParseClaims(data)
		if err != nil {
			if _, ok := errors.AsType[*token.Refusal](err); !ok {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		var want map[string]any
		if err := decoder.Decode(&want); err != nil {
			t.Fatalf("encoding/json refuses what we accepted: %v", err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("read otherwise (-encoding/json +ours):\n%s", diff)
		}
	})
}

// FuzzInspect checks that anything can be looked at, and the result be printed.
func FuzzInspect(f *testing.F) {
	for _, seed := range seeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, compact string) {
		got := token.Inspect(compact)
		data, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if got.Verified || !json.Valid(data) {
			t.Errorf("inspection: %s", data)
		}
	})
}
