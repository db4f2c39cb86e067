package simulation

import (
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// counters count the events of worlds, so that TestSimulation fails if the worlds no
// longer meet some kind of event.
type counters map[string]int

func (c counters) add(other counters) {
	for event, n := range other {
		c[event] += n
	}
}

// requiredEvents returns the events that many worlds together must meet.
func requiredEvents() []string {
	all := []string{
		"tokens", "tokens under an earlier policy", "tokens two policies late", "minters",
		"rotations", "timed rotations", "two commands to rotate in a row", "forced steps", "imports", "specimens",
		"revocations of active keys", "revocations of pending keys", "revocations of retired keys", "revoked keys served within bounds", "revocations by a wrong clock",
		"policy changes", "changes of one duration", "changes of several durations", "changes of algorithm", "changes of expired_tokens",
		"disconnects", "crashes", "crashes before a swap", "crashes after a swap", "kills", "restarts", "stale processes", "unreadable keys",
		"lost requests", "lost swaps", "ambiguous commits", "slow commits", "delayed writes", "writes after their deadline",
		"late landings: rotate", "late landings: step", "late landings: revoke", "late landings: set policy",
		"late landings: several detectors", "late landings: skipped versions", "corrections by a wrong clock",
		"rotations of the sealing key", "sources read again", "sealing keys removed", "processes without the sealing key",
		"reads of an old version", "clock jumps", "second clock jumps", "clocks at their largest offset",
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

func (c counters) policyChange(was, now keys.Policy) {
	c["policy changes"]++
	before, changed, last := durations(was), 0, ""
	for i, d := range durations(now) {
		switch {
		case d.d > before[i].d:
			c[d.name+" raised"]++
		case d.d < before[i].d:
			c[d.name+" lowered"]++
		default:
			continue
		}
		changed, last = changed+1, d.name
	}
	switch changed {
	case 0:
	case 1:
		c[last+" alone"]++
		c["changes of one duration"]++
	default:
		c["changes of several durations"]++
	}
	if was.Algorithm != now.Algorithm {
		c["changes of algorithm"]++
	}
	if was.ExpiredTokens != now.ExpiredTokens {
		c["changes of expired_tokens"]++
	}
}

// signed counts a token that was signed under a policy that has changed the given number
// of times since.
func (c counters) signed(policyChanges int) {
	c["tokens"]++
	if policyChanges > 0 {
		c["tokens under an earlier policy"]++
	}
	if policyChanges > 1 {
		c["tokens two policies late"]++
	}
}
