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
	entries := map[string][]trustOf{}
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
			for _, other := range entries[t.Issuer] {
				if other.client != c.ID && overlap(t, other.trust) {
					report("trust %d: a token that fits it may also fit trust %d of %s, and is then refused: have both clients send client_id",
						i+1, other.number, other.client)
				}
			}
			entries[t.Issuer] = append(entries[t.Issuer], trustOf{c.ID, i + 1, t})
		}
	}
	return findings
}

// trustOf is a trust entry of a client.
type trustOf struct {
	client string
	number int
	trust  Trust
}

// overlap reports whether one token may fit two entries for the same issuer.
func overlap(a, b Trust) bool {
	for name, value := range a.Require {
		if other, ok := b.Require[name]; ok && other != value {
			return false
		}
	}
	return a.Audience == b.Audience && strings.EqualFold(a.Type, b.Type) && (covers(a.Subject, b.Subject) || covers(b.Subject, a.Subject))
}

// covers reports whether a subject, which may end with a wildcard, includes another one.
func covers(subject, other string) bool {
	prefix, wildcard := strings.CutSuffix(subject, "*")
	return subject == other || wildcard && strings.HasPrefix(other, prefix)
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
