//go:build bench && linux

package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

const (
	benchTurns  = 151                   // of each comparison
	benchRounds = 5                     // in a turn; what is compared goes one after the other in each
	benchSlice  = 20 * time.Millisecond // of a round, for either
	benchFlood  = 100                   // tokens that a flood takes out while it is measured, at the least
	benchProbes = 7                     // of the latencies, idle and flooded in turns
	benchStarts = 15
)

// TestBench measures the real server on loopback and prints one table. What a
// goal compares takes turns in the same run, in rounds so short that most of what
// else the machine does meets both, and the goal is held against the median of the
// turns. Beside what the clock says stands the processor time for each piece of
// work: the clock of a machine that does other things too also says which side was
// given a processor. Where a goal counts or times answers to GET /jwks, the load
// generator has the other half of the processors.
func TestBench(t *testing.T) {
	b := &bench{T: t, bin: buildBinary(t)}
	b.servers, b.loads = sides(t)
	b.line("%s, %s/%s, %d processors; median (lowest to highest) of what took turns\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	b.line("| what | measured | goal | |\n|---|---|---|---|")
	b.part("start", (*bench).start)
	b.part("idle", (*bench).idle)
	b.part("jwks", (*bench).jwks)
	b.part("memory", (*bench).memory)
	for _, alg := range []jwk.Algorithm{jwk.RS256, jwk.ES256, jwk.EdDSA} {
		b.part("auth/"+alg.String(), func(b *bench) { b.auth(alg) })
		b.part("flood/"+alg.String(), func(b *bench) { b.flood(alg) })
	}
	b.part("cost", (*bench).costs)
}

type bench struct {
	*testing.T
	bin            string
	servers, loads place
}

// part is a part of the table, which can be asked for by its name.
func (b *bench) part(name string, measure func(*bench)) {
	b.Run(name, func(t *testing.T) { measure(&bench{t, b.bin, b.servers, b.loads}) })
}

// line prints without the indentation of test logs, for whoever pastes it.
func (b *bench) line(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stdout, format+"\n", args...)
}

// serve starts a server of its own anywhere.
func (b *bench) serve(flags ...string) *measured {
	return startServer(b.T, nil, b.bin, b.TempDir(), flags...)
}

// row prints a line of the table; good says whether the goal was met.
func (b *bench) row(what, measured, goal string, good bool) {
	verdict := "met"
	switch {
	case goal == "":
		verdict = ""
	case !good:
		verdict = "**missed**"
	}
	b.line("| %s | %s | %s | %s |", what, measured, goal, verdict)
}

// spread is the median of the values, and how they are shown.
func spread[T cmp.Ordered](values []T, show func(T) string) (median T, text string) {
	sorted := slices.Sorted(slices.Values(values))
	median = sorted[len(sorted)/2]
	return median, fmt.Sprintf("%s (%s to %s)", show(median), show(sorted[0]), show(sorted[len(sorted)-1]))
}

func ratio(v float64) string { return fmt.Sprintf("%.2f", v) }

func whole(v float64) string { return fmt.Sprintf("%.0f", v) }

func short(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case d >= 10*time.Microsecond:
		return d.Round(time.Microsecond).String()
	default:
		return d.Round(10 * time.Nanosecond).String()
	}
}

// start takes the time from exec to the first JWK Set.
func (b *bench) start() {
	info, err := os.Stat(b.bin)
	if err != nil {
		b.Fatal(err)
	}
	mib := float64(info.Size()) / (1 << 20)
	b.row("binary", fmt.Sprintf("%.1f MiB", mib), "< 25 MiB", mib < 25)
	var first, again []time.Duration
	for range benchStarts {
		home := b.TempDir()
		for _, times := range []*[]time.Duration{&first, &again} {
			m := startServer(b.T, nil, b.bin, home)
			*times = append(*times, m.up)
			m.stop()
		}
	}
	median, text := spread(first, short)
	b.row("start on an empty store, RSA-2048: exec to the first JWK Set", text, "500 ms", median <= 500*time.Millisecond)
	median, text = spread(again, short)
	b.row("start on an existing store", text, "100 ms", median <= 100*time.Millisecond)
}

func (b *bench) idle() {
	m := b.serve()
	const watched = 10 * time.Second
	<-time.After(time.Second) // until the specimen is made
	before := m.busy(b.T)
	<-time.After(watched)
	used := m.busy(b.T) - before
	b.row("processor time while nobody asks", fmt.Sprintf("%.2f ms/s", float64(used.Microseconds())/1000/watched.Seconds()), "", true)
	b.row("resident memory while nobody asks", fmt.Sprintf("%.1f MiB", m.memory(b.T, "VmRSS")), "", true)
}

func (b *bench) load(l load) []answers {
	all, err := l.elsewhere(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return all
}

// jwks compares GET /jwks with the bare handler: requests a second, and the
// server's processor time for each.
func (b *bench) jwks() {
	ours := startServer(b.T, b.servers, b.bin, b.TempDir())
	plain := startBare(b.T, b.servers, ours, "/jwks")
	etag, err := etagOf(b.Context(), ours.url+"/jwks")
	if err != nil {
		b.Fatal(err)
	}
	for status, tag := range map[int]string{http.StatusOK: "", http.StatusNotModified: etag} {
		var rates, ratios, busy []float64
		for turn := range benchTurns {
			both := []*measured{plain, ours}
			first := turn % 2 // changes
			before := []time.Duration{plain.busy(b.T), ours.busy(b.T)}
			all := b.load(load{
				URLs: []string{both[first].url + "/jwks", both[1-first].url + "/jwks"}, Method: http.MethodGet, IfNoneMatch: tag,
				Connections: 16, Rounds: benchRounds, For: benchSlice, on: b.loads,
			})
			var rate, each [2]float64
			for i, m := range both {
				a := all[(first+i)%2]
				rate[i] = a.persecond(status)
				each[i] = float64(m.busy(b.T)-before[i]) / float64(a.Status[status])
			}
			rates, ratios, busy = append(rates, rate[1]), append(ratios, rate[1]/rate[0]), append(busy, each[0]/each[1])
		}
		name := fmt.Sprintf("`GET /jwks` %d", status)
		median, text := spread(ratios, ratio)
		b.row(name+": requests a second against the bare handler's", text, ">= 0.95", median >= 0.95)
		_, text = spread(busy, ratio)
		b.row(name+": the bare handler's processor time for a request, against ours", text, "", true)
		_, text = spread(rates, whole)
		b.row(name+", requests a second", text, "", true)
	}
}

// memory floods a server and takes the most that it ever held.
func (b *bench) memory() {
	m := b.serve()
	for _, l := range []load{
		{URLs: []string{m.url + "/auth"}, Method: http.MethodPost},
		{URLs: []string{m.url + "/jwks"}, Method: http.MethodGet},
	} {
		l.Connections, l.For = 64, 5*time.Second
		b.load(l)
	}
	peak := m.memory(b.T, "VmHWM")
	b.row("resident memory, the most ever: RS256, 64 connections", fmt.Sprintf("%.1f MiB, of which %.1f the binary", peak, m.memory(b.T, "RssFile")), "< 30 MiB", peak < 30)
}

// auth compares POST /auth with the raw signature.
func (b *bench) auth(alg jwk.Algorithm) {
	handler, raw := authHandler(b.T, alg), rawSignature(b.T, alg)
	m := b.serve("--algorithm", alg.String())
	var rates, busy, clock []float64
	var signatures, tokens []time.Duration
	for turn := range benchTurns {
		var both [2]work
		for round := range 2 * benchRounds {
			i := (round + turn) % 2 // who is first changes
			both[i].add(benchSlice, []func() func(){raw, handler}[i])
		}
		signed, handled := both[0], both[1]
		signatures, tokens = append(signatures, signed.each()), append(tokens, handled.each())
		busy = append(busy, float64(signed.each())/float64(handled.each()))
		clock = append(clock, handled.persecond()/signed.persecond())
	}
	for range benchTurns / 5 { // by itself, so that its end disturbs neither of those
		all := b.load(load{URLs: []string{m.url + "/auth"}, Method: http.MethodPost, Connections: 16, For: benchRounds * benchSlice})
		rates = append(rates, all[0].persecond(http.StatusOK))
	}
	name := "`POST /auth` " + alg.String()
	median, text := spread(clock, ratio)
	b.row(name+": tokens a second of the handler against raw signatures", text, ">= 0.9", median >= 0.9)
	_, text = spread(busy, ratio)
	signature, _ := spread(signatures, short)
	token, _ := spread(tokens, short)
	b.row(fmt.Sprintf("%s: processor time of the raw signature (%s) against the handler's (%s)", name, short(signature), short(token)), text, "", true)
	_, text = spread(rates, whole)
	b.row(name+", tokens a second over HTTP, beside the load generator", text, "", true)
}

// flood takes the time of GET /jwks while nobody else asks and while many ask
// for tokens; and that of the bare handler beside the same flood, which is what
// the machine itself does to whoever must wait for a processor. Last comes a flood
// whose generator takes its part of the server's processors.
func (b *bench) flood(alg jwk.Algorithm) {
	m := startServer(b.T, b.servers, b.bin, b.TempDir(), "--algorithm", alg.String())
	plain := startBare(b.T, b.servers, m, "/jwks")
	var idle50, idle99, busy50, busy99, bare99, shared99 []time.Duration
	var slower []float64
	for range benchProbes {
		a := b.probe(m, b.loads)
		idle50, idle99 = append(idle50, a.P50), append(idle99, a.P99)
		b.flooded(m, b.loads, func() {
			f := b.probe(m, b.loads)
			busy50, busy99 = append(busy50, f.P50), append(busy99, f.P99)
			slower = append(slower, float64(f.P99)/float64(a.P99))
			bare99 = append(bare99, b.probe(plain, b.loads).P99)
		})
	}
	anywhere := b.serve("--algorithm", alg.String())
	for range benchProbes {
		b.flooded(anywhere, nil, func() { shared99 = append(shared99, b.probe(anywhere, nil).P99) })
	}
	p50, _ := spread(idle50, short)
	_, text := spread(idle99, short)
	b.row("`GET /jwks` while nobody else asks, p99", text+", p50 "+short(p50), "", true)
	p50, _ = spread(busy50, short)
	_, text = spread(busy99, short)
	b.row("the same while 64 connections flood /auth with "+alg.String(), text+", p50 "+short(p50), "", true)
	median, text := spread(slower, ratio)
	b.row("p99 flooded against idle, "+alg.String(), text, "<= 3", median <= 3)
	_, text = spread(bare99, short)
	b.row("p99 of the bare handler in a process beside that flood", text, "", true)
	_, text = spread(shared99, short)
	b.row("p99 flooded, where server and load share all processors", text, "", true)
}

// probe asks for the JWK Set a thousand times a second at most.
func (b *bench) probe(m *measured, from place) answers {
	return b.load(load{URLs: []string{m.url + "/jwks"}, Method: http.MethodGet, Connections: 1, For: 2 * time.Second, Pause: time.Millisecond, on: from})[0]
}

// flooded measures while 64 connections ask for tokens.
func (b *bench) flooded(m *measured, from place, measure func()) {
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := load{URLs: []string{m.url + "/auth"}, Method: http.MethodPost, Connections: 64, For: time.Minute, on: from}.elsewhere(ctx)
		if ctx.Err() == nil { // or it was cut off, as it should be
			b.Errorf("the flood ended by itself: %v", err)
		}
	})
	defer wg.Wait()
	defer cancel()
	<-time.After(500 * time.Millisecond)
	before := b.tokens(m)
	measure()
	if given := b.tokens(m) - before; given < benchFlood {
		b.Fatalf("%v tokens were given out meanwhile: that is no flood", given)
	}
}

// tokens is how many a server has given out.
func (b *bench) tokens(m *measured) (sum float64) {
	request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, m.url+"/metrics", nil)
	if err != nil {
		b.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if !strings.HasPrefix(name, "jwksctl_tokens_total{") {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			b.Fatal(err)
		}
		sum += n
	}
	if err := lines.Err(); err != nil {
		b.Fatal(err)
	}
	return sum
}

func (b *bench) costs() {
	b.row("one decision of the schedule", short(cost(decision(b.T))), "", true)
	b.row("the ring's part in a token", short(cost(signingKey(b.T))), "", true)
	for _, n := range []int{1, 4, 16} {
		b.row(fmt.Sprintf("the bytes of a JWK Set of %d RSA keys", n), short(cost(jwksBytes(b.T, n))), "", true)
	}
}
