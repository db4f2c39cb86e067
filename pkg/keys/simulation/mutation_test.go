package simulation

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var mutants = flag.String("mutants", "", "weaken the guards of part K/N of the table in turn and check that the proof notices it (make mutants)")

// mutation is one guard or one term of a formula of pkg/keys, and how it is weakened.
type mutation struct {
	name  string
	edits []edit
	seed  uint64 // a world that shows it, to be tried first; 0 if an early one does

	// test names a unit test of pkg/keys that must notice it if the simulation and the
	// search cannot, and why they cannot.
	test, why string
}

// edit replaces one node of one function.
type edit struct {
	place string // a function or method, and optionally a pattern in it: "draft.retire: _.DestroyAt = _"
	find  string // a pattern; it must match exactly one node in the place
	change
}

// change makes the new source text of a node. Its argument text returns the present
// source text of the node or of a part of it.
type change func(n ast.Node, text func(ast.Node) string) string

func mutate(name, place, find string, c change) mutation {
	return mutation{name: name, edits: []edit{{place, find, c}}}
}

// and adds an edit that stands further up.
func (m mutation) and(place, find string, c change) mutation {
	m.edits = append(m.edits, edit{place, find, c})
	return m
}

func (m mutation) seeded(seed uint64) mutation { m.seed = seed; return m }

func (m mutation) caughtBy(test, why string) mutation { m.test, m.why = test, why; return m }

// The changes. never, always and zero keep the old text, so that all variables stay in use.

func never(n ast.Node, text func(ast.Node) string) string { return "(false && (" + text(n) + "))" }

func always(n ast.Node, text func(ast.Node) string) string { return "(true || (" + text(n) + "))" }

// zero takes a term out of a sum.
func zero(n ast.Node, text func(ast.Node) string) string { return "0*(" + text(n) + ")" }

// once takes the factor out of a term such as 2*x.
func once(n ast.Node, text func(ast.Node) string) string { return text(n.(*ast.BinaryExpr).Y) }

// first and second put an argument of a call in place of the call.
func first(n ast.Node, text func(ast.Node) string) string { return text(n.(*ast.CallExpr).Args[0]) }

func second(n ast.Node, text func(ast.Node) string) string { return text(n.(*ast.CallExpr).Args[1]) }

func removed(ast.Node, func(ast.Node) string) string { return "" }

// with puts other source text in place of a node.
func with(replacement string) change {
	return func(ast.Node, func(ast.Node) string) string { return replacement }
}

// TestMutations checks that every edit of the table matches one node of the sources.
// With -mutants=K/N, every Nth mutation from the Kth on is built into a copy of pkg/keys
// (-overlay; nothing is written to the tree), and a broken invariant must show it, and
// nothing else.
func TestMutations(t *testing.T) {
	sources := parseSources(t)
	part, parts := 0, 0
	if *mutants != "" {
		if n, err := fmt.Sscanf(*mutants, "%d/%d", &part, &parts); err != nil || n != 2 || part < 1 || part > parts {
			t.Fatalf("-mutants=%s: want K/N, such as 1/3", *mutants)
		}
		defer t.Logf("part %s of %d mutations", *mutants, len(mutations()))
	}
	for i, m := range mutations() {
		t.Run(m.name, func(t *testing.T) {
			if (m.test == "") != (m.why == "") {
				t.Fatal("a test in place of the simulation needs a reason")
			}
			changed := m.apply(t, sources)
			if parts == 0 || i%parts != part-1 {
				return
			}
			t.Parallel()
			started := time.Now()
			by := m.mustBeCaught(t, m.build(t, changed))
			t.Logf("%s (%v)", by, time.Since(started).Round(10*time.Millisecond))
		})
	}
}

// sources are the product files of pkg/keys.
type sources struct {
	files     *token.FileSet
	text      map[string]string // by path
	functions map[string]*ast.FuncDecl
}

func parseSources(t *testing.T) sources {
	t.Helper()
	s := sources{token.NewFileSet(), map[string]string{}, map[string]*ast.FuncDecl{}}
	paths, err := filepath.Glob(filepath.Join("..", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(s.files, path, data, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		s.text[path] = string(data)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				s.functions[functionName(f)] = f
			}
		}
	}
	return s
}

// functionName is the name of a function, or of a method behind that of its type.
func functionName(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	receiver := f.Recv.List[0].Type
	if pointer, ok := receiver.(*ast.StarExpr); ok {
		receiver = pointer.X
	}
	return receiver.(*ast.Ident).Name + "." + f.Name.Name
}

// apply returns the files that the mutation changes.
func (m mutation) apply(t *testing.T, s sources) map[string]string {
	t.Helper()
	changed := map[string]string{}
	for _, e := range m.edits {
		node := e.findOne(t, s)
		start, end := s.files.Position(node.Pos()), s.files.Position(node.End())
		path := start.Filename
		source := s.text[path]
		if _, ok := changed[path]; !ok {
			changed[path] = source
		}
		text := func(n ast.Node) string {
			return source[s.files.Position(n.Pos()).Offset:s.files.Position(n.End()).Offset]
		}
		replacement := e.change(node, text)
		if replacement == text(node) {
			t.Fatalf("%s does not change %s", e.find, e.place)
		}
		// The edits of one file come last place first, so that the offsets hold.
		changed[path] = changed[path][:start.Offset] + replacement + changed[path][end.Offset:]
	}
	return changed
}

// findOne returns the node that the edit replaces.
func (e edit) findOne(t *testing.T, s sources) ast.Node {
	t.Helper()
	name, scope, scoped := strings.Cut(e.place, ": ")
	var place ast.Node = s.functions[name]
	if s.functions[name] == nil {
		t.Fatalf("there is no function %s", name)
	}
	find := func(text string) {
		p, err := parsePattern(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		found := p.findAll(place)
		if len(found) != 1 {
			t.Fatalf("%s matches %d nodes of %s, not one", text, len(found), e.place)
		}
		place = found[0]
	}
	if scoped {
		find(scope)
	}
	find(e.find)
	return place
}

// build makes the test binary that must notice the mutation.
func (m mutation) build(t *testing.T, changed map[string]string) (binary string) {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	for path, text := range changed {
		replace[absolute(t, path)] = writeFile(t, dir, filepath.Base(path), []byte(text))
	}
	pkg := "."
	if m.test != "" {
		pkg = ".."
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(dir, "mutant.test")
	out, err := execute(t, "go", "test", "-c", "-p", "1", "-o", binary, "-overlay", writeFile(t, dir, "overlay.json", overlay), "-vet=off", "-ldflags=-s -w", pkg)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func writeFile(t *testing.T, dir, name string, data []byte) (path string) {
	t.Helper()
	path = filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func execute(t *testing.T, name string, args ...string) (output []byte, err error) {
	t.Helper()
	return exec.CommandContext(t.Context(), name, args...).CombinedOutput()
}

// mustBeCaught runs what may notice the mutation, the quickest first, and returns
// what did.
func (m mutation) mustBeCaught(t *testing.T, binary string) string {
	t.Helper()
	caught := regexp.MustCompile(`.* breaks invariant .*`)
	runs := [][]string{
		{"TestSimulation", "-sim.shrink=false", "-sim.seeds=1", fmt.Sprintf("-sim.first=%d", max(1, m.seed))},
		{"TestSimulation", "-sim.shrink=false", "-sim.seeds=15000"},
		{"TestSearch", "-search.whole"},
	}
	if m.test != "" {
		caught, runs = regexp.MustCompile("--- FAIL: "+m.test), [][]string{{m.test}}
	}
	for _, run := range runs {
		out, err := execute(t, binary, append(run[1:], "-test.run=^"+run[0]+"$", "-test.cpu=1", "-test.timeout=20m")...)
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
