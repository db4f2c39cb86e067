package keys_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/memory"
)

// landLate has the next swap land late by a given time, just after other processes read
// the store. With the daily policy the deadline is 2.5s after the decision.
func (f *fixture) landLate(t *testing.T, by time.Duration, readers ...*keys.Ring) {
	t.Helper()
	f.store.hook(func(s *hookedStore) {
		s.onSwap = func(c keys.Change, _ func() error) error {
			f.store.hook(func(s *hookedStore) { s.onSwap = nil })
			f.clock.Advance(c.Deadline.Sub(f.clock.Now()) + by)
			for _, r := range readers {
				must(t, r.Refresh(t.Context()))
			}
			c.Deadline = time.Time{}
			return f.store.Store.Swap(t.Context(), c)
		}
	})
}

// stored is the keyset as the store has it.
func (f *fixture) stored(t *testing.T) keys.Keyset {
	t.Helper()
	ks, err := keys.Read(t.Context(), keys.Options{Store: f.store.Store})
	must(t, err)
	return ks
}

// wantPostponed checks that the only difference between two versions is that the stamps
// of the newest rotation are later by d.
func wantPostponed(t *testing.T, before, after keys.Keyset, d time.Duration) {
	t.Helper()
	want := before
	want.Keys = nil
	for _, k := range before.Keys {
		switch k.State(before.ChangedAt) {
		case keys.Pending:
			k.ReadyAt = k.ReadyAt.Add(d)
		case keys.Retired:
			k.DestroyAt, k.ExpiresAt = k.DestroyAt.Add(d), k.ExpiresAt.Add(d)
		}
		want.Keys = append(want.Keys, k)
	}
	if diff := cmp.Diff(want.Keys, after.Keys); diff != "" {
		t.Errorf("the keys after the correction (-want +got):\n%s", diff)
	}
	if after.Version != before.Version+1 {
		t.Errorf("version %d after %d", after.Version, before.Version)
	}
}

func TestALateLandingIsDetectedAndCorrected(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	reader, idle := f.other(t), f.other(t)
	f.landLate(t, 3*time.Second, reader)
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	late := f.stored(t)

	must(t, reader.Refresh(t.Context()))
	f.log.want(t, 1, "a write landed late", `"level":"ERROR"`, `"version":2`, `"late_by_at_least":"3s"`)
	if s := reader.Status(); s.LateLandings != 1 || f.stored(t).Version != 2 {
		t.Errorf("%d late landings, version %d: a refresh only detects it", s.LateLandings, f.stored(t).Version)
	}
	must(t, reader.Step(t.Context()))
	wantPostponed(t, late, reader.Keyset(), 3*time.Second)
	f.log.want(t, 1, "keyset changed", `"step":"postpone"`)
	if got := reader.Keyset().Writes; len(got) != 3 || !got[0].Deadline.IsZero() || got[1].LandedAfter.Sub(got[1].Deadline) != 3*time.Second {
		t.Errorf("the writes are %+v", got)
	}

	// It is done once, and a process that read nothing after the deadline has no proof.
	for _, process := range []*keys.Ring{reader, idle, r} {
		must(t, process.Step(t.Context()))
		must(t, process.Refresh(t.Context()))
	}
	f.log.want(t, 1, "a write landed late")
	if v := f.stored(t).Version; v != 3 || idle.Status().LateLandings != 0 {
		t.Errorf("version %d, %d late landings", v, idle.Status().LateLandings)
	}
}

func TestAWriteThatLandsAtItsDeadlineIsNotLate(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	reader := f.other(t)
	f.landLate(t, 0, reader)
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	must(t, reader.Step(t.Context()))
	f.log.want(t, 0, "a write landed late")
	if v := f.stored(t).Version; v != 2 {
		t.Errorf("version %d", v)
	}
}

// The process decides on the corrected stamps, also if another decision is asked for.
func TestNoDecisionIsBasedOnAStampThatIsTooEarly(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	reader := f.other(t)
	f.landLate(t, 3*time.Second, reader)
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	must(t, reader.Refresh(t.Context()))
	pending, _ := f.stored(t).Pending()
	f.clock.Advance(pending.ReadyAt.Sub(f.clock.Now()))
	wantGuard(t, "Rotate", reader.Rotate(t.Context(), keys.StepRequest{}), keys.GuardGate)
	if ks := f.stored(t); ks.Active().KeyID() == pending.KeyID() || ks.Version != 3 {
		t.Errorf("version %d, the active key is %s", ks.Version, ks.Active().KeyID())
	}
	f.clock.Advance(3 * time.Second)
	must(t, reader.Rotate(t.Context(), keys.StepRequest{}))
}

// A process that has skipped versions looks at the first of them.
func TestALateLandingIsDetectedAfterOtherVersions(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	reader, other := f.other(t), f.other(t)
	f.landLate(t, 3*time.Second, reader)
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	_, err := other.SetPolicy(t.Context(), keys.Settings{Leeway: 2 * time.Minute})
	must(t, err)
	must(t, other.Revoke(t.Context(), f.stored(t).Keys[0].KeyID(), keys.StepRequest{}))
	late := f.stored(t)
	must(t, reader.Step(t.Context()))
	f.log.want(t, 1, "a write landed late", `"version":2`, `"late_by_at_least":"3s"`)
	wantPostponed(t, late, f.stored(t), 3*time.Second)
	if moved := f.stored(t).ActsUntil.Sub(late.ActsUntil); moved != 3*time.Second {
		t.Errorf("acts_until moved by %v", moved)
	}

	// If too many versions have followed, the document no longer tells.
	last := f.other(t)
	f.landLate(t, 3*time.Second, last)
	must(t, r.Rotate(t.Context(), keys.StepRequest{Force: true}))
	for range 16 {
		p := f.stored(t).Policy
		_, err := other.SetPolicy(t.Context(), keys.Settings{Leeway: p.Leeway%(3*time.Minute) + time.Minute})
		must(t, err)
	}
	v := f.stored(t).Version
	must(t, last.Refresh(t.Context()))
	must(t, last.Step(t.Context()))
	f.log.want(t, 1, "a write landed late")
	if got := f.stored(t).Version; got != v {
		t.Errorf("version %d after %d", got, v)
	}
}

// Two processes confirmed the version before at different times. The stamps move by the
// longer time, not by both.
func TestSeveralProcessesDetectALateLanding(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	first, last := f.other(t), f.other(t)
	f.store.hook(func(s *hookedStore) {
		s.onSwap = func(c keys.Change, _ func() error) error {
			for _, reader := range []*keys.Ring{first, last} {
				f.clock.Advance(2 * time.Second) // after the deadline by 1.5s in the end
				must(t, reader.Refresh(t.Context()))
			}
			f.clock.Advance(time.Second)
			must(t, first.Refresh(t.Context())) // by 2.5s
			c.Deadline = time.Time{}
			return f.store.Store.Swap(t.Context(), c)
		}
	})
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	f.store.hook(func(s *hookedStore) { s.onSwap = nil })
	late := f.stored(t)
	must(t, last.Step(t.Context()))
	wantPostponed(t, late, f.stored(t), 1500*time.Millisecond)
	corrected := f.stored(t)
	must(t, first.Step(t.Context()))
	wantPostponed(t, corrected, f.stored(t), time.Second)
	must(t, last.Step(t.Context()))
	if v := f.stored(t).Version; v != 4 {
		t.Errorf("version %d", v)
	}
}

func TestACorrectionIsTriedAgain(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	reader := f.open(t)
	f.landLate(t, 3*time.Second, reader)
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	f.store.hook(func(s *hookedStore) { s.onSwap = func(keys.Change, func() error) error { return errDown } })
	if err := reader.Step(t.Context()); !errors.Is(err, keys.ErrUnavailable) || !errors.Is(err, errDown) {
		t.Errorf("Step = %v", err)
	}
	once := true
	f.store.hook(func(s *hookedStore) {
		s.onSwap = func(_ keys.Change, commit func() error) error {
			if once { // another process is first
				once = false
				_, err := f.other(t).SetPolicy(t.Context(), keys.Settings{Leeway: 2 * time.Minute})
				must(t, err)
			}
			return commit()
		}
	})
	before := f.stored(t)
	must(t, reader.Step(t.Context()))
	after := f.stored(t)
	if moved := after.Keys[0].ExpiresAt.Sub(before.Keys[0].ExpiresAt); moved != 3*time.Second || after.Policy.Leeway != 2*time.Minute {
		t.Errorf("expires_at moved by %v, leeway %v", moved, after.Policy.Leeway)
	}
	f.log.want(t, 1, "a write landed late")
}

// A correction is lawful by any clock, so a process whose clock jumped makes it, and
// takes no step beside it.
func TestAWrongClockDoesNotKeepALateLandingFromBeingCorrected(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, 10 * 365 * 24 * time.Hour} {
		f := newFixture(t)
		r := f.create(t)
		reader := f.other(t)
		f.landLate(t, 3*time.Second, reader)
		must(t, r.Rotate(t.Context(), keys.StepRequest{}))
		late := f.stored(t)
		f.jump(jump)
		wantGuard(t, "Step", reader.Step(t.Context()), keys.GuardClock)
		wantPostponed(t, late, f.stored(t), 3*time.Second)
	}
}

// A clock that was ahead proves nothing, whether it jumped or was set right since.
func TestAClockThatWasAheadProvesNothing(t *testing.T) {
	for name, ahead := range map[string][3]time.Duration{ // when the process starts, confirms version 1, and reads version 2
		"it is ahead from the start and is set right": {24 * time.Hour, 24 * time.Hour, 0},
		"it jumps and is set right":                   {0, 24 * time.Hour, 0},
		"it jumps and stays ahead":                    {0, 24 * time.Hour, 24 * time.Hour},
		"it is set forward by less than e":            {0, 0, 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			r := f.create(t)
			off := ahead[0]
			o := f.options()
			now, uptime := o.Clock.Now, o.Clock.Uptime
			o.Clock = keys.Clock{Now: func() time.Time { return now().Add(off) }, Uptime: uptime}
			process, err := keys.Open(t.Context(), o)
			must(t, err)
			off = ahead[1]
			must(t, process.Refresh(t.Context()))
			must(t, r.Rotate(t.Context(), keys.StepRequest{})) // lands in time
			off = ahead[2]
			must(t, process.Refresh(t.Context()))
			if s := process.Status(); s.LateLandings != 0 || s.Keyset.Version != 2 {
				t.Errorf("%d late landings, version %d", s.LateLandings, s.Keyset.Version)
			}
		})
	}
}

func TestAStoreWhoseClockWasAheadProvesNothing(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	ahead := 24 * time.Hour
	o := f.options()
	o.Store = clockedStore{f.store.Store, func() time.Time { return f.clock.Now().Add(ahead) }}
	reader, err := keys.Open(t.Context(), o)
	must(t, err)
	ahead = 0
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	must(t, reader.Refresh(t.Context()))
	f.log.want(t, 0, "a write landed late")
}

// The store's clock says whether a write was late, because it judged the deadline. This
// machine's clock may be ahead of it.
func TestALateLandingIsJudgedByTheStoresClock(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	o := f.options()
	const behind = 2 * time.Second // within e/2
	o.Store = clockedStore{f.store.Store, func() time.Time { return f.clock.Now().Add(-behind) }}
	reader, err := keys.Open(t.Context(), o)
	must(t, err)
	f.landLate(t, behind, reader)
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	must(t, reader.Refresh(t.Context()))
	f.log.want(t, 0, "a write landed late")

	f.landLate(t, behind+time.Second, reader)
	must(t, r.Rotate(t.Context(), keys.StepRequest{Force: true}))
	must(t, reader.Refresh(t.Context()))
	f.log.want(t, 1, "a write landed late", `"late_by_at_least":"1s"`)
}

// The answer to the read that confirmed the version before may be slow. What counts is
// when the read was sent.
func TestASlowReadProvesNothing(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	o := f.options()
	slow := &slowAnswers{Store: f.store.Store, answer: func() {}}
	o.Store = slow
	reader, err := keys.Open(t.Context(), o)
	must(t, err)
	slow.answer = func() {
		slow.answer = func() {}
		must(t, r.Rotate(t.Context(), keys.StepRequest{})) // lands in time
		f.clock.Advance(10 * time.Second)
	}
	must(t, reader.Refresh(t.Context()))
	if v := reader.Keyset().Version; v != 1 {
		t.Fatalf("version %d", v)
	}
	must(t, reader.Refresh(t.Context()))
	f.log.want(t, 0, "a write landed late")
}

// slowAnswers calls answer between a Load and its answer.
type slowAnswers struct {
	keys.Store
	answer func()
}

func (s *slowAnswers) Load(ctx context.Context) (keys.Record, error) {
	r, err := s.Store.Load(ctx)
	s.answer()
	return r, err
}

func TestARevocationByAWrongClockHasNoDeadline(t *testing.T) {
	for name, open := range wrongClocks() {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			first := f.create(t)
			must(t, first.Rotate(t.Context(), keys.StepRequest{}))
			r := open(t, f)
			asked := false
			f.store.hook(func(s *hookedStore) {
				s.onSwap = func(c keys.Change, commit func() error) error {
					if asked = true; !c.Deadline.IsZero() {
						t.Errorf("the deadline is %v", c.Deadline)
					}
					return commit()
				}
			})
			must(t, r.Revoke(t.Context(), first.Keyset().Keys[0].KeyID(), keys.StepRequest{}))
			if !asked {
				t.Error("nothing was committed")
			}
		})
	}
}

// landLateWhile has a process run while another one rotates, which lands late by 5s.
func (b *bubble) landLateWhile(t *testing.T, open opener) (reader *keys.Ring, late keys.Keyset) {
	t.Helper()
	r := b.create(t, time.Minute)
	o := b.o
	o.Store = b.store.Store // without the hook
	reader, err := open(t.Context(), o)
	must(t, err)
	startRun(t, reader)
	b.store.hook(func(s *hookedStore) {
		s.onSwap = func(c keys.Change, _ func() error) error {
			time.Sleep(time.Until(c.Deadline) + 5*time.Second)
			c.Deadline = time.Time{}
			return b.store.Store.Swap(t.Context(), c)
		}
	})
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	late = r.Keyset()
	time.Sleep(time.Second)
	synctest.Wait()
	b.log.want(t, 1, "a write landed late")
	return reader, late
}

// Run corrects a late landing at once, although no step is due.
func TestRunCorrectsALateLanding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader, late := newBubble(t).landLateWhile(t, keys.Open)
		moved := reader.Keyset().Keys[0].ExpiresAt.Sub(late.Keys[0].ExpiresAt)
		if reader.Keyset().Version != late.Version+1 || moved < 3*time.Second || moved > 5*time.Second {
			t.Errorf("version %d after %d; expires_at moved by %v", reader.Keyset().Version, late.Version, moved)
		}
	})
}

func TestAProcessThatOnlyPublishesRaisesTheAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader, late := newBubble(t).landLateWhile(t, keys.OpenReader)
		if s := reader.Status(); s.LateLandings != 1 || s.Keyset.Version != late.Version {
			t.Errorf("%d late landings, version %d after %d", s.LateLandings, s.Keyset.Version, late.Version)
		}
	})
}

// The versions of another keyset say nothing about those that the process has read.
func TestAnotherKeysetDidNotLandLate(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	old := f.store.Store
	f.store.Store = memory.New(f.clock.Now)
	other := f.create(t)
	must(t, other.Rotate(t.Context(), keys.StepRequest{}))
	replacement := f.store.Store
	f.store.Store = old
	f.clock.Advance(time.Minute)
	must(t, r.Refresh(t.Context())) // after the deadline of the other keyset's version 2
	f.store.Store = replacement
	must(t, r.Refresh(t.Context()))
	if n := r.Status().LateLandings; n != 0 || r.Keyset().ID != other.Keyset().ID {
		t.Errorf("%d late landings", n)
	}
}
