// Package pkg_test checks the imports of the packages below against README.md.
package pkg_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/jwksctl/jwksctl/"

func TestImports(t *testing.T) {
	allowed := allowedImports(t)
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		file = filepath.ToSlash(file)
		imports, ok := allowed[path.Dir(file)]
		if !ok {
			t.Errorf("%s: package %s is not in the table of README.md", file, path.Dir(file))
		}
		for _, imported := range importsOf(t, file) {
			name, ours := strings.CutPrefix(imported, module)
			if name = strings.TrimPrefix(name, "pkg/"); ours && !slices.Contains(imports, name) {
				t.Errorf("%s imports %s, which the table of README.md does not allow", file, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range allowed {
		if _, err := os.Stat(filepath.FromSlash(name)); err != nil {
			t.Errorf("the table of README.md names package %s, which does not exist", name)
		}
	}
}

func importsOf(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.FromSlash(file), nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, imported)
	}
	return out
}

// allowedImports returns the packages that each package may import: those in the
// third column of the table, for each package in the first.
func allowedImports(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile("`([a-z/]+)`")
	names := func(cell string) (out []string) {
		for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
			out = append(out, m[1])
		}
		return out
	}
	allowed := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(line, " |\n"), "|")
		if len(cells) < 2 || !strings.Contains(cells[0], "`") {
			continue
		}
		for _, name := range names(cells[0]) {
			allowed[name] = names(strings.Join(cells[2:], "")) // the third column may be empty
		}
	}
	if len(allowed) < 10 {
		t.Fatalf("the table of README.md has %d packages only", len(allowed))
	}
	return allowed
}
