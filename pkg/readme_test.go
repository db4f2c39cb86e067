package pkg_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The Go code in the README of the repository compiles.
func TestReadmeCodeCompiles(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, found := strings.Cut(string(text), "\n```go\n")
	code, _, closed := strings.Cut(code, "\n```\n")
	if !found || !closed {
		t.Fatal("README.md has no Go code")
	}
	program := `package main

import (
	"context"
	"time"

	"github.com/jwksctl/jwksctl/pkg/remote"
	"github.com/jwksctl/jwksctl/pkg/token"
)

func main() {}

func verify(ctx context.Context, compact string) error {
` + code + `
	_ = verdict
	return err
}
`
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "vet", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
