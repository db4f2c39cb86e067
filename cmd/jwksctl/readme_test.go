package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/config"
)

// TestReadme holds the tables of the README to the tables that the program
// itself goes by.
func TestReadme(t *testing.T) {
	data, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	var rows []string
	for _, k := range config.Keys() {
		value := "–"
		if k.Default != "" {
			value = "`" + k.Default + "`"
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |", k.Name, value, k.Usage))
	}
	for _, c := range exitCodes() {
		rows = append(rows, fmt.Sprintf("| %d | %s |", c.code, c.text))
	}
	for _, row := range rows {
		if !strings.Contains(text, "\n"+row+"\n") {
			t.Errorf("README.md lacks the row\n%s", row)
		}
	}
	for _, route := range []string{"/jwks", "/.well-known/jwks.json", "/auth", "/livez", "/readyz", "/metrics"} {
		if !strings.Contains(text, route) {
			t.Errorf("README.md does not name %s", route)
		}
	}
}
