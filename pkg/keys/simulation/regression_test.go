package simulation

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// TestRegressions runs shortened scenarios that once broke an invariant.
func TestRegressions(t *testing.T) {
	const second, ms = time.Second, time.Millisecond
	withInterval := func(s keys.Settings) keys.Settings {
		s.RotationInterval = s.MaxStaleness + 2*s.JWKSMaxAge + 2*s.ClockSkew + 4*second
		return s
	}
	usual := withInterval(newSettings(5*second, second, 6*second, second, 400*ms))
	var manyRotations []action // more keys than a JWK Set may have
	for range 16 {
		manyRotations = append(manyRotations, action{kind: doRotate, host: 0, force: true, wait: wait{unit: ofE, factor: 0.1}})
	}
	withSpecimen := usual
	withSpecimen.ExpiredTokens = new(true)

	for _, tt := range []struct {
		name         string
		settings     keys.Settings
		clockOffsets []float64
		storeClock   bool
		actions      []action
	}{
		{
			// A policy change may land half an e after its stamps were computed:
			// of the old e, which is in the stamps, and not of the new one.
			name: "a change to a larger clock_skew lands late", settings: withInterval(newSettings(30*second, second, 6*second, second, 100*ms)),
			clockOffsets: []float64{1, -1, -1},
			actions: []action{
				{kind: doServe, host: 0},
				{kind: doServe, host: 1},
				{kind: doServe, host: 2},
				{kind: doRotate, host: 2, wait: wait{unit: ofE, factor: 5}},
				{
					kind: doSetPolicy, host: 1, wait: wait{unit: ofE, factor: 1},
					policy: keys.Settings{TokenTTL: 2 * second, ClockSkew: 400 * ms, RotationInterval: 12 * second},
					faults: faults{swap: []fault{{before: 1, readers: 0b101}}},
				},
				{kind: doDisconnect, host: 0},
				{kind: doRotate, host: 2, wait: wait{unit: untilReady, host: 2}},
				{kind: doReconnect, host: 0, wait: wait{unit: ofE, factor: 1}},
				{kind: doStepAll, wait: wait{unit: untilExpired, host: 0}},
				{kind: doStepAll, wait: wait{unit: untilExpired, host: 0}},
			},
		},
		{
			// The clock is wrong when the read begins and correct when it ends. The
			// Ring must still take into account what it did by the wrong clock.
			name: "a clock is corrected while the keyset is read", settings: usual, clockOffsets: []float64{1, 1},
			actions: []action{
				{kind: doServe, host: 0},
				{kind: doServe, host: 1},
				{kind: doJump, host: 1, amount: 34, wait: wait{unit: ofE, factor: 1}},
				{kind: doStep, host: 1, faults: faults{load: []fault{{before: 0.5}}}},
				{kind: doJump, host: 1, wait: wait{unit: ofE, factor: 0.1}, meanwhile: true},
				{kind: doRotate, host: 0, meanwhile: true},
				{wait: wait{unit: ofE, factor: 2}},
			},
		},
		{
			// The process sees no jump. Only the store's clock shows the error.
			name: "a process starts with a wrong clock", settings: usual, clockOffsets: []float64{1, 1}, storeClock: true,
			actions: []action{
				{kind: doServe, host: 0},
				{kind: doRotate, host: 0, wait: wait{unit: ofD, factor: 1}},
				{kind: doJump, host: 1, amount: 70},
				{kind: doServe, host: 1, wait: wait{unit: ofE, factor: 1}},
			},
		},
		{
			// The Ring must not trust the clock again, because the store's clock
			// still shows the error.
			name: "a clock stays wrong until all earlier stamps are past", settings: usual, clockOffsets: []float64{1, 1}, storeClock: true,
			actions: []action{
				{kind: doServe, host: 0},
				{kind: doServe, host: 1},
				{kind: doJump, host: 1, amount: 30},
				{kind: doRotate, host: 0, wait: wait{unit: untilDue}},
				{kind: doStepAll, wait: wait{unit: ofD, factor: 1}},
				{kind: doRotate, host: 0, wait: wait{unit: untilReady}},
				{kind: doStepAll, wait: wait{unit: ofE, factor: 1}},
				{wait: wait{unit: ofD, factor: 0.5}},
			},
		},
		{
			// The slower the request of a read was, the less a clock that is ahead
			// seemed to be wrong.
			name: "a slow read and a clock that is ahead", settings: usual, clockOffsets: []float64{0, 0}, storeClock: true,
			actions: []action{
				{kind: doServe, host: 0},
				{kind: doJump, host: 1, amount: 0.1, wait: wait{unit: ofE, factor: 1}},
				{kind: doRotate, host: 1, cli: true, faults: faults{load: []fault{{before: 2}, {before: 2}}}},
			},
		},
		{
			// An expired token is valid again when verifiers allow a longer leeway.
			name: "a longer leeway", settings: usual, clockOffsets: []float64{1, 1},
			actions: []action{
				{kind: doServe, host: 0},
				{kind: doRotate, host: 0, wait: wait{unit: ofE, factor: 1}},
				{kind: doSetPolicy, host: 0, policy: keys.Settings{Leeway: 20 * second, RotationInterval: 60 * second}, wait: wait{unit: ofE, factor: 1}},
				{kind: doStepAll, wait: wait{unit: untilExpired}},
				{wait: wait{unit: ofE, factor: 1}},
			},
		},
		{
			// Two processes confirm the first version until a rotation lands, 3e after
			// its deadline. One is then cut from the store, and serves that version
			// without the new pending key for D. The other one corrects ready_at.
			name: "a rotation lands late", settings: usual, clockOffsets: []float64{-1, 1, -1},
			actions: []action{
				{kind: doServe, host: 0},
				{kind: doServe, host: 1},
				{kind: doServe, host: 2},
				{kind: doRotate, host: 0, wait: wait{unit: ofE, factor: 5}, faults: faults{swap: []fault{{readers: 0b110, late: lateness{by: 3, detectors: 0b010}}}}},
				{kind: doDisconnect, host: 2},
				{kind: doRotate, host: 1, wait: wait{unit: untilReady, host: 1}},
				{wait: wait{unit: ofD, factor: 1}},
			},
		},
		{
			// The change is committed, and only the read afterwards fails.
			name: "a change that cannot be read back is not a refusal", settings: usual, clockOffsets: []float64{0},
			actions: []action{
				{kind: doServe, host: 0},
				{kind: doRotate, host: 0, wait: wait{unit: untilReady}},
				{kind: doRotate, host: 0, wait: wait{unit: untilReady}, faults: faults{load: []fault{{}, {outcome: oldVersion}}}},
				{kind: doRefresh, host: 0},
				{kind: doRotate, host: 0, wait: wait{unit: untilReady}, faults: faults{load: []fault{{}, {outcome: oldVersion}}, swap: []fault{{outcome: answerLost}}}},
			},
		},
		{
			// By a fast clock a key has expired, so another may be published. By a
			// slow clock both are published.
			name: "the key limit with a fast and a slow clock", settings: usual, clockOffsets: []float64{1, -1},
			actions: slices.Concat([]action{{kind: doServe, host: 0}, {kind: doServe, host: 1}}, manyRotations, []action{
				{kind: doRotate, host: 0, force: true, wait: wait{unit: untilExpired}},
				{kind: doRefresh, host: 1},
			}),
		},
		{
			// By a slow clock the specimen expires in the future.
			name: "the specimen with a slow clock", settings: withSpecimen, clockOffsets: []float64{1, -1},
			actions: []action{
				{kind: doServe, host: 0},
				{kind: doServe, host: 1},
				{kind: doStep, host: 0, wait: wait{unit: ofE, factor: 1}},
				{kind: doRefresh, host: 1},
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := keys.NewPolicy(tt.settings)
			if err != nil {
				t.Fatal(err)
			}
			w, broken := runScenario(scenario{policy: p, clockOffsets: tt.clockOffsets, storeClock: tt.storeClock, actions: tt.actions}, true)
			if broken != nil {
				t.Errorf("breaks invariant %s: %s\n%s", broken.invariant, broken.text, strings.Join(w.trace, "\n"))
			}
		})
	}
}
