package keys_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

func TestStatusCountsTheStepsOfOtherProcesses(t *testing.T) {
	f := newFixture(t)
	r, other := f.create(t), f.other(t)
	status := func(rotations, revocations uint64) {
		t.Helper()
		must(t, r.Refresh(t.Context()))
		if s := r.Status(); s.Rotations != rotations || s.Revocations != revocations {
			t.Errorf("%d rotations and %d revocations, want %d and %d", s.Rotations, s.Revocations, rotations, revocations)
		}
	}
	status(0, 0)
	first := other.Keyset().Active().KeyID()
	rotate(t)(other)
	status(1, 0)
	status(1, 0)
	revoke(t, first, "leaked")(other) // it is retired
	status(1, 1)
	must(t, other.Rotate(t.Context(), keys.StepRequest{Force: true})) // both before the ring refreshes
	must(t, other.Revoke(t.Context(), other.Keyset().Active().KeyID(), keys.StepRequest{Force: true}))
	status(3, 2)
	must(t, r.Rotate(t.Context(), keys.StepRequest{Force: true}))
	status(4, 2)
	if s := f.other(t).Status(); s.Rotations != 0 || s.Revocations != 0 {
		t.Errorf("a new process counts %d rotations and %d revocations", s.Rotations, s.Revocations)
	}
}

func TestStatusOfAnOverdueRotation(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	for _, tt := range []struct{ advance, overdue time.Duration }{
		{24*time.Hour - time.Second, 0}, {time.Second, 0}, {time.Minute, time.Minute},
	} {
		f.clock.Advance(tt.advance)
		if s := r.Status(); s.Overdue != tt.overdue {
			t.Errorf("Overdue = %v, want %v", s.Overdue, tt.overdue)
		}
	}
	must(t, r.Step(t.Context()))
	if s := r.Status(); s.Overdue != 0 || s.Rotations != 1 {
		t.Errorf("after the rotation: Overdue = %v, %d rotations", s.Overdue, s.Rotations)
	}
}

func TestAnOverdueRotationIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		r := b.create(t, time.Minute)
		b.store.hook(func(s *hookedStore) { s.onSwap = func(keys.Change, func() error) error { return errDown } })
		startRun(t, r)
		time.Sleep(time.Minute + 4*time.Second)
		synctest.Wait()
		b.log.want(t, 0, "rotation is overdue") // a step may be a little late
		time.Sleep(time.Minute)
		synctest.Wait()
		b.log.want(t, 1, `"msg":"rotation failed"`, "rotation is overdue")
		b.store.hook(func(s *hookedStore) { s.onSwap = nil })
		time.Sleep(5 * time.Second)
		synctest.Wait()
		b.log.want(t, 1, `"msg":"rotation recovered"`)
	})
}
