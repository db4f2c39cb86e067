package keys

import "context"

// CheckStatus is the outcome of one check of a store.
type CheckStatus string

// The outcomes of a check.
const (
	CheckOK      CheckStatus = "ok"
	CheckFinding CheckStatus = "finding"     // something is wrong
	CheckNotRun  CheckStatus = "not checked" // it says nothing about the store
)

// CheckResult is what one check of a store found. A check that found several things has
// as many results.
type CheckResult struct {
	Check  string      `json:"check"` // a name of small letters and underscores, for programs
	Status CheckStatus `json:"status"`
	Detail string      `json:"detail"` // a sentence: what was found and what to do, or why it was not checked
}

// Checker is what a Store may implement besides: checks of the engine, and of the
// settings of its server that the guarantees of a Store need. The names begin with that
// of the engine. An error is a store that does not answer.
type Checker interface {
	Check(ctx context.Context) ([]CheckResult, error)
}

// checkResults are the results of the checks so far.
type checkResults []CheckResult

func (c *checkResults) add(check string, status CheckStatus, detail string) {
	*c = append(*c, CheckResult{check, status, detail})
}

// addFindings adds one result for each finding, or ok if there is none.
func (c *checkResults) addFindings(check string, findings []string, ok string) {
	for _, f := range findings {
		c.add(check, CheckFinding, f)
	}
	if len(findings) == 0 {
		c.add(check, CheckOK, ok)
	}
}
