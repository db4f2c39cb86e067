package keys

import (
	"errors"
	"fmt"
	"time"
)

// Guard names what held a step back.
type Guard string

// The guards.
const (
	GuardGate       Guard = "gate"       // caches may not have the next key yet
	GuardCap        Guard = "cap"        // the JWK Set is full
	GuardUnreadable Guard = "unreadable" // the next key's private half cannot be opened
	GuardStandby    Guard = "standby"    // no key is there to take over
	GuardKnown      Guard = "known"      // a kid must not come back
	GuardRestored   Guard = "restored"   // the store lost what this machine has seen
	GuardClock      Guard = "clock"      // this process's clock cannot be trusted
)

// Guards lists them all.
func Guards() []Guard {
	return []Guard{GuardGate, GuardCap, GuardUnreadable, GuardStandby, GuardKnown, GuardRestored, GuardClock}
}

// Refusal is the error of a step that a guard held back. Nothing was changed.
type Refusal struct {
	Guard Guard
	Text  string    // what is wrong and what to do
	Until time.Time // from when the guard lets the step pass; zero if waiting alone does not help
}

func (r *Refusal) Error() string { return r.Text }

// refusals is the first of them as an error, or nil.
func refusals(rs []*Refusal) error {
	if len(rs) == 0 {
		return nil
	}
	return rs[0]
}

// openable holds back a key that this process could not open.
func (m StepInput) openable(k Key) *Refusal {
	if m.Opened != nil && m.Opened(k.KeyID()) {
		return nil
	}
	return &Refusal{Guard: GuardUnreadable, Text: fmt.Sprintf(
		"the private half of the pending key %s cannot be opened; revoke that key to have it replaced", k.KeyID())}
}

// room holds back a step that would publish one key more than the JWK Set takes.
// A key that has expired by this clock counts while it is published by another.
func (ks Keyset) room(now time.Time) *Refusal {
	e := ks.Policy.ClockSkew
	if len(ks.Public(now.Add(-e))) < maxPublished {
		return nil
	}
	until := ks.publicUntil(now.Add(-e)).Add(e)
	return &Refusal{Guard: GuardCap, Until: until, Text: fmt.Sprintf(
		"the JWK Set holds %d keys, the most it may; a place is free at %s", maxPublished, stamp(until))}
}

// gate holds back a key that some cache may not have yet.
func (k Key) gate(now time.Time) *Refusal {
	if !now.Before(k.ReadyAt) {
		return nil
	}
	return &Refusal{Guard: GuardGate, Until: k.ReadyAt, Text: fmt.Sprintf(
		"caches may not have the pending key %s before %s; wait until then, or use --force and accept that some verifiers will not find it",
		k.KeyID(), stamp(k.ReadyAt))}
}

// ErrUnknownKey says that no key of the keyset or its history has that kid.
var ErrUnknownKey = errors.New("no such key")

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
