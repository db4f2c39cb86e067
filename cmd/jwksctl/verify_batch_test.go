package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/remote"
	"github.com/jwksctl/jwksctl/pkg/token"
)

func newES256(tb testing.TB) jwk.PrivateKey {
	tb.Helper()
	key, err := jwk.Generate(jwk.ES256, 0)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// minter is a token.Signer with one key.
type minter struct{ key jwk.PrivateKey }

func (m minter) SigningKey(context.Context) (key jwk.PrivateKey, now, latest time.Time, err error) {
	now = time.Now()
	return m.key, now, now.Add(time.Hour), nil
}

func mint(tb testing.TB, key jwk.PrivateKey, aud string) string {
	tb.Helper()
	return mintFor(tb, key, "https://issuer.example", aud)
}

func mintFor(tb testing.TB, key jwk.PrivateKey, iss, aud string) string {
	tb.Helper()
	minted, err := token.Mint(tb.Context(), minter{key}, token.Request{
		Issuer: iss, Subject: "alice", Audience: []string{aud}, Scope: "read write",
	})
	if err != nil {
		tb.Fatal(err)
	}
	return minted.Compact
}

// testBatch is a batch that knows one key.
func testBatch(key jwk.PrivateKey, asJSON bool, out io.Writer) *batch {
	source := &keySource{KeySource: remote.Static{Set: jwk.Set{Keys: []jwk.PublicKey{key.Public()}}}, Type: "jwks", From: "test"}
	return &batch{
		verifier: token.Verifier{Keys: source, Issuer: []string{"https://issuer.example"}, Audience: []string{"api"}},
		source:   source,
		json:     asJSON,
		out:      out,
	}
}

// TestBatchKeepsOrder judges tokens that take long and tokens that take no time in
// turns, by many lines, and looks for each verdict in its place.
func TestBatchKeepsOrder(t *testing.T) {
	key := newES256(t)
	good, other := mint(t, key, "api"), mint(t, key, "web")
	var in, want strings.Builder
	rejected := 0
	for i := range 2000 {
		switch {
		case i%97 == 0:
			fmt.Fprintln(&in, good)
			fmt.Fprintf(&want, "%d valid\n", i+1)
		case i%89 == 0:
			fmt.Fprintln(&in, other)
			fmt.Fprintf(&want, "%d aud\n", i+1)
			rejected++
		case i%83 == 0:
			fmt.Fprintln(&in) // no token, no verdict
		default:
			fmt.Fprintln(&in, "x")
			fmt.Fprintf(&want, "%d not-compact\n", i+1)
			rejected++
		}
	}
	var out bytes.Buffer
	total, err := testBatch(key, false, &out).run(t.Context(), strings.NewReader(in.String()))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for line := range strings.Lines(out.String()) {
		cells := strings.Split(line, "\t")
		fmt.Fprintln(&got, cells[0], cells[1])
	}
	if diff := cmp.Diff(want.String(), got.String()); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if total.rejected != rejected || total.verified != strings.Count(want.String(), "\n") {
		t.Errorf("counted %+v", total)
	}
}

// TestBatchMemory pipes 200,000 lines and then one of 256 MiB through a batch.
func TestBatchMemory(t *testing.T) {
	const lines, limit = 200_000, 32 << 20
	key := newES256(t)
	text := strings.Replace(mint(t, key, "api"), "e", "x", 1) + "\n" // refused before its signature is looked at
	before := liveMemory()
	most := before
	in, feed := io.Pipe()
	go func() {
		for i := range lines {
			_, _ = io.WriteString(feed, text)
			if i%20_000 == 0 {
				most = max(most, liveMemory())
			}
		}
		long := strings.Repeat("x", 1<<20)
		for range 256 {
			_, _ = io.WriteString(feed, long)
		}
		most = max(most, liveMemory())
		_ = feed.Close()
	}()
	total, err := testBatch(key, true, io.Discard).run(t.Context(), in)
	if err != nil || total != (counts{verified: lines + 1, rejected: lines + 1}) {
		t.Fatal(total, err)
	}
	if most > before+limit {
		t.Errorf("%d MiB more were live, want at most %d", (most-before)>>20, limit>>20)
	}
}

func liveMemory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestBatchAnswersAtOnce shows that a verdict does not wait for further lines.
func TestBatchAnswersAtOnce(t *testing.T) {
	key := newES256(t)
	in, feed := io.Pipe()
	answers, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := testBatch(key, false, out).run(t.Context(), in)
		done <- err
	}()
	verdicts := bufio.NewReader(answers)
	for i := range 3 {
		if _, err := fmt.Fprintln(feed, "x"); err != nil {
			t.Fatal(err)
		}
		got, err := verdicts.ReadString('\n')
		if err != nil || !strings.HasPrefix(got, fmt.Sprintf("%d\tnot-compact\t", i+1)) {
			t.Fatal(got, err)
		}
	}
	if err := errors.Join(feed.Close(), <-done); err != nil {
		t.Fatal(err)
	}
}

// TestBatchStops shows what ends a batch early: no keys, a result that cannot be
// written, input that cannot be read, a context that ends.
func TestBatchStops(t *testing.T) {
	key := newES256(t)
	good := mint(t, key, "api")
	unreachable := errors.New("unreachable")
	lines := func(n int) io.Reader { return &repeated{text: good + "\n", n: n} }

	var out bytes.Buffer
	b := testBatch(key, false, &out)
	b.verifier.Keys = lazily(func() (token.KeySource, error) { return nil, unreachable })
	total, err := b.run(t.Context(), io.MultiReader(strings.NewReader("x\n\n"), lines(1000)))
	if !errors.Is(err, unreachable) || !strings.HasPrefix(err.Error(), "line 3: ") || total.verified != 1 {
		t.Errorf("no keys: %+v, %v", total, err)
	}
	if got := out.String(); strings.Count(got, "\n") != 1 {
		t.Errorf("verdicts before there were no keys: %q", got)
	}

	_, err = testBatch(key, false, &brokenWriter{100}).run(t.Context(), lines(1000))
	if err == nil || !strings.Contains(err.Error(), "could not be written") {
		t.Errorf("broken output: %v", err)
	}

	broken := io.MultiReader(lines(1), iotest.ErrReader(errors.New("broken")))
	total, err = testBatch(key, false, io.Discard).run(t.Context(), broken)
	if codeOf(err) != exitUsage || total.verified != 1 {
		t.Errorf("broken input: %+v, %v", total, err)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interrupted{os.Interrupt})
	in, feed := io.Pipe()
	defer func() { _ = feed.Close() }()
	if _, err := testBatch(key, false, io.Discard).run(ctx, in); codeOf(err) != exitInterrupt {
		t.Errorf("interrupted: %v", err)
	}
}

// TestBatchFault shows that a panic on another goroutine is still our own fault.
func TestBatchFault(t *testing.T) {
	key := newES256(t)
	b := testBatch(key, false, io.Discard)
	b.verifier.Keys = lazily(func() (token.KeySource, error) { panic("out of order") })
	defer func() {
		if fault := recover(); !strings.Contains(fmt.Sprint(fault), "out of order") {
			t.Errorf("recovered %v", fault)
		}
	}()
	_, _ = b.run(t.Context(), strings.NewReader(mint(t, key, "api")))
	t.Error("there was no panic")
}

// TestBatchProgress shows progress on a terminal, as long as the verdicts go elsewhere.
func TestBatchProgress(t *testing.T) {
	key := newES256(t)
	ticks := make(chan time.Time)
	var told []counts
	b := testBatch(key, false, io.Discard)
	b.ticks, b.progress = ticks, func(c counts) { told = append(told, c) }
	in, feed := io.Pipe()
	go func() {
		_, _ = io.WriteString(feed, "x\n")
		ticks <- time.Time{}
		_ = feed.Close()
	}()
	if _, err := b.run(t.Context(), in); err != nil || len(told) != 1 {
		t.Errorf("told %v, %v", told, err)
	}
}

// FuzzVerifyInput cuts any input into lines and takes tokens out of them.
func FuzzVerifyInput(f *testing.F) {
	for _, seed := range []string{"", "a.b.c", "Bearer a.b.c\r\n\n x \n", "bearer  bearer x", "\n\n", "Bearer", "\x00\xff\n\v"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(data), 16)
		var got []line
		for err := error(nil); err == nil; {
			var l line
			l, err = readLine(r)
			got = append(got, l)
		}
		want := strings.Split(string(data), "\n")
		if len(got) != len(want) {
			t.Fatalf("%d lines, want %d", len(got), len(want))
		}
		for i, l := range got {
			if l.tooLong != (len(want[i]) >= 16) { // a line and its end must fit
				t.Errorf("line %d of %d bytes: too long is %v", i, len(want[i]), l.tooLong)
			}
			if !l.tooLong && l.text != bareToken(want[i]) {
				t.Errorf("line %d is %q, want %q", i, l.text, bareToken(want[i]))
			}
			if l.text != strings.TrimSpace(l.text) {
				t.Errorf("line %d keeps its white space: %q", i, l.text)
			}
		}
	})
}

// repeated gives the same bytes n times.
type repeated struct {
	text string
	n    int
	rest string
}

func (r *repeated) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		if r.rest == "" {
			if r.n == 0 {
				break
			}
			r.rest = r.text
			r.n--
		}
		copied := copy(b[n:], r.rest)
		r.rest = r.rest[copied:]
		n += copied
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// BenchmarkBatch sets a whole batch beside bare RSA verifications on all cores. The
// two take turns, so that what else the machine does strikes both: of-raw is the
// throughput of the batch as a part of the bare one.
func BenchmarkBatch(b *testing.B) {
	const tokens = 4096
	key, err := jwk.Generate(jwk.RS256, 0)
	if err != nil {
		b.Fatal(err)
	}
	line := mint(b, key, "api") + "\n"
	for _, format := range []string{"text", "json"} {
		b.Run(format, func(b *testing.B) {
			var raw, ours time.Duration
			for b.Loop() {
				start := time.Now()
				bareRSA(b, key.Public(), line, tokens)
				raw += time.Since(start)

				start = time.Now()
				total, err := testBatch(key, format == "json", io.Discard).run(b.Context(), &repeated{text: line, n: tokens})
				if err != nil || total != (counts{verified: tokens}) {
					b.Fatal(total, err)
				}
				ours += time.Since(start)
			}
			b.ReportMetric(raw.Seconds()/ours.Seconds(), "of-raw")
			b.ReportMetric(float64(tokens)*float64(b.N)/ours.Seconds(), "tokens/s")
		})
	}
}

// bareRSA verifies the signature of a token n times, on all cores, and nothing else.
func bareRSA(b *testing.B, key jwk.PublicKey, compact string, n int) {
	b.Helper()
	public := key.Material().(*rsa.PublicKey)
	dot := strings.LastIndex(compact, ".")
	signature, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(compact[dot+1:]))
	if err != nil {
		b.Fatal(err)
	}
	var all sync.WaitGroup
	cores := runtime.NumCPU()
	for range cores {
		all.Go(func() {
			for range n / cores {
				digest := sha256.Sum256([]byte(compact[:dot]))
				if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
}
