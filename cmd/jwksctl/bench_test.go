//go:build bench && linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

var (
	benchBinary   = flag.String("bench.binary", "", "jwksctl binary to measure")
	benchBaseline = flag.String("bench.baseline", "", "older jwksctl binary to measure in the same rounds")
)

// TestBench measures the jwksctl binary and prints a table; .github/BENCHMARKS.md
// explains each row. With -test.short every count and time is a tenth, which shows
// only that the benchmark works.
func TestBench(t *testing.T) {
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &bench{T: t, ctx: ctx, binaries: []string{*benchBinary}}
	head, rule := "| what | goal | measured | |", "|---|---|---|---|"
	if *benchBaseline != "" {
		b.binaries = append(b.binaries, *benchBaseline)
		head, rule = head+" baseline |", rule+"---|"
	}
	b.serverCPUs, b.loadCPUs = splitCPUs(runtime.NumCPU())
	fmt.Printf("%s, %s/%s, %d processors; median (lowest to highest) of the rounds\n\n%s\n%s\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), head, rule)
	b.part("jwks", (*bench).jwks)
	for _, alg := range []jwk.Algorithm{jwk.RS256, jwk.ES256, jwk.EdDSA} {
		b.part("auth/"+alg.String(), func(b *bench) { b.auth(alg) })
	}
	for _, alg := range []jwk.Algorithm{jwk.RS256, jwk.ES256, jwk.EdDSA} {
		b.part("flood/"+alg.String(), func(b *bench) { b.flood(alg) })
	}
	b.part("clients", (*bench).clients)
	b.part("batch", (*bench).batch)
	b.part("start", (*bench).start)
	b.part("memory", (*bench).memory)
	b.part("size", (*bench).size)
}

type bench struct {
	*testing.T
	ctx                  context.Context // ends at an interrupt
	binaries             []string        // the new one, then the baseline if there is one
	serverCPUs, loadCPUs string
}

// part runs a part of the benchmark as a subtest, so that -test.run can select it.
func (b *bench) part(name string, measure func(*bench)) {
	b.Run(name, func(t *testing.T) {
		part := *b
		part.T = t
		measure(&part)
	})
}

// scaled returns n, or a tenth of it with -test.short.
func scaled[N int | time.Duration](n N) N {
	if testing.Short() {
		return max(1, n/10)
	}
	return n
}

// figures are what was measured of one binary, and of its counterpart if it has
// one, in each round.
type figures struct {
	ours, counterpart []float64
}

func (f *figures) add(ours, counterpart float64) {
	f.ours, f.counterpart = append(f.ours, ours), append(f.counterpart, counterpart)
}

// row prints a line of the table: the figures of the new binary, whether their
// median meets the goal, and the figures of the baseline. With a counterpart, the
// goal is for the ratio.
func (b *bench) row(what, operator string, limit float64, unit string, all []figures) {
	var cells []string
	for i, f := range all {
		values, format, goal := f.ours, "%.1f"+unit, fmt.Sprintf("%s %v%s", operator, limit, unit)
		if f.counterpart != nil {
			values, format, goal = nil, "%.2f", fmt.Sprintf("%s %v", operator, limit)
			for round := range f.ours {
				values = append(values, f.ours[round]/f.counterpart[round])
			}
		}
		middle := median(values)
		cell := fmt.Sprintf(format+" ("+format+" to "+format+")", middle, slices.Min(values), slices.Max(values))
		if f.counterpart != nil {
			cell += ": " + show(median(f.ours)) + unit + " against " + show(median(f.counterpart)) + unit
		}
		cells = append(cells, cell)
		if i == 0 {
			met := map[string]bool{">=": middle >= limit, "<=": middle <= limit, "<": middle < limit}[operator]
			cells = []string{what, goal, cell, map[bool]string{true: "met", false: "**missed**"}[met]}
		}
	}
	fmt.Printf("| %s |\n", strings.Join(cells, " | "))
}

func show(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func median(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

// jwks compares GET /jwks with a bare handler that serves the same bytes.
func (b *bench) jwks() {
	servers := b.serveAll()
	bare := b.serveBare(bareTask{Method: http.MethodGet, URL: servers[0].url + "/jwks"})
	for _, status := range []int{http.StatusOK, http.StatusNotModified} {
		var targets []target
		for _, s := range slices.Concat([]*benchProcess{bare}, servers) {
			to := target{Method: http.MethodGet, URL: s.url + "/jwks", Status: status}
			if status == http.StatusNotModified {
				to.IfNoneMatch = b.etag(to.URL)
			}
			targets = append(targets, to)
		}
		b.compareRates(fmt.Sprintf("`GET /jwks` %d: answers a second against a bare handler", status), 0.9, targets)
	}
}

// auth compares POST /auth with a bare handler that makes the same signature.
func (b *bench) auth(alg jwk.Algorithm) {
	servers := b.serveAll("--algorithm", alg.String())
	bare := b.serveBare(bareTask{Method: http.MethodPost, URL: servers[0].url + "/auth", SignWith: alg.String()})
	var targets []target
	for _, s := range slices.Concat([]*benchProcess{bare}, servers) {
		targets = append(targets, target{Method: http.MethodPost, URL: s.url + "/auth", Status: http.StatusOK})
	}
	least := 0.75
	if alg == jwk.RS256 {
		least = 0.9
	}
	b.compareRates("`POST /auth` "+alg.String()+": tokens a second against a bare handler that signs", least, targets)
}

// compareRates compares the rate of each target with that of the first, the
// counterpart.
func (b *bench) compareRates(what string, least float64, targets []target) {
	all := make([]figures, len(targets)-1)
	for _, round := range b.load(load{Targets: targets, Connections: 16, Rounds: scaled(60), Slice: scaled(100 * time.Millisecond)}) {
		for i := range all {
			all[i].add(round[i+1].PerSecond, round[0].PerSecond)
		}
	}
	b.row(what, ">=", least, "/s", all)
}

// flood compares the p99 of GET /jwks while 64 connections ask the same server for
// tokens with the p99 of a bare handler in another process on the same processors.
func (b *bench) flood(alg jwk.Algorithm) {
	what := "p99 of `GET /jwks` while 64 connections flood `/auth`, " + alg.String() + ", against a bare handler beside that flood"
	b.compareDuringFlood(what, b.serveAll("--algorithm", alg.String()), func(url string) []load {
		return []load{{Targets: []target{{Method: http.MethodPost, URL: url + "/auth", Status: http.StatusOK}}, Connections: 64}}
	})
}

// clients is like flood, with the token endpoint. 32 of the connections send what is refused:
// a wrong secret, each from an address of its own, which after the first ones is answered
// 429; or an assertion, each from a new address, which is verified. ES512 takes longest.
func (b *bench) clients() {
	b.binaries = b.binaries[:1] // the baseline may not have the endpoint
	secret := strings.Repeat("0123456789abcdef", 4)
	settings := filepath.Join(b.TempDir(), "jwksctl.yaml")
	list := fmt.Sprintf("auth: clients\nbehind_proxy: [127.0.0.1]\nclients:\n  - {id: bench, audiences: [https://api.example], secret_sha256: [\"%x\"]}\n", sha256.Sum256([]byte(secret)))
	if err := os.WriteFile(settings, []byte(list), 0o600); err != nil {
		b.Fatal(err)
	}
	ask := target{Method: http.MethodPost, Form: "grant_type=client_credentials", Authorization: basicOf(secret), Status: http.StatusOK}
	wrong, assertion := ask, ask
	wrong.Authorization, wrong.From, wrong.Status = basicOf("wrong"+secret), "127.1.0.", http.StatusTooManyRequests
	assertion.Authorization, assertion.NewAddress, assertion.Status = "", true, http.StatusUnauthorized
	assertion.Form += "&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=" + unknownAssertion()
	for _, refused := range []struct {
		what string
		target
	}{{"a wrong secret", wrong}, {"an ES512 assertion of an unknown client", assertion}} {
		what := "p99 of `GET /jwks` while 64 connections flood `/oauth2/token`, RS256, 32 of them with " + refused.what + ", against a bare handler beside that flood"
		b.compareDuringFlood(what, b.serveAll("--config", settings), func(url string) (floods []load) {
			for _, to := range []target{ask, refused.target} {
				to.URL = url + "/oauth2/token"
				floods = append(floods, load{Connections: 32, Targets: []target{to}})
			}
			return floods
		})
	}
}

func basicOf(secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte("bench:"+secret))
}

// unknownAssertion is an assertion of a client that does not exist. Its signature is wrong,
// but can only be told from a right one by verifying it.
func unknownAssertion() string {
	encode := base64.RawURLEncoding.EncodeToString
	signature := bytes.Repeat([]byte{1}, 2*66)
	signature[0], signature[66] = 0, 0 // both numbers are smaller than the order of P-521
	return encode([]byte(`{"alg":"ES512","typ":"JWT"}`)) + "." +
		encode([]byte(`{"iss":"nobody","sub":"nobody","aud":"http://127.0.0.1","iat":1,"exp":1,"jti":"1"}`)) + "." + encode(signature)
}

// compareDuringFlood compares the p99 of GET /jwks of each server, while it is flooded,
// with that of a bare handler. floods returns the floods of a server, of which the first
// asks for tokens.
func (b *bench) compareDuringFlood(what string, servers []*benchProcess, floods func(url string) []load) {
	bare := b.serveBare(bareTask{Method: http.MethodGet, URL: servers[0].url + "/jwks"})
	all := make([]figures, len(servers))
	for range scaled(7) {
		for i, server := range servers {
			for _, round := range b.duringFlood(server, bare, floods(server.url)) {
				all[i].add(milliseconds(round[0].P99), milliseconds(round[1].P99))
			}
		}
	}
	b.row(what, "<=", 5, " ms", all)
}

// duringFlood floods the server and meanwhile asks the server and the bare handler for
// the JWK Set in turn, at most a thousand times a second.
func (b *bench) duringFlood(server, bare *benchProcess, floods []load) [][]sample {
	const (
		lead  = 300 * time.Millisecond // until the flood has certainly begun
		tail  = 700 * time.Millisecond // for the start of the second load generator
		least = 50                     // tokens a second, below which it is no flood
	)
	probe := load{Connections: 1, Rounds: 2, Slice: scaled(time.Second), Pause: time.Millisecond}
	for _, s := range []*benchProcess{server, bare} {
		probe.Targets = append(probe.Targets, target{Method: http.MethodGet, URL: s.url + "/jwks", Status: http.StatusOK})
	}
	slice := lead + time.Duration(probe.Rounds*len(probe.Targets))*probe.Slice + tail
	start := time.Now()
	waits := make([]func(any), len(floods))
	for i, flood := range floods {
		flood.Rounds, flood.Slice = 1, slice
		_, waits[i] = b.help(b.loadCPUs, helperTask{Load: &flood})
	}
	<-time.After(lead)
	probed := b.load(probe)
	if time.Since(start) > slice {
		b.Fatal("the flood ended before the measurement did: the machine is too busy")
	}
	for i, wait := range waits {
		var flooded [][]sample
		wait(&flooded)
		if rate := flooded[0][0].PerSecond; i == 0 && rate < least {
			b.Fatalf("the server answered %.0f tokens a second: that is no flood", rate)
		}
	}
	return probed
}

// batch compares verify --batch with raw verification. The time of the command is
// from exec to exit, so its start and the reading of the file count against it. The
// time of the raw verification, which uses every processor, is without its start.
func (b *bench) batch() {
	tokens := scaled(100_000)
	all, homes := make([]figures, len(b.binaries)), make([]string, len(b.binaries))
	raw := verifyTask{Count: tokens}
	for i, binary := range b.binaries {
		homes[i] = b.TempDir()
		server, _ := b.serve(binary, homes[i], "")
		_, body, err := fetch(b.ctx, http.MethodPost, server.url+"/auth")
		if err != nil {
			b.Fatal(err)
		}
		server.stop()
		token, input, err := tokenIn(body)
		if err != nil {
			b.Fatal(err)
		}
		raw.Input = input
		if err := os.WriteFile(filepath.Join(homes[i], "tokens"), bytes.Repeat([]byte(token+"\n"), tokens), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for range scaled(9) {
		var took time.Duration
		_, wait := b.help("", helperTask{Verify: &raw})
		wait(&took)
		for i, binary := range b.binaries {
			all[i].add(float64(tokens)/b.verifyBatch(binary, homes[i]).Seconds(), float64(tokens)/took.Seconds())
		}
	}
	b.row(fmt.Sprintf("`verify --batch` of %d RS256 tokens, start included, against raw verification on all processors", tokens), ">=", 0.85, "/s", all)
}

// verifyBatch returns the time from exec to exit.
func (b *bench) verifyBatch(binary, home string) time.Duration {
	in, err := os.Open(filepath.Join(home, "tokens"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = in.Close() }() // only read
	cmd := b.command("", home, binary, "verify", "--batch")
	cmd.Stdin = in
	start := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatalf("verify --batch: %v", err)
	}
	return time.Since(start)
}

// start measures the time from exec to the first JWK Set.
func (b *bench) start() {
	empty, existing := make([]figures, len(b.binaries)), make([]figures, len(b.binaries))
	for range scaled(21) {
		for i, binary := range b.binaries {
			home := b.TempDir()
			for _, all := range [][]figures{empty, existing} {
				server, took := b.serve(binary, home, "")
				server.stop()
				all[i].ours = append(all[i].ours, milliseconds(took))
			}
		}
	}
	b.row("start on an empty store: exec to the first JWK Set", "<", 300, " ms", empty)
	b.row("start on an existing store: exec to the first JWK Set", "<", 50, " ms", existing)
}

// memory measures the peak of the resident memory under load.
func (b *bench) memory() {
	all := make([]figures, len(b.binaries))
	for range scaled(3) {
		for i, binary := range b.binaries {
			server, _ := b.serve(binary, b.TempDir(), "")
			for _, to := range []target{{Method: http.MethodPost, URL: server.url + "/auth"}, {Method: http.MethodGet, URL: server.url + "/jwks"}} {
				to.Status = http.StatusOK
				b.load(load{Targets: []target{to}, Connections: 64, Rounds: 1, Slice: scaled(5 * time.Second)})
			}
			all[i].ours = append(all[i].ours, server.peakMiB(b.T))
			server.stop()
		}
	}
	b.row("peak resident memory under load from 64 connections, RS256", "<", 48, " MiB", all)
}

func (b *bench) size() {
	var all []figures
	for _, binary := range b.binaries {
		info, err := os.Stat(binary)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, figures{ours: []float64{float64(info.Size()) / (1 << 20)}})
	}
	b.row("binary", "<", 40, " MiB", all)
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }
