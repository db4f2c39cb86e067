package simulation

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// TestRegressions keeps what the simulation found when it ran first, as the
// shortest scenarios that broke an invariant.
func TestRegressions(t *testing.T) {
	settings := func(e, d, m, tt, l time.Duration) keys.Settings {
		return keys.Settings{
			MaxStaleness: d, JWKSMaxAge: m, TokenTTL: tt, Leeway: l, ClockSkew: e, RotationInterval: d + 2*m + 2*e + 4*time.Second,
			Algorithm: jwk.EdDSA, Issuer: "https://issuer.example", ExpiredTokens: new(bool),
		}
	}
	const second, ms = time.Second, time.Millisecond
	usual := settings(400*ms, 6*second, second, 5*second, second)
	var crowd []action // more rotations than the JWKS has room for
	for range 16 {
		crowd = append(crowd, action{kind: doRotate, host: 0, force: true, wait: wait{unit: ofE, share: 0.1}})
	}
	withSpecimen := usual
	withSpecimen.ExpiredTokens = new(true)

	for _, tt := range []struct {
		name       string
		settings   keys.Settings
		leans      []float64
		storeClock bool
		actions    []action
	}{
		{
			// A change of policy may land e/2 after its stamps were made: half
			// of the old e, which they are made with, and not of the new one.
			name: "a change to a larger clock_skew lands late", settings: settings(100*ms, 6*second, second, 30*second, second),
			leans: []float64{1, -1, -1},
			actions: []action{
				{kind: doServe, host: 0},
				{kind: doServe, host: 1},
				{kind: doServe, host: 2},
				{kind: doRotate, host: 2, wait: wait{unit: ofE, share: 5}},
				{
					kind: doPolicy, host: 1, wait: wait{unit: ofE, share: 1},
					to:     keys.Settings{TokenTTL: 2 * second, ClockSkew: 400 * ms, RotationInterval: 12 * second},
					faults: faults{swap: []fault{{before: 1, witness: 0b101}}},
				},
				{kind: doCut, host: 0},
				{kind: doRotate, host: 2, wait: wait{unit: tillReady, host: 2}},
				{kind: doMend, host: 0, wait: wait{unit: ofE, share: 1}},
				{kind: doTick, wait: wait{unit: tillExpired, host: 0}},
				{kind: doTick, wait: wait{unit: tillExpired, host: 0}},
			},
		},
		{
			// The clock is wrong when the read begins and right when it ends.
			// What was made of its first reading must not be forgotten.
			name: "a clock is set right while the keyset is read", settings: usual, leans: []float64{1, 1},
			actions: []action{
				{kind: doServe, host: 0},
				{kind: doServe, host: 1},
				{kind: doJump, host: 1, by: 34, wait: wait{unit: ofE, share: 1}},
				{kind: doStep, host: 1, faults: faults{load: []fault{{before: 0.5}}}},
				{kind: doJump, host: 1, wait: wait{unit: ofE, share: 0.1}, meanwhile: true},
				{kind: doRotate, host: 0, meanwhile: true},
				{wait: wait{unit: ofE, share: 2}},
			},
		},
		{
			// There was no jump to notice: only the store's clock tells.
			name: "a process starts by a wrong clock", settings: usual, leans: []float64{1, 1}, storeClock: true,
			actions: []action{
				{kind: doServe, host: 0},
				{kind: doRotate, host: 0, wait: wait{unit: ofD, share: 1}},
				{kind: doJump, host: 1, by: 70},
				{kind: doServe, host: 1, wait: wait{unit: ofE, share: 1}},
			},
		},
		{
			// The store's clock still says that it is wrong.
			name: "a wrong clock outlasts all that was made before", settings: usual, leans: []float64{1, 1}, storeClock: true,
			actions: []action{
				{kind: doServe, host: 0},
				{kind: doServe, host: 1},
				{kind: doJump, host: 1, by: 30},
				{kind: doRotate, host: 0, wait: wait{unit: tillDue}},
				{kind: doTick, wait: wait{unit: ofD, share: 1}},
				{kind: doRotate, host: 0, wait: wait{unit: tillReady}},
				{kind: doTick, wait: wait{unit: ofE, share: 1}},
				{wait: wait{unit: ofD, share: 0.5}},
			},
		},
		{
			// The longer the question was on its way, the righter a clock that is
			// ahead seemed to be.
			name: "a slow read hides a wrong clock", settings: usual, leans: []float64{0, 0}, storeClock: true,
			actions: []action{
				{kind: doServe, host: 0},
				{kind: doJump, host: 1, by: 0.1, wait: wait{unit: ofE, share: 1}},
				{kind: doRotate, host: 1, cli: true, faults: faults{load: []fault{{before: 2}, {before: 2}}}},
			},
		},
		{
			// A token that was dead comes to life when verifiers allow more.
			name: "a longer leeway", settings: usual, leans: []float64{1, 1},
			actions: []action{
				{kind: doServe, host: 0},
				{kind: doRotate, host: 0, wait: wait{unit: ofE, share: 1}},
				{kind: doPolicy, host: 0, to: keys.Settings{Leeway: 20 * second, RotationInterval: 60 * second}, wait: wait{unit: ofE, share: 1}},
				{kind: doTick, wait: wait{unit: tillExpired}},
				{wait: wait{unit: ofE, share: 1}},
			},
		},
		{
			// It was done; only reading it back failed.
			name: "a change that cannot be read back is no refusal", settings: usual, leans: []float64{0},
			actions: []action{
				{kind: doServe, host: 0},
				{kind: doRotate, host: 0, wait: wait{unit: tillReady}},
				{kind: doRotate, host: 0, wait: wait{unit: tillReady}, faults: faults{load: []fault{{}, {fate: goesBack}}}},
				{kind: doRefresh, host: 0},
				{kind: doRotate, host: 0, wait: wait{unit: tillReady}, faults: faults{load: []fault{{}, {fate: goesBack}}, swap: []fault{{fate: ambiguous}}}},
			},
		},
		{
			// By a fast clock a key has expired, and makes room for another; by a
			// slow clock it is still published.
			name: "the cap by a fast clock", settings: usual, leans: []float64{1, -1},
			actions: slices.Concat([]action{{kind: doServe, host: 0}, {kind: doServe, host: 1}}, crowd, []action{
				{kind: doRotate, host: 0, force: true, wait: wait{unit: tillExpired}},
				{kind: doRefresh, host: 1},
			}),
		},
		{
			// By a slow clock the moment at which it expired is still ahead.
			name: "the specimen by a slow clock", settings: withSpecimen, leans: []float64{1, -1},
			actions: []action{
				{kind: doServe, host: 0},
				{kind: doServe, host: 1},
				{kind: doStep, host: 0, wait: wait{unit: ofE, share: 1}},
				{kind: doRefresh, host: 1},
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := keys.NewPolicy(tt.settings)
			if err != nil {
				t.Fatal(err)
			}
			w, broken := run(scenario{policy: p, leans: tt.leans, storeClock: tt.storeClock, actions: tt.actions}, readyMade(), true)
			if broken != nil {
				t.Errorf("breaks invariant %s: %s\n%s", broken.rule, broken.text, strings.Join(w.trace, "\n"))
			}
		})
	}
}
