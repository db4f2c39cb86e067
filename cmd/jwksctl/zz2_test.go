package main

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

func BenchmarkYY(b *testing.B) {
	key, _ := jwk.Generate(jwk.RS256, 0)
	line := mint(b, key, "api") + "\n"
	compact := strings.TrimSpace(line)
	const n = 4096
	debug.SetGCPercent(400)
	v := testBatch(key, false, io.Discard).verifier
	var raw, direct, pipe, empty float64
	for range 30 {
		s := cpu()
		bareRSA(b, key.Public(), line, n)
		raw += cpu() - s
		s = cpu()
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				c := v.Checker()
				for range n / 2 {
					if _, err := c.Verify(context.Background(), compact); err != nil {
						panic(err)
					}
				}
			})
		}
		all.Wait()
		direct += cpu() - s
		s = cpu()
		_, _ = testBatch(key, false, io.Discard).run(b.Context(), &repeated{text: line, n: n})
		pipe += cpu() - s
		s = cpu()
		bb := testBatch(key, false, nil)
		bb.verifier.MaxSize = 1
		bb.out = nil
		_, _ = bb.run(b.Context(), &repeated{text: line, n: n})
		empty += cpu() - s
	}
	fmt.Printf("raw %.2f direct %.2f (%.3f) pipe %.2f (%.3f) empty pipe %.2f\n", raw/30/n, direct/30/n, raw/direct, pipe/30/n, raw/pipe, empty/30/n)
}
