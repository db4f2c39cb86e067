package simulation

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var mutants = flag.Bool("mutants", false, "weaken every guard in turn and see the proof catch it (make mutants)")

// mutation is one guard or one term of a formula, and the same weakened.
type mutation struct {
	name     string
	old, new string // old stands exactly once in the sources of the package
	seed     uint64 // a world that shows it, to be tried first; 0 where an early one does

	// test names a test to catch it where the simulation and the search cannot,
	// and why they cannot.
	test, why string
}

// TestMutations holds the table to the sources: each old text stands in them
// exactly once. With -mutants, each mutation is built into a copy of the
// package (-overlay; nothing is written to the tree), and must be caught by a
// broken invariant and not by anything else.
func TestMutations(t *testing.T) {
	files := packageFiles(t)
	for _, m := range mutations() {
		t.Run(m.name, func(t *testing.T) {
			file := m.find(t, files)
			if !*mutants {
				return
			}
			t.Parallel()
			started := time.Now()
			by := m.mustBeCaught(t, m.build(t, files, file))
			t.Logf("%s (%v)", by, time.Since(started).Round(10*time.Millisecond))
		})
	}
}

// packageFiles are the files of the package and of its tests.
func packageFiles(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range names {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		files[f] = string(data)
	}
	return files
}

// find is the one source that has the old text.
func (m mutation) find(t *testing.T, files map[string]string) string {
	t.Helper()
	n, in := 0, ""
	for file, text := range files {
		if c := strings.Count(text, m.old); c > 0 && !strings.HasSuffix(file, "_test.go") {
			n, in = n+c, file
		}
	}
	if n != 1 || m.old == m.new {
		t.Fatalf("the text to weaken stands %d times in the package, not once:\n%s", n, m.old)
	}
	if (m.test == "") != (m.why == "") {
		t.Fatal("a test in place of the simulation needs a reason")
	}
	return in
}

// needs tells whether a file of tests takes part: what is left out need not be
// compiled and linked anew for each mutation.
func (m mutation) needs(files map[string]string, file string) bool {
	switch {
	case m.test == "":
		return strings.HasPrefix(file, "sim_") || strings.HasPrefix(file, "search_")
	case strings.HasPrefix(files[file], "package keys_test"):
		for name, text := range files {
			if strings.Contains(text, "\nfunc "+m.test+"(") {
				return strings.HasPrefix(files[name], "package keys_test")
			}
		}
	}
	return true
}

// build makes a test binary of the package with the mutation in it.
func (m mutation) build(t *testing.T, files map[string]string, mutated string) (binary string) {
	t.Helper()
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	replace := map[string]string{
		filepath.Join(here, mutated): write(mutated, []byte(strings.Replace(files[mutated], m.old, m.new, 1))),
	}
	for file := range files {
		if strings.HasSuffix(file, "_test.go") && !m.needs(files, file) {
			replace[filepath.Join(here, file)] = "" // as if it were not there
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(dir, "mutant.test")
	out, err := alone(t, "go", "test", "-c", "-o", binary, "-overlay", write("overlay.json", overlay), "-vet=off", "-ldflags=-s -w", ".")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// alone runs a command on one processor: there is a mutant for each.
func alone(t *testing.T, name string, args ...string) (output []byte, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	return cmd.CombinedOutput()
}

// mustBeCaught runs what may catch the mutation, the quickest first, and returns
// what did.
func (m mutation) mustBeCaught(t *testing.T, binary string) string {
	t.Helper()
	caught := regexp.MustCompile(`.* breaks invariant .*`)
	runs := [][]string{
		{"TestSimulation", "-sim.shrink=false", "-sim.seeds=1", fmt.Sprintf("-sim.first=%d", max(1, m.seed))},
		{"TestSimulation", "-sim.shrink=false", "-sim.seeds=15000"},
		{"TestSearch"},
	}
	if m.test != "" {
		caught, runs = regexp.MustCompile("--- FAIL: "+m.test), [][]string{{m.test}}
	}
	for _, run := range runs {
		out, err := alone(t, binary, append(run[1:], "-test.run=^"+run[0]+"$", "-test.timeout=20m")...)
		if err == nil {
			continue
		}
		if _, ran := errors.AsType[*exec.ExitError](err); !ran {
			t.Fatal(err)
		}
		line := caught.Find(out)
		if line == nil {
			t.Fatalf("it fails, but not by a broken invariant:\n%s", out)
		}
		return strings.TrimSpace(string(line))
	}
	t.Fatal("not caught: either the guard is not needed, or the proof is too weak")
	return ""
}
