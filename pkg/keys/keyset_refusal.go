package keys

import (
	"errors"
	"fmt"
	"time"
)

// Guard names a check that can refuse a step.
type Guard string

// The guards.
const (
	GuardGate       Guard = "gate"       // caches may not have the next key yet
	GuardCap        Guard = "cap"        // the JWK Set is full
	GuardUnreadable Guard = "unreadable" // the private key of the next key cannot be opened
	GuardStandby    Guard = "standby"    // there is no key to take over
	GuardKnown      Guard = "known"      // a kid must not be used again
	GuardRestored   Guard = "restored"   // the store lost changes that this machine has seen
	GuardClock      Guard = "clock"      // this machine's clock cannot be trusted
	GuardMoved      Guard = "moved"      // the keyset was copied to another store
	GuardTarget     Guard = "target"     // a store cannot take a keyset from another one
)

// Guards lists all guards.
func Guards() []Guard {
	return []Guard{GuardGate, GuardCap, GuardUnreadable, GuardStandby, GuardKnown, GuardRestored, GuardClock, GuardMoved, GuardTarget}
}

// Refusal is the error of a step that a guard refused. Nothing was changed.
type Refusal struct {
	Guard Guard
	Text  string    // what is wrong and what to do
	Until time.Time // from when on the guard allows the step; zero if waiting alone does not help
}

func (r *Refusal) Error() string { return r.Text }

// String is the text, "" if there is no refusal.
func (r *Refusal) String() string {
	if r == nil {
		return ""
	}
	return r.Text
}

// firstRefusal is the first refusal as an error, or nil.
func firstRefusal(rs []*Refusal) error {
	if len(rs) == 0 {
		return nil
	}
	return rs[0]
}

// checkOpened refuses a key whose private key this process could not open.
func (in StepInput) checkOpened(k Key) *Refusal {
	if in.Opened != nil && in.Opened(k.KeyID()) {
		return nil
	}
	return &Refusal{Guard: GuardUnreadable, Text: fmt.Sprintf(
		"the private key of the pending key %s cannot be opened; revoke that key to have it replaced", k.KeyID())}
}

// checkCap refuses to publish one key more if the JWK Set is full. A key that has
// expired by this clock counts as long as a slower clock may still publish it.
func (ks Keyset) checkCap(now time.Time) *Refusal {
	e := ks.Policy.ClockSkew
	if len(ks.Public(now.Add(-e))) < maxPublished {
		return nil
	}
	until := ks.publicUntil(now.Add(-e)).Add(e)
	return &Refusal{Guard: GuardCap, Until: until, Text: fmt.Sprintf(
		"the JWK Set has %d keys, the most that it may have; the next one leaves at %s", maxPublished, formatTime(until))}
}

// checkGate refuses a key that some cache may not have yet.
func (k Key) checkGate(now time.Time) *Refusal {
	if !now.Before(k.ReadyAt) {
		return nil
	}
	return &Refusal{Guard: GuardGate, Until: k.ReadyAt, Text: fmt.Sprintf(
		"caches may not have the pending key %s before %s; wait until then, or use --force and accept that some verifiers will not find it",
		k.KeyID(), formatTime(k.ReadyAt))}
}

// ErrUnknownKey says that neither the keyset nor its history has a key with that kid.
var ErrUnknownKey = errors.New("no such key")

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
