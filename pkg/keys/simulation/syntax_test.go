package simulation

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"testing"
)

// A pattern is Go syntax in which the identifier _ stands for any expression, and a
// block that consists of it for any block. A pattern is an expression, a statement, or
// a case with its one expression ("case _ > 1:").
//
// Comments, white space and the rest of the file do not matter, so a mutation that
// names its place by a function and a pattern survives changes elsewhere.
type pattern struct {
	node     ast.Node
	caseOnly bool // node is the expression of a case
}

func parsePattern(text string) (pattern, error) {
	if expr, ok := strings.CutPrefix(text, "case "); ok {
		node, err := parser.ParseExpr(strings.TrimSuffix(expr, ":"))
		return pattern{node, true}, err
	}
	if node, err := parser.ParseExpr(text); err == nil {
		return pattern{node: node}, nil
	}
	file, err := parser.ParseFile(token.NewFileSet(), "", "package p; func _() {\n"+text+"\n}", parser.SkipObjectResolution)
	if err != nil {
		return pattern{}, err
	}
	statements := file.Decls[0].(*ast.FuncDecl).Body.List
	if len(statements) != 1 {
		return pattern{}, fmt.Errorf("%q is not one statement", text)
	}
	return pattern{node: statements[0]}, nil
}

// findAll returns the nodes below root that the pattern matches.
func (p pattern) findAll(root ast.Node) []ast.Node {
	var found []ast.Node
	ast.Inspect(root, func(n ast.Node) bool {
		if clause, ok := n.(*ast.CaseClause); ok && p.caseOnly && len(clause.List) == 1 && matchesSyntax(p.node, clause.List[0]) {
			found = append(found, clause.List[0])
		}
		if n != nil && !p.caseOnly && matchesSyntax(p.node, n) {
			found = append(found, n)
		}
		return true
	})
	return found
}

func matchesSyntax(pattern, node any) bool {
	return matchesValue(reflect.ValueOf(pattern), reflect.ValueOf(node))
}

// matchesValue compares two parts of syntax trees, without their positions.
func matchesValue(pattern, node reflect.Value) bool {
	if isAny(pattern) {
		return true
	}
	if pattern.Kind() == reflect.Interface || pattern.Kind() == reflect.Pointer {
		if pattern.IsNil() || node.IsNil() {
			return pattern.IsNil() == node.IsNil()
		}
		return pattern.Elem().Type() == node.Elem().Type() && matchesValue(pattern.Elem(), node.Elem())
	}
	if pattern.Type() != node.Type() {
		return false
	}
	switch pattern.Kind() {
	case reflect.Slice:
		if pattern.Len() != node.Len() {
			return false
		}
		for i := range pattern.Len() {
			if !matchesValue(pattern.Index(i), node.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Struct:
		for i := range pattern.NumField() {
			field := pattern.Type().Field(i)
			if field.Type == reflect.TypeFor[token.Pos]() || field.Type == reflect.TypeFor[*ast.CommentGroup]() || field.Name == "Obj" {
				continue
			}
			if !matchesValue(pattern.Field(i), node.Field(i)) {
				return false
			}
		}
		return true
	default:
		return pattern.Equal(node)
	}
}

// isAny reports whether a part of a pattern matches everything.
func isAny(pattern reflect.Value) bool {
	if !pattern.CanInterface() {
		return false
	}
	switch n := pattern.Interface().(type) {
	case *ast.Ident:
		return n != nil && n.Name == "_"
	case *ast.BlockStmt:
		if n == nil || len(n.List) != 1 {
			return false
		}
		only, ok := n.List[0].(*ast.ExprStmt)
		return ok && isAny(reflect.ValueOf(only.X))
	}
	return false
}

func TestPatterns(t *testing.T) {
	const source = `package p

func (d *draft) f(a, b int) (err error) {
	x.At = latest(now.Add(p.D+2*p.M), d.Until) // a comment
	if err := v.fence(at); err != nil {
		return err
	}
	switch {
	case a > b:
	case a < b && b > 1:
	}
	return nil
}`
	file, err := parser.ParseFile(token.NewFileSet(), "", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int{
		"p.D":                                  1,
		"_.D":                                  1,
		"2 * _.M":                              1,
		"2*_":                                  1,
		"3*_.M":                                0,
		"latest(_, _)":                         1,
		"latest(_)":                            0,
		"_.At = _":                             1,
		"_.At = latest(_, d.Until)":            1,
		"_.At := _":                            0,
		"if _ := _.fence(_); _ != nil { _ }":   1,
		"if _ := _.fence(_); _ == nil { _ }":   0,
		"_ > _":                                2,
		"case _ > _:":                          1,
		"case _ && _ > 1:":                     1,
		"return nil":                           1,
		"_ != nil":                             1,
		"x.At = latest(now.Add(_), d.Until)":   1,
		"x.At = latest(now.Add(_), e.Until)":   0,
		"if _ := _.fence(_); _ { return err }": 1,
	} {
		p, err := parsePattern(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := len(p.findAll(file)); got != want {
			t.Errorf("%s matches %d times, want %d", text, got, want)
		}
	}
	if _, err := parsePattern("a; b"); err == nil {
		t.Error("two statements are a pattern")
	}
}
