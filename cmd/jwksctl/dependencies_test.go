package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestGolangJWTIsLinked shows that the packages that mint and verify for serve, token
// and verify build on golang-jwt. Tests of pkg/token show that each token and each
// signature passes through it.
func TestGolangJWTIsLinked(t *testing.T) {
	const library = "github.com/golang-jwt/jwt/v5"
	for _, pkg := range []string{"../../pkg/token", "../../pkg/server", "."} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", pkg).Output()
		if err != nil {
			t.Fatalf("go list -deps %s: %v", pkg, err)
		}
		if !slices.Contains(strings.Fields(string(out)), library) {
			t.Errorf("%s does not depend on %s", pkg, library)
		}
	}
}
