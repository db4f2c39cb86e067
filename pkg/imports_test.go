// Package pkg_test holds the packages below to the table in README.md.
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

// TestImports reads which package may import which from the table, so that the
// map cannot lie.
func TestImports(t *testing.T) {
	allowed := readTable(t)
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		file = filepath.ToSlash(file)
		may, ok := allowed[path.Dir(file)]
		if !ok {
			t.Errorf("%s: package %s is not in the table of README.md", file, path.Dir(file))
		}
		for _, imported := range importsOf(t, file) {
			name, ours := strings.CutPrefix(imported, module)
			if name = strings.TrimPrefix(name, "pkg/"); ours && !slices.Contains(may, name) {
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
			t.Errorf("README.md names %s, which is not there", name)
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

// readTable returns what each package may import: the names in backquotes of
// the table's last column, for each name in its first.
func readTable(t *testing.T) map[string][]string {
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
		may := ""
		if len(cells) == 3 {
			may = cells[2]
		}
		for _, name := range names(cells[0]) {
			allowed[name] = names(may)
		}
	}
	if len(allowed) < 10 {
		t.Fatalf("found %d packages in the table of README.md", len(allowed))
	}
	return allowed
}
