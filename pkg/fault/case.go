package fault

import (
	"errors"
	"slices"
	"strings"

	"github.com/jwksctl/jwksctl/pkg/token"
)

// Verdict is what a verifier should say to a token.
type Verdict string

// The verdicts. An exclamation mark says that a standard demands it; without one it
// is hardening, a profile or interoperability that asks for it.
const (
	MustReject Verdict = "reject!"
	Reject     Verdict = "reject"
	Either     Verdict = "either" // both are lawful
	Accept     Verdict = "accept"
	MustAccept Verdict = "accept!"
)

// Answer is the verdict without its weight: "reject", "either" or "accept".
func (v Verdict) Answer() string { return strings.TrimSuffix(string(v), "!") }

// Tier says who should try a case.
type Tier string

// The tiers.
const (
	Core        Tier = "core"
	ProfileOnly Tier = "profile" // for verifiers that claim a profile or hardening
	OptIn       Tier = "opt-in"  // costs time or memory where it is not refused
)

// Severity is how bad the wrong answer is; "" for cases that must be accepted.
type Severity string

// The severities.
const (
	Critical Severity = "critical"
	High     Severity = "high"
	Medium   Severity = "medium"
	Low      Severity = "low"
	Info     Severity = "info"
)

// Case is one token of the catalogue.
type Case struct {
	Name     string        `json:"name"`    // the row, and behind a slash the variant if it has several
	Group    string        `json:"group"`   // signature, header, encoding, time, claims, key or accept
	Differs  string        `json:"differs"` // from a good token, in one line
	Verdict  Verdict       `json:"verdict"`
	Tier     Tier          `json:"tier"`
	Severity Severity      `json:"severity,omitempty"`
	Rules    []string      `json:"rules"`             // what demands the verdict
	CVEs     []string      `json:"cves,omitempty"`    // where it went wrong: CVE or GHSA numbers
	Profile  token.Profile `json:"profile,omitempty"` // under which the verdict holds; "" for any

	change change
}

// row is what the variants of a case have in common.
type row struct {
	name     string
	verdict  Verdict
	tier     Tier
	severity Severity
	rules    string // separated by ", "
	cves     string // likewise
	profile  token.Profile
	variants []variant
}

// variant is one token of a row. The only one of its row has no name.
type variant struct {
	name, differs string
	change        change
}

// only is the variant of a row that has one.
func only(differs string, changes ...change) []variant {
	return []variant{{"", differs, all(changes...)}}
}

// Cases returns the catalogue, in order: what must be refused by group, then what
// must be accepted.
func Cases() []Case {
	return slices.Concat(
		expand("signature", algorithmRows(), signatureRows()),
		expand("header", keyMaterialRows(), headerRows()),
		expand("encoding", formRows(), jsonRows()),
		expand("time", timeRows()),
		expand("claims", issuerRows(), audienceRows(), kindRows(), encryptedRows(), resourceRows()),
		expand("key", keyRows()),
		expand("accept", acceptRows(), toleranceRows()),
	)
}

func expand(group string, sections ...[]row) []Case {
	var cases []Case
	for _, r := range slices.Concat(sections...) {
		for _, v := range r.variants {
			name := r.name
			if v.name != "" {
				name += "/" + v.name
			}
			cases = append(cases, Case{
				Name: name, Group: group, Differs: v.differs,
				Verdict: r.verdict, Tier: r.tier, Severity: r.severity,
				Rules: list(r.rules), CVEs: list(r.cves), Profile: r.profile,
				change: v.change,
			})
		}
	}
	return cases
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ", ")
}

// Find returns the case of that name. The name of a row alone stands for its first
// variant.
func Find(name string) (Case, bool) {
	cases := Cases()
	i := slices.IndexFunc(cases, func(c Case) bool {
		row, _, _ := strings.Cut(c.Name, "/")
		return c.Name == name || row == name
	})
	if i < 0 {
		return Case{}, false
	}
	return cases[i], true
}

// Make makes the token. The error is a *NeedError if the input lacks what the case
// needs, a *token.RequestError or *token.TTLError if its request cannot be met.
func (c Case) Make(in Input) (string, error) {
	d := in.good(c)
	if d.err == nil {
		c.change(&d)
	}
	compact, err := d.compact()
	if need, ok := errors.AsType[*NeedError](err); ok {
		need.Case = c.Name
	}
	return compact, err
}
