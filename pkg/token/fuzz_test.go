package token_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/token"
)

var verdictsFile = flag.String("verdicts", "", "file for the tokens of FuzzVerify and their verdicts, so that other libraries can verify the same tokens")

// FuzzVerify verifies any text, and any header and payload with a valid signature. The
// verifier must neither panic nor use much memory or time, and golang-jwt must accept
// every token that it accepts.
func FuzzVerify(f *testing.F) {
	trusted := fuzzKeys(f)
	signing := trusted[jwk.EdDSA]
	names := []string{`"RS256"`, `"EdDSA"`}
	for _, key := range keys() {
		names = append(names, key.KeyID(), signing.KeyID())
	}
	resign := strings.NewReplacer(names...)
	for _, seed := range seeds() {
		inspected := token.Inspect(seed)
		f.Add(resign.Replace(string(inspected.Header)), string(inspected.Claims), seed)
	}
	v := verifier()
	v.Keys = source(trusted[jwk.RS256].Public(), signing.Public())
	v.Leeway = time.Second
	record := recorder(f, v)
	f.Fuzz(func(t *testing.T, header, payload, whole string) {
		if len(header)+len(payload)+len(whole) > 100_000 {
			return
		}
		input := b64([]byte(header)) + "." + b64([]byte(payload))
		forms := [...]string{"whole", "signed"}
		for i, compact := range [...]string{whole, signed(signing, input)} {
			verdict, err := verifyCheaply(t, v, compact)
			if verdict.Valid != (err == nil) {
				t.Fatalf("verdict %+v with error %v", verdict, err)
			}
			if err == nil {
				checkGolangJWT(t, trusted, compact)
			}
			record(t.Name()+"/"+forms[i], compact, err)
		}
	})
}

// fuzzKeys returns the same keys in every process, so that the workers of the fuzzer and
// later runs reproduce what was found.
func fuzzKeys(tb testing.TB) map[jwk.Algorithm]jwk.PrivateKey {
	tb.Helper()
	signing, err := jwk.NewPrivateKey(jwk.EdDSA, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		tb.Fatal(err)
	}
	return map[jwk.Algorithm]jwk.PrivateKey{jwk.EdDSA: signing, jwk.RS256: keys()[jwk.RS256]}
}

// verifyCheaply verifies a token and checks the memory and time that it takes. One slow
// attempt may be due to the machine, five in a row are not.
func verifyCheaply(t *testing.T, v token.Verifier, compact string) (verdict token.Verdict, err error) {
	t.Helper()
	for range 5 {
		before, start := allocated(), time.Now()
		verdict, err = v.Verify(t.Context(), compact)
		took := time.Since(start)
		if bytes := allocated() - before; bytes > 64<<20 {
			t.Fatalf("it allocates %d bytes", bytes)
		}
		if took <= 100*time.Millisecond {
			return verdict, err
		}
	}
	t.Fatal("it takes more than 100 ms")
	return verdict, err
}

// allocated returns the total of bytes that this process has allocated on the heap.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// recorder returns a function that writes a verdict to the file of -verdicts, if given.
// The first line of the file is the settings of the verifier.
func recorder(f *testing.F, v token.Verifier) func(name, compact string, err error) {
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

// seeds returns the tokens of the gallery and of rows.
func seeds() []string {
	seeds := slices.Sorted(maps.Values(gallery().Tokens))
	for _, r := range rows() {
		seeds = append(seeds, r.token.String())
	}
	return seeds
}

// checkGolangJWT verifies a token with the strictest settings of golang-jwt.
func checkGolangJWT(t *testing.T, trusted map[jwk.Algorithm]jwk.PrivateKey, compact string) {
	t.Helper()
	parser := jwt.NewParser(
		jwt.WithStrictDecoding(), jwt.WithIssuer(issuer), jwt.WithAudience(audience), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithTimeFunc(now), jwt.WithLeeway(2*time.Second), jwt.WithJSONNumber(),
	)
	_, err := parser.Parse(compact, func(parsed *jwt.Token) (any, error) {
		alg, _ := parsed.Header["alg"].(string)
		return trusted[jwk.Algorithm(alg)].Public().Material(), nil
	})
	header := string(token.Inspect(compact).Header)
	if strings.Contains(header, "Ed25519") {
		return // golang-jwt does not know this name
	}
	if wide, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && strings.HasPrefix(wide.Value, "number") {
		return // golang-jwt reads numbers of the header as float64
	}
	if err != nil {
		t.Errorf("golang-jwt refuses what we accepted: %v\nheader %s", err, header)
	}
}

// FuzzParseClaims checks that encoding/json accepts what ParseClaims accepts, with the
// same result.
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
			t.Errorf("claims (-encoding/json +ParseClaims):\n%s", diff)
		}
	})
}

// FuzzInspect checks that Inspect accepts any text, and that its result is valid JSON.
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
