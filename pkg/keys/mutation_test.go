package keys_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

var mutants = flag.Bool("mutants", false, "weaken every guard in turn and see the proof catch it (make mutants)")

// mutation is one guard or one term of a formula, and the same weakened.
type mutation struct {
	name     string
	old, new string // old stands exactly once in the sources of the package

	// test names a test to catch it where the simulation and the search cannot,
	// and why they cannot.
	test, why string
}

// TestMutations holds the table to the sources: each old text stands in them
// exactly once. With -mutants, each mutation is built into a copy of the
// package (go test -overlay; nothing is written to the tree), and must be
// caught by a broken invariant and not by anything else.
func TestMutations(t *testing.T) {
	sources := packageSources(t)
	for _, m := range mutations() {
		t.Run(m.name, func(t *testing.T) {
			file := m.find(t, sources)
			if !*mutants {
				return
			}
			t.Parallel()
			mutated := strings.Replace(sources[file], m.old, m.new, 1)
			m.mustBeCaught(t, file, mutated)
		})
	}
}

func packageSources(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]string{}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		sources[f] = string(data)
	}
	return sources
}

// find is the one file that has the old text.
func (m mutation) find(t *testing.T, sources map[string]string) string {
	t.Helper()
	n, in := 0, ""
	for file, text := range sources {
		if c := strings.Count(text, m.old); c > 0 {
			n, in = n+c, file
		}
	}
	if n != 1 || m.old == m.new {
		t.Fatalf("the text to weaken stands %d times in the package, not once:\n%s", n, m.old)
	}
	return in
}

func (m mutation) mustBeCaught(t *testing.T, file, mutated string) {
	t.Helper()
	dir := t.TempDir()
	copied := filepath.Join(dir, file)
	if err := os.WriteFile(copied, []byte(mutated), 0o600); err != nil {
		t.Fatal(err)
	}
	original, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: copied}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []string{"TestSimulation", "TestSearch"}
	caught := regexp.MustCompile(`breaks invariant .*: .*`)
	if m.test != "" {
		tests, caught = []string{m.test}, regexp.MustCompile("--- FAIL: "+m.test)
	}
	for _, test := range tests {
		cmd := exec.CommandContext(t.Context(), "go", "test", "-overlay", filepath.Join(dir, "overlay.json"),
			"-vet=off", "-count=1", "-run", "^"+test+"$", ".", "-sim.seeds=15000", "-sim.shrink=false")
		cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", max(1, runtime.GOMAXPROCS(0)/2)))
		out, err := cmd.CombinedOutput()
		if err == nil {
			continue
		}
		if line := caught.Find(out); line != nil {
			t.Logf("%s", line)
		} else {
			t.Errorf("it fails, but not by a broken invariant:\n%s", out)
		}
		return
	}
	t.Errorf("not caught: either the guard is not needed, or the proof is too weak")
}
