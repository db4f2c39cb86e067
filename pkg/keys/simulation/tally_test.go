package simulation

import (
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// tally counts what worlds went through, so that a simulation that meets
// nothing cannot pass.
type tally map[string]int

func (t tally) add(o tally) {
	for what, n := range o {
		t[what] += n
	}
}

// ingredients are what the worlds must meet, each of them.
func ingredients() []string {
	all := []string{
		"tokens", "tokens under an earlier policy", "tokens two policies late", "minters",
		"rotations", "timed rotations", "two orders to rotate in a row", "forced steps", "imports", "specimens",
		"revocations of active keys", "revocations of pending keys", "revocations of retired keys", "revoked keys served in time",
		"policies", "changes of one setting", "changes of several settings", "changes of algorithm", "changes of expired_tokens",
		"cuts", "crashes", "crashes on the way to a swap", "crashes after a swap", "kills", "restarts", "stale processes", "unreadable keys",
		"lost requests", "lost swaps", "ambiguous commits", "slow commits", "writes that land after they were given up", "writes past their deadline",
		"stores that go back", "jumps of a clock", "second jumps", "clocks at the ends of their share",
	}
	for _, d := range durations(keys.Policy{}) {
		all = append(all, d.name+" raised", d.name+" lowered", d.name+" alone")
	}
	for _, g := range []keys.Guard{keys.GuardGate, keys.GuardClock, keys.GuardUnreadable, keys.GuardStandby, keys.GuardCap, keys.GuardKnown} {
		all = append(all, "refused: "+string(g))
	}
	return all
}

type namedDuration struct {
	name string
	d    time.Duration
}

func durations(p keys.Policy) []namedDuration {
	return []namedDuration{
		{"R", p.RotationInterval},
		{"T", p.TokenTTL},
		{"M", p.JWKSMaxAge},
		{"D", p.MaxStaleness},
		{"L", p.Leeway},
		{"e", p.ClockSkew},
	}
}

// policyChange counts what a change of policy changed.
func (t tally) policyChange(was, is keys.Policy) {
	t["policies"]++
	before, changed, last := durations(was), 0, ""
	for i, d := range durations(is) {
		switch {
		case d.d > before[i].d:
			t[d.name+" raised"]++
		case d.d < before[i].d:
			t[d.name+" lowered"]++
		default:
			continue
		}
		changed, last = changed+1, d.name
	}
	switch changed {
	case 0:
	case 1:
		t[last+" alone"]++
		t["changes of one setting"]++
	default:
		t["changes of several settings"]++
	}
	if was.Algorithm != is.Algorithm {
		t["changes of algorithm"]++
	}
	if was.ExpiredTokens != is.ExpiredTokens {
		t["changes of expired_tokens"]++
	}
}

// signed counts a token by how many policies its signer lags behind.
func (t tally) signed(policies int) {
	t["tokens"]++
	if policies > 0 {
		t["tokens under an earlier policy"]++
	}
	if policies > 1 {
		t["tokens two policies late"]++
	}
}
