package fault

import (
	"crypto/fips140"
	"errors"
	"slices"
	"strings"

	"github.com/jwksctl/jwksctl/pkg/token"
)

// Verdict is whether a verifier should accept a token.
type Verdict string

// The verdicts. An exclamation mark means that a standard demands the verdict; without
// it, the reason is hardening, a profile or interoperability.
const (
	MustReject Verdict = "reject!"
	Reject     Verdict = "reject"
	Either     Verdict = "either" // a verifier may accept or reject
	Accept     Verdict = "accept"
	MustAccept Verdict = "accept!"
)

// Answer is the verdict without the exclamation mark: "reject", "either" or "accept".
func (v Verdict) Answer() string { return strings.TrimSuffix(string(v), "!") }

// Tier is which verifiers a case is for.
type Tier string

// The tiers.
const (
	Core        Tier = "core"
	ProfileOnly Tier = "profile" // for verifiers with a profile or hardening
	OptIn       Tier = "opt-in"  // takes much time or memory if it is not refused
)

// Severity is how bad the wrong verdict is; "" for cases that must be accepted.
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
	Name     string        `json:"name"`    // row, or row/variant
	Group    string        `json:"group"`   // signature, header, encoding, time, claims, key or accept
	Differs  string        `json:"differs"` // from the good token, in one line
	Verdict  Verdict       `json:"verdict"`
	Tier     Tier          `json:"tier"`
	Severity Severity      `json:"severity,omitempty"`
	Rules    []string      `json:"rules"`             // the sections that demand the verdict
	CVEs     []string      `json:"cves,omitempty"`    // CVE or GHSA numbers of verifiers with this defect
	Profile  token.Profile `json:"profile,omitempty"` // that the verifier must use; "" means any

	change change
}

// row is a group of cases with the same verdict.
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

// variant is one token of a row. Its name is "" if the row has no other.
type variant struct {
	name, differs string
	change        change
}

// single returns the only variant of a row.
func single(differs string, changes ...change) []variant {
	return []variant{{"", differs, all(changes...)}}
}

// Cases returns the catalogue: first the cases to refuse, by group, then those to accept.
func Cases() []Case {
	return slices.Concat(
		expand("signature", algorithmRows(), signatureRows()),
		expand("header", keyMaterialRows(), headerRows()),
		expand("encoding", serializationRows(), jsonRows()),
		expand("time", timeRows()),
		expand("claims", issuerRows(), audienceRows(), typeRows(), encryptedRows(), resourceRows()),
		expand("key", keyStateRows()),
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

// Find returns the case with this name. The name of a row means its first variant.
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

// Make makes the token. The error is a *NeedError if in does not have what the case
// needs, and a *token.RequestError or *token.TTLError if in.Request is invalid.
//
// GODEBUG=fips140=only is not obeyed, because the tokens of this package protect nothing: a
// verifier must refuse most of them, and some are signed in ways that no standard approves.
func (c Case) Make(in Input) (compact string, err error) {
	fips140.WithoutEnforcement(func() { compact, err = c.make(in) })
	return compact, err
}

func (c Case) make(in Input) (string, error) {
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
