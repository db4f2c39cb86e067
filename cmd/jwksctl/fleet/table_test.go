//go:build soak

package fleet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// row has the figures of one scenario on one engine.
type row struct {
	engine, scenario string
	begun            time.Time
	took             time.Duration

	sets, minted, verified int
	unverifiable           int // tokens that a compliant verifier could not verify
	activations            int // keys that began to sign, in a rotation or because another key was revoked
	revocations            int
	gone                   time.Duration // from the end of a revoking command to the last answer with the key
	servedLate             int           // JWK Sets with a revoked key past the printed times
	helped                 int           // replicas that did not recover by themselves
	unavailable            time.Duration // the longest time for which a replica answered 503
	note                   string        // what an operator had to do
	back                   time.Duration // from the end of the fault until every replica was ready
}

// outage says whether replicas have to answer 503 in a scenario.
type outage int

const (
	outageNever outage = iota
	outageAlways
	outageMaybe
)

// judge returns what is wrong with the figures. A run that measured too little fails,
// and so does a fault that had no effect.
func (r row) judge(expected outage) error {
	var errs []error
	demand := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	demand(r.unverifiable == 0, "%d tokens could not be verified", r.unverifiable)
	demand(r.servedLate == 0, "%d JWK Sets had a revoked key for too long", r.servedLate)
	demand(r.helped == 0, "%d replicas did not recover by themselves", r.helped)
	demand(r.minted > 0 && 2*r.verified >= r.minted, "the run proves little: %d tokens minted, %d verifications", r.minted, r.verified)
	demand(r.sets > 0 && r.revocations > 0 && r.activations > r.revocations, "the run proves little: %d sets, %d revocations, %d keys that began to sign",
		r.sets, r.revocations, r.activations)
	demand(expected != outageNever || r.unavailable == 0, "a replica answered 503 for %v, although it may serve for max_staleness", r.unavailable)
	demand(expected != outageAlways || r.unavailable > 0, "no replica answered 503: the fault had no effect")
	return errors.Join(errs...)
}

// table collects the rows of all engines.
type table struct {
	mu   sync.Mutex
	rows []row
}

func (t *table) add(r row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, r)
}

// text is the table as plain text, in the order of the engines.
func (t *table) text(engines []engine) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	place := func(r row) int { return slices.IndexFunc(engines, func(e engine) bool { return e.name == r.engine }) }
	slices.SortStableFunc(t.rows, func(a, b row) int { return place(a) - place(b) })
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "engine\tscenario\ttook\tminted\tverified\tunverifiable\trotations\trevoked\tgone after\tserved late\thelped\tlongest 503\tback after\toperator")
	seconds := func(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
	for _, r := range t.rows {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%.0f s\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%d\t%s\t%s\t%s\n", r.engine, r.scenario, r.took.Seconds(), r.minted, r.verified,
			r.unverifiable, r.activations-r.revocations, r.revocations, seconds(r.gone), r.servedLate, r.helped, seconds(r.unavailable), seconds(r.back), r.note)
	}
	_ = w.Flush() // a strings.Builder never fails
	return text.String()
}
