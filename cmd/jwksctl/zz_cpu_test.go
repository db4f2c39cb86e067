package main

import (
	"fmt"
	"io"
	"slices"
	"syscall"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

func cpu() float64 {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e3
}

func BenchmarkZZ(b *testing.B) {
	key, _ := jwk.Generate(jwk.RS256, 0)
	line := mint(b, key, "api") + "\n"
	const n = 4096
	var ratios [2][]float64
	var raws, ourss [2]float64
	for range 30 {
		for f := range 2 {
			s := cpu()
			bareRSA(b, key.Public(), line, n)
			raw := cpu() - s
			s = cpu()
			_, err := testBatch(key, f == 1, io.Discard).run(b.Context(), &repeated{text: line, n: n})
			if err != nil {
				b.Fatal(err)
			}
			ours := cpu() - s
			ratios[f] = append(ratios[f], raw/ours)
			raws[f] += raw
			ourss[f] += ours
		}
	}
	for f := range 2 {
		slices.Sort(ratios[f])
		fmt.Printf("format %d: median %.3f sum %.3f  raw %.2fus ours %.2fus\n", f, ratios[f][15], raws[f]/ourss[f], raws[f]/30/n, ourss[f]/30/n)
	}
}
