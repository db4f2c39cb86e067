package spelling_test

import (
	"strings"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/spelling"
)

func TestNearest(t *testing.T) {
	known := []string{"audiences", "scopes", "max_ttl", "id"}
	for name, want := range map[string]string{
		"audience":               "audiences",
		"Scopes":                 "scopes",
		"max-ttl":                "max_ttl",
		"maxttl":                 "max_ttl",
		"scpoes":                 "scopes",
		"ids":                    "id",
		"zebra_crossing":         "",
		"":                       "",
		strings.Repeat("x", 300): "",
	} {
		if got := spelling.Nearest(name, known); got != want {
			t.Errorf("%.20q is like %q, want %q", name, got, want)
		}
	}
	if got := spelling.Nearest("x", nil); got != "" {
		t.Errorf("nothing is known, but %q is near", got)
	}
}
