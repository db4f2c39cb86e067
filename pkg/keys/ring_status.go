package keys

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Status describes a process and its view of the keyset.
type Status struct {
	Keyset     Keyset
	Now        time.Time
	Age        time.Duration    // since the keyset was last confirmed with the store
	Stale      error            // ErrStale, or nil
	Clock      *Refusal         // why the clock is not trusted, or nil
	StoreError error            // why the newest read of the store failed, or nil
	WriteError error            // why the newest write failed, or nil; nil again if the keyset has changed since
	Unreadable map[string]error // the private keys that could not be opened, by kid
	Overdue    time.Duration    // how long the active key has signed past its rotation; 0 if it has not

	Rotations   uint64 // seen since this process started, by any process
	Revocations uint64 // likewise

	LateLandings uint64           // versions of which this process has proof that they landed late
	Steps        map[Step]uint64  // taken by this process
	Refused      map[Guard]uint64 // steps that a guard refused in this process
}

// Status returns the status now.
func (r *Ring) Status() Status {
	v, at := r.view.Load(), r.clock.read()
	s := Status{
		Keyset: v.ks, Now: at.wall, Age: at.since(v.confirmedAt), Stale: v.fence(at),
		Clock: r.clock.check(at, v.ks, v.storeTime), Unreadable: v.unreadable(),
		Overdue: max(0, at.wall.Sub(v.ks.Active().ActiveAt.Add(v.ks.Policy.RotationInterval))),
	}
	r.counters.copyTo(&s)
	r.access.copyTo(&s)
	return s
}

// StoreProblem says in one sentence, without addresses, names and secrets, what is wrong
// with the store; "" if nothing is. Any client of a server may read it.
func (s Status) StoreProblem() string {
	err, other := s.StoreError, "the store cannot be read"
	if err == nil {
		err, other = s.WriteError, "the store cannot be written"
	}
	if err == nil {
		return ""
	}
	if failure, ok := errors.AsType[*StoreError](err); ok {
		return failure.Problem
	}
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		switch refusal.Guard {
		case GuardRestored:
			return "the store lacks changes that this machine has seen"
		case GuardMoved:
			return "the keyset was moved to another store"
		default:
		}
	}
	switch {
	case errors.Is(err, ErrNoKeyset):
		return "the store is empty"
	case errors.Is(err, ErrDocument):
		return "the keyset in the store cannot be used"
	case errors.Is(err, ErrSealingKey):
		return "the private keys in the store are sealed under another key"
	case errors.Is(err, ErrClockSkew):
		return ErrClockSkew.Error()
	case errors.Is(err, ErrTooLate):
		return "the store is too slow to write"
	}
	return other
}

// overdue is an error if the active key signs well past its rotation. Steps are
// always a little late, which is no error.
func (s Status) overdue() error {
	if s.Overdue <= s.Keyset.Policy.ClockSkew+2*longestPoll {
		return nil
	}
	return fmt.Errorf("%w: key %s should have been retired %v ago; the next one can sign from %s",
		errOverdue, s.Keyset.Active().KeyID(), s.Overdue.Round(time.Second), formatTime(s.Keyset.NextRotation()))
}

var errOverdue = errors.New("a rotation is overdue")

// Ready is nil while the process can sign and publish.
func (s Status) Ready() error {
	if s.Stale != nil {
		return s.Stale
	}
	if err, bad := s.Unreadable[s.Keyset.Active().KeyID()]; bad {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return nil
}

// counters count what a process did and saw.
type counters struct {
	mu           sync.Mutex
	rotations    uint64
	revocations  uint64
	lateLandings uint64
	steps        map[Step]uint64
	refused      map[Guard]uint64
}

func (c *counters) copyTo(s *Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Rotations, s.Revocations, s.LateLandings = c.rotations, c.revocations, c.lateLandings
	s.Steps, s.Refused = maps.Clone(c.steps), maps.Clone(c.refused)
}

// countChanges counts the rotations and revocations between two documents that the
// process has read.
func (c *counters) countChanges(before, after Keyset) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := map[string]Key{}
	for _, k := range slices.Concat(before.Keys, before.History) {
		old[k.KeyID()] = k
	}
	for _, k := range slices.Concat(after.Keys, after.History) {
		if !k.ActiveAt.IsZero() && old[k.KeyID()].ActiveAt.IsZero() {
			c.rotations++
		}
		if !k.RevokedAt.IsZero() && old[k.KeyID()].RevokedAt.IsZero() {
			c.revocations++
		}
	}
}

func (c *counters) countLateLanding() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lateLandings++
}

func (c *counters) countSteps(steps []Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.steps == nil {
		c.steps = map[Step]uint64{}
	}
	for _, e := range steps {
		c.steps[e.Step]++
	}
}

// countRefused counts the refusal, if err is one, and returns err.
func (r *Ring) countRefused(err error) error {
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok {
		return err
	}
	r.counters.mu.Lock()
	defer r.counters.mu.Unlock()
	if r.counters.refused == nil {
		r.counters.refused = map[Guard]uint64{}
	}
	r.counters.refused[refusal.Guard]++
	return err
}
