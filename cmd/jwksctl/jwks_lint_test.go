package main

import (
	"testing"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// TestLintError shows that a finding of severity info alone does not fail.
func TestLintError(t *testing.T) {
	for severity, want := range map[jwk.Severity]int{
		jwk.SeverityInfo: exitDone, jwk.SeverityWarning: exitFailed, jwk.SeverityError: exitFailed,
	} {
		if got := codeOf(lintError([]jwk.Finding{{Severity: severity}})); got != want {
			t.Errorf("%s gives %d, want %d", severity, got, want)
		}
	}
}
