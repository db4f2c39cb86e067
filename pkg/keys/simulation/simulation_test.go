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

// TestSimulation runs the worlds of many seeds. It is the proof of the rotation
// guarantee, which the checker spells out. A seed that fails is made short and told
// step by step; to see it again:
//
//	go test ./pkg/keys/simulation -run Simulation -sim.first SEED -sim.seeds 1
func TestSimulation(t *testing.T) {
	started := time.Now()
	seeds := *simSeeds
	if raceEnabled || testing.Short() {
		seeds = min(seeds, 300)
	}
	var next atomic.Uint64
	var failed atomic.Uint64
	var mu sync.Mutex
	seen := tally{}
	var wait sync.WaitGroup
	for range runtime.NumCPU() {
		wait.Go(func() {
			mine := tally{}
			for failed.Load() == 0 {
				n := next.Add(1) - 1
				if n >= uint64(seeds) {
					break
				}
				w, broken := run(newScenario(*simFirst+n), readyMade(), false)
				if broken != nil {
					failed.CompareAndSwap(0, *simFirst+n)
					break
				}
				mine.add(w.seen)
			}
			mu.Lock()
			defer mu.Unlock()
			seen.add(mine)
		})
	}
	wait.Wait()
	if seed := failed.Load(); seed != 0 {
		t.Fatal(explain(seed))
	}
	t.Logf("%d seeds in %v: %v", seeds, time.Since(started).Round(time.Millisecond), seen)
	if seeds >= 2000 {
		for _, what := range ingredients() {
			if seen[what] == 0 {
				t.Errorf("no world met any of: %s", what)
			}
		}
	}
}

// explain tells what a failing seed breaks, by the shortest scenario that breaks
// the same thing.
func explain(seed uint64) string {
	s := newScenario(seed)
	_, broken := run(s, readyMade(), false)
	if *simShrink {
		s = shrink(s, broken.rule)
	}
	w, broken := run(s, readyMade(), true)
	return fmt.Sprintf("seed %d breaks invariant %s: %s\nthe shortest trace found, %d actions:\n%s",
		seed, broken.rule, broken.text, len(s.actions), strings.Join(w.trace, "\n"))
}

// shrink drops actions, and then their faults, as long as the same rule breaks.
func shrink(s scenario, rule string) scenario {
	breaks := func(c scenario) bool {
		_, broken := run(c, readyMade(), false)
		return broken != nil && broken.rule == rule
	}
	for again := true; again; {
		again = false
		for size := len(s.actions) / 2; size > 0; size /= 2 {
			for at := len(s.actions) - size; at >= 0; at -= size {
				c := s
				c.actions = slices.Delete(slices.Clone(s.actions), at, at+size)
				if breaks(c) {
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
			if breaks(c) {
				s = c
				break
			}
		}
	}
	return s
}
