package client

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// Finding is something in a list that a server accepts but that deserves a look.
type Finding struct {
	ClientID string `json:"id"`
	Message  string `json:"warning"` // one line in lower case
}

// Lint returns what is worth knowing about a list, in its order; an empty slice if there is
// nothing.
func Lint(clients []Client) []Finding {
	findings := []Finding{}
	for _, c := range clients {
		report := func(format string, args ...any) {
			findings = append(findings, Finding{c.ID, fmt.Sprintf(format, args...)})
		}
		if len(c.SecretSHA256) > 1 {
			report("two secrets are valid: remove the old hash when the new secret is in use")
		}
		if c.hasKeys() && strings.Contains(c.ID, "://") {
			report("its id is a URL: if that is an issuer with the same keys, a token that it gives to others could be an assertion of this client")
		}
		lintKeys(c.JWKS, c.JWKSURI, report)
		for i, t := range c.Trust {
			lintTrust(t, func(format string, args ...any) {
				report("trust %d: %s", i+1, fmt.Sprintf(format, args...))
			})
		}
	}
	return findings
}

func lintTrust(t Trust, report func(string, ...any)) {
	if prefix, wildcard := strings.CutSuffix(t.Subject, "*"); wildcard {
		report("every subject that begins with %s is this client", prefix)
	}
	if t.Audience == t.Issuer {
		report("the audience is the issuer itself, as in tokens that are meant for the platform: have it make one for this server")
	}
	lintKeys(t.JWKS, t.JWKSURI, report)
	if t.JWKS == nil && t.JWKSURI == "" {
		lintKeys(nil, t.Issuer, report)
	}
}

func lintKeys(set *jwk.Set, address string, report func(string, ...any)) {
	if strings.HasPrefix(address, "http://") {
		report("its keys come by plain http, which is safe on this machine only")
	}
	if set == nil {
		return
	}
	data, err := json.Marshal(set)
	if err != nil {
		report("its keys cannot be written: %v", err)
		return
	}
	for _, finding := range jwk.Lint(data) {
		if finding.Severity == jwk.SeverityWarning {
			report("key %d: %s", finding.Index, finding.Message)
		}
	}
}
