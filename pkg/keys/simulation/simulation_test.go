package simulation

import (
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	simSeeds  = flag.Int("sim.seeds", 500, "how many worlds the simulation runs, each from a seed of its own")
	simFirst  = flag.Uint64("sim.first", 1, "the seed of the first world")
	simShrink = flag.Bool("sim.shrink", true, "shorten a failing scenario before it is printed")
)

// TestSimulation runs one world for each seed. It fails at the first world that breaks
// an invariant, shortens that world's scenario and prints its trace. To see it again:
//
//	go test ./pkg/keys/simulation -run Simulation -sim.seeds 1 -sim.first SEED
func TestSimulation(t *testing.T) {
	started, seeds := time.Now(), *simSeeds
	if testing.Short() {
		seeds /= 10 // the race detector makes worlds slow, and finds nothing more in many of them
	}
	var next, failed atomic.Uint64
	var mu sync.Mutex
	total := counters{}
	var wait sync.WaitGroup
	for range runtime.NumCPU() {
		wait.Go(func() {
			mine := counters{}
			for failed.Load() == 0 {
				n := next.Add(1) - 1
				if n >= uint64(seeds) {
					break
				}
				w, broken := runScenario(newScenario(*simFirst+n), false)
				if broken != nil {
					failed.CompareAndSwap(0, *simFirst+n)
					break
				}
				mine.add(w.counters)
			}
			mu.Lock()
			defer mu.Unlock()
			total.add(mine)
		})
	}
	wait.Wait()
	if seed := failed.Load(); seed != 0 {
		t.Fatal(explain(seed))
	}
	t.Logf("%d worlds in %v: %v", seeds, time.Since(started).Round(time.Millisecond), total)
	if n := total["late landings"]; seeds >= 500 && (n < seeds/2 || total["corrections"] < n) {
		t.Errorf("%d late landings and %d corrections in %d worlds", n, total["corrections"], seeds)
	}
	if seeds >= 2000 {
		for _, event := range requiredEvents() {
			if total[event] == 0 {
				t.Errorf("this event occurred in no world: %s", event)
			}
		}
	}
}

// explain returns what the world of a failing seed breaks, with the trace of the
// shortened scenario.
func explain(seed uint64) string {
	s := newScenario(seed)
	_, broken := runScenario(s, false)
	if *simShrink {
		s = shrink(s, broken.invariant)
	}
	w, broken := runScenario(s, true)
	return fmt.Sprintf("seed %d breaks invariant %s: %s\ntrace of the shortened scenario, %d actions:\n%s",
		seed, broken.invariant, broken.text, len(s.actions), strings.Join(w.trace, "\n"))
}

// shrink drops actions, and then their faults, as long as the scenario breaks the same
// invariant.
func shrink(s scenario, broken invariant) scenario {
	stillBreaks := func(c scenario) bool {
		_, v := runScenario(c, false)
		return v != nil && v.invariant == broken
	}
	for again := true; again; {
		again = false
		for size := len(s.actions) / 2; size > 0; size /= 2 {
			for at := len(s.actions) - size; at >= 0; at -= size {
				c := s
				c.actions = slices.Delete(slices.Clone(s.actions), at, at+size)
				if stillBreaks(c) {
					s, again = c, true
				}
			}
		}
	}
	for i := range s.actions {
		for _, simpler := range []faults{{}, {swap: s.actions[i].swap}} {
			c := s
			c.actions = slices.Clone(s.actions)
			c.actions[i].faults = simpler
			if stillBreaks(c) {
				s = c
				break
			}
		}
	}
	return s
}
