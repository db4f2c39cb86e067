package keys

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Status is what a process can say of itself.
type Status struct {
	Keyset     Keyset
	Now        time.Time
	Age        time.Duration    // since the keyset was last confirmed with the store
	Stale      error            // ErrStale, or nil
	Clock      *Refusal         // why the clock is not trusted, or nil
	Unreadable map[string]error // by kid: the private halves that could not be opened
	Overdue    time.Duration    // how long the active key has signed beyond its time; 0 if it has not

	Rotations   uint64           // seen since this process began, whoever made them
	Revocations uint64           // likewise
	Steps       map[Step]uint64  // taken by this process
	Refused     map[Guard]uint64 // steps that a guard held back in this process
}

// Status tells how the process stands now.
func (r *Ring) Status() Status {
	v, at := r.view.Load(), r.watch.read()
	s := Status{
		Keyset: v.ks, Now: at.wall, Age: at.since(v.at), Stale: v.fresh(at),
		Clock: r.watch.trouble(at, v.ks, v.store), Unreadable: v.unreadable(),
		Overdue: max(0, at.wall.Sub(v.ks.Active().ActiveAt.Add(v.ks.Policy.RotationInterval))),
	}
	r.tally.copy(&s)
	return s
}

// overdue is the trouble of a key that signs well beyond its time: steps come a
// little late, and that is none.
func (s Status) overdue() error {
	if s.Overdue <= s.Keyset.Policy.ClockSkew+2*longestPoll {
		return nil
	}
	return fmt.Errorf("%w: key %s should have been retired %v ago; the next one can sign from %s",
		errOverdue, s.Keyset.Active().KeyID(), s.Overdue.Round(time.Second), stamp(s.Keyset.NextRotation()))
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

func (v *view) unreadable() map[string]error {
	out := map[string]error{}
	for kid, h := range v.halves {
		if h.err != nil {
			out[kid] = h.err
		}
	}
	return out
}

// tally counts what a process did and saw.
type tally struct {
	mu          sync.Mutex
	rotations   uint64
	revocations uint64
	steps       map[Step]uint64
	refused     map[Guard]uint64
}

func (t *tally) copy(to *Status) {
	t.mu.Lock()
	defer t.mu.Unlock()
	to.Rotations, to.Revocations = t.rotations, t.revocations
	to.Steps, to.Refused = maps.Clone(t.steps), maps.Clone(t.refused)
}

// saw counts what happened between two documents that the process has read.
func (t *tally) saw(before, after Keyset) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := map[string]Key{}
	for _, k := range slices.Concat(before.Keys, before.History) {
		was[k.KeyID()] = k
	}
	for _, k := range slices.Concat(after.Keys, after.History) {
		if !k.ActiveAt.IsZero() && was[k.KeyID()].ActiveAt.IsZero() {
			t.rotations++
		}
		if !k.RevokedAt.IsZero() && was[k.KeyID()].RevokedAt.IsZero() {
			t.revocations++
		}
	}
}

// committed counts and logs what a swap made true.
func (r *Ring) committed(ctx context.Context, e Effect) {
	r.tally.mu.Lock()
	defer r.tally.mu.Unlock()
	if r.tally.steps == nil {
		r.tally.steps = map[Step]uint64{}
	}
	for _, ev := range e.Events {
		r.tally.steps[ev.Step]++
		r.log.InfoContext(ctx, "keyset changed", "step", string(ev.Step), "kid", ev.KeyID)
	}
}

// refused counts the refusal, if err is one, and passes it on.
func (r *Ring) refused(err error) error {
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok {
		return err
	}
	r.tally.mu.Lock()
	defer r.tally.mu.Unlock()
	if r.tally.refused == nil {
		r.tally.refused = map[Guard]uint64{}
	}
	r.tally.refused[refusal.Guard]++
	return err
}
