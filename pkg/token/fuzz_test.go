package token_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

var verdictsFile = flag.String("verdicts", "", "file that receives every token that FuzzVerify has as seed or corpus, and what became of it, for other libraries to judge")

// FuzzVerify gives the verifier any text, and any header and payload under a right
// signature. It must not panic nor cost much, and what it accepts golang-jwt must
// accept too.
func FuzzVerify(f *testing.F) {
	trusted := fuzzKeys(f)
	signing := trusted[jwk.EdDSA]
	names := []string{`"RS256"`, `"EdDSA"`}
	for _, key := range keys() {
		names = append(names, key.KeyID(), signing.KeyID())
	}
	ours := strings.NewReplacer(names...)
	for _, seed := range seeds() {
		inspected := token.Inspect(seed)
		f.Add(ours.Replace(string(inspected.Header)), string(inspected.Claims), seed)
	}
	v := verifier()
	v.Keys = source(trusted[jwk.RS256].Public(), signing.Public())
	v.Leeway = time.Second
	tell := teller(f, v)
	f.Fuzz(func(t *testing.T, header, payload, whole string) {
		if len(header)+len(payload)+len(whole) > 100_000 {
			return
		}
		input := b64([]byte(header)) + "." + b64([]byte(payload))
		forms := [...]string{"whole", "signed"}
		for i, compact := range [...]string{whole, input + "." + b64(signer(signing)(input))} {
			verdict, err := judgeCheaply(t, v, compact)
			if verdict.Valid != (err == nil) {
				t.Fatalf("verdict %+v with error %v", verdict, err)
			}
			if err == nil {
				checkByOthers(t, trusted, compact)
			}
			tell(t.Name()+"/"+forms[i], compact, err)
		}
	})
}

// fuzzKeys are the same in every process. The fuzzer's workers are processes of their
// own, and what is found must be found again later.
func fuzzKeys(tb testing.TB) map[jwk.Algorithm]jwk.PrivateKey {
	tb.Helper()
	signing, err := jwk.NewPrivateKey(jwk.EdDSA, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		tb.Fatal(err)
	}
	return map[jwk.Algorithm]jwk.PrivateKey{jwk.EdDSA: signing, jwk.RS256: keys()[jwk.RS256]}
}

// judgeCheaply verifies a token and holds the costs to their bounds. One slow try may
// be the fault of the machine, five in a row are not.
func judgeCheaply(t *testing.T, v token.Verifier, compact string) (verdict token.Verdict, err error) {
	t.Helper()
	for range 5 {
		before, start := allocated(), time.Now()
		verdict, err = v.Verify(t.Context(), compact)
		took := time.Since(start)
		if bytes := allocated() - before; bytes > 64<<20 {
			t.Fatalf("it takes %d bytes", bytes)
		}
		if took <= 100*time.Millisecond {
			return verdict, err
		}
	}
	t.Fatal("it takes more than 100 ms")
	return verdict, err
}

// allocated returns how many bytes this process ever allocated on the heap.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// teller returns what writes a verdict to the file of -verdicts, if there is one, after
// a line that says what others need to judge the same tokens.
func teller(f *testing.F, v token.Verifier) func(name, compact string, err error) {
	f.Helper()
	if *verdictsFile == "" {
		return func(string, string, error) {}
	}
	file, err := os.Create(*verdictsFile)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := file.Close(); err != nil {
			f.Error(err)
		}
	})
	lines := json.NewEncoder(file)
	write := func(line any) {
		if err := lines.Encode(line); err != nil {
			f.Fatal(err)
		}
	}
	write(map[string]any{"jwks": v.Keys, "issuer": v.Issuer, "audience": v.Audience, "time": v.Now(), "leeway": v.Leeway.Seconds()})
	return func(name, compact string, err error) {
		refusal, _ := errors.AsType[*token.Refusal](err)
		write(map[string]any{"name": strings.TrimPrefix(name, "FuzzVerify/"), "token": compact, "refusal": refusal})
	}
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
func checkByOthers(t *testing.T, trusted map[jwk.Algorithm]jwk.PrivateKey, compact string) {
	t.Helper()
	parser := jwt.NewParser(
		jwt.WithStrictDecoding(), jwt.WithIssuer(issuer), jwt.WithAudience(audience), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithTimeFunc(moment), jwt.WithLeeway(2*time.Second), jwt.WithJSONNumber(),
	)
	_, err := parser.Parse(compact, func(parsed *jwt.Token) (any, error) {
		alg, _ := parsed.Header["alg"].(string)
		return trusted[jwk.Algorithm(alg)].Public().Material(), nil
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
