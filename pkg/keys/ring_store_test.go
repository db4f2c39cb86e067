package keys_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

var errRefused = &keys.StoreError{Problem: "the store refuses the password", Err: errors.New("10.0.0.7: role app")}

func TestStatusNamesTheProblemOfTheStore(t *testing.T) {
	f := newFixture(t)
	r := f.create(t)
	status := func(want error, problem string) {
		t.Helper()
		_ = r.Refresh(t.Context()) // Status has its error
		s := r.Status()
		if !errors.Is(s.StoreError, want) || (want == nil) != (s.StoreError == nil) || s.StoreProblem() != problem {
			t.Errorf("StoreError = %v, problem %q, want %v, %q", s.StoreError, s.StoreProblem(), want, problem)
		}
		if err := s.Ready(); err != nil {
			t.Errorf("within max_staleness, Ready = %v", err)
		}
	}
	status(nil, "")
	for _, tt := range []struct {
		err     error
		problem string
	}{
		{errRefused, errRefused.Problem},
		{errDown, "the store cannot be read"},
		{keys.ErrNoKeyset, "the store is empty"},
		{context.DeadlineExceeded, "the store does not answer"},
	} {
		f.store.hook(func(s *hookedStore) { s.onLoad = func() error { return tt.err } })
		status(tt.err, tt.problem)
	}
	f.store.hook(func(s *hookedStore) { s.onLoad = func() error { return context.Canceled } })
	status(context.DeadlineExceeded, "the store does not answer") // a read that was given up says nothing
	f.store.hook(func(s *hookedStore) { s.onLoad = nil })
	status(nil, "")
}

func TestStatusNamesTheProblemOfAWrite(t *testing.T) {
	f := newFixture(t)
	r, other := f.create(t), f.other(t)
	want := func(err error, problem string) {
		t.Helper()
		must(t, r.Refresh(t.Context()))
		if s := r.Status(); !errors.Is(s.WriteError, err) || (err == nil) != (s.WriteError == nil) || s.StoreProblem() != problem {
			t.Errorf("WriteError = %v, problem %q, want %v, %q", s.WriteError, s.StoreProblem(), err, problem)
		}
	}
	fail := func(err error) {
		t.Helper()
		f.store.hook(func(s *hookedStore) { s.onSwap = func(keys.Change, func() error) error { return err } })
		if err := r.Rotate(t.Context(), keys.StepRequest{Force: true}); !errors.Is(err, keys.ErrUnavailable) || strings.Count(err.Error(), keys.ErrUnavailable.Error()) != 1 {
			t.Errorf("Rotate = %v", err)
		}
	}
	full := &keys.StoreError{Problem: "the disk of the store is full", Err: errDown}
	fail(full)
	want(full, full.Problem)
	must(t, other.Rotate(t.Context(), keys.StepRequest{Force: true})) // another process can write again
	want(nil, "")
	fail(errDown)
	want(errDown, "the store cannot be written")
	fail(keys.ErrTooLate) // of the same version: it may be late because the one before keeps the store locked
	want(errDown, "the store cannot be written")
	must(t, other.Rotate(t.Context(), keys.StepRequest{Force: true}))
	want(nil, "")
	fail(keys.ErrTooLate)
	want(keys.ErrTooLate, "the store is too slow to write")
	f.store.hook(func(s *hookedStore) { s.onSwap = nil })
	must(t, r.Rotate(t.Context(), keys.StepRequest{Force: true}))
	want(nil, "")
}

// The log names each problem once until the store has recovered.
func TestRunLogsEachProblemOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		r := b.create(t, 24*time.Hour)
		startRun(t, r)
		n := 0
		b.store.hook(func(s *hookedStore) {
			s.onLoad = func() error {
				if n++; n%2 == 0 {
					return errRefused
				}
				return &keys.StoreError{Problem: "the store does not answer", Err: fmt.Errorf("attempt %d", n)}
			}
		})
		time.Sleep(20 * time.Second)
		synctest.Wait()
		b.log.want(t, 1, `"msg":"keyset refresh failed"`, "refuses the password")
		b.log.want(t, 1, `"msg":"keyset refresh failed"`, "does not answer")
		b.store.hook(func(s *hookedStore) { s.onLoad = nil })
		time.Sleep(2 * time.Second)
		synctest.Wait()
		b.log.want(t, 1, `"msg":"keyset refresh recovered"`)
		b.store.hook(func(s *hookedStore) { s.onLoad = func() error { return errRefused } })
		time.Sleep(2 * time.Second)
		synctest.Wait()
		b.log.want(t, 2, `"msg":"keyset refresh failed"`, "refuses the password")
	})
}

// silentStore answers no call that begins while it is silent, until the call's context
// ends.
type silentStore struct {
	keys.Store
	silent atomic.Bool
	calls  atomic.Int64
}

func (s *silentStore) wait(ctx context.Context) error {
	if !s.silent.Load() {
		return nil
	}
	s.calls.Add(1)
	<-ctx.Done()
	return ctx.Err()
}

func (s *silentStore) Load(ctx context.Context) (keys.Record, error) {
	if err := s.wait(ctx); err != nil {
		return keys.Record{}, err
	}
	return s.Store.Load(ctx)
}

func (s *silentStore) Swap(ctx context.Context, c keys.Change) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	return s.Store.Swap(ctx, c)
}

func (s *silentStore) Wait(context.Context, uint64) error {
	s.calls.Add(1)
	return errDown
}

// With the default max_staleness of an hour, a read that hangs must not keep a process
// from the revocations that the next read would show.
func TestRunGivesUpAReadThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.create(t, 24*time.Hour)
		silent := &silentStore{Store: b.store}
		b.o.Store = silent
		r, err := keys.Open(t.Context(), b.o)
		must(t, err)
		silent.silent.Store(true)
		startRun(t, r)
		time.Sleep(5 * time.Second)
		silent.silent.Store(false)
		time.Sleep(7 * time.Second)
		synctest.Wait()
		if age := r.Status().Age; age > time.Second {
			t.Errorf("confirmed %v ago, though the store has answered for 7s", age)
		}
	})
}

// The view is stale after D to the second, however the store hangs, and not a second
// longer than the store does.
func TestViewOfAStoreThatHangsIsStaleAfterD(t *testing.T) {
	for _, interval := range []time.Duration{10 * time.Second, 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			b := newBubble(t)
			b.create(t, interval)
			silent := &silentStore{Store: b.store}
			b.o.Store = silent
			r, err := keys.Open(t.Context(), b.o)
			must(t, err)
			d := r.Policy().MaxStaleness
			silent.silent.Store(true)
			startRun(t, r)
			time.Sleep(d)
			wantSigns(t, r)
			time.Sleep(time.Nanosecond)
			if _, err := r.Published(); !errors.Is(err, keys.ErrStale) {
				t.Errorf("max_staleness %v: after that time, Published = %v", d, err)
			}
			if got := r.Status().StoreProblem(); got != "the store does not answer" {
				t.Errorf("problem %q", got)
			}
			time.Sleep(time.Minute)
			silent.silent.Store(false)
			time.Sleep(11 * time.Second)
			wantSigns(t, r)
		})
	}
}

// A store that fails every Wait at once is polled, and not asked for hints in a loop.
func TestFailingHintsDoNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.create(t, 24*time.Hour)
		silent := &silentStore{Store: b.store}
		b.o.Store = silent
		r, err := keys.Open(t.Context(), b.o)
		must(t, err)
		startRun(t, r)
		time.Sleep(10 * time.Second)
		if n := silent.calls.Load(); n < 5 || n > 12 {
			t.Errorf("%d hints were asked for in 10s, want about one a second", n)
		}
	})
}

// A command does not hang on a store that does not answer.
func TestChangeGivesUpOnAStoreThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.create(t, 24*time.Hour)
		silent := &silentStore{Store: b.store}
		b.o.Store = silent
		r, err := keys.Open(t.Context(), b.o)
		must(t, err)
		silent.silent.Store(true)
		start := time.Now()
		err = r.Rotate(t.Context(), keys.StepRequest{Force: true})
		if took := time.Since(start); took > 12*time.Second || !errors.Is(err, keys.ErrUnavailable) || strings.Count(fmt.Sprint(err), "the store does not answer") != 1 || strings.Count(err.Error(), keys.ErrUnavailable.Error()) != 1 {
			t.Errorf("Rotate = %v after %v", err, took)
		}
	})
}

// Creation does not go on for ever in a store that can be read and not written.
func TestCreateGivesUpOnAStoreThatCannotBeWritten(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		most int
	}{
		"read-only": {errDown, 3}, "no answer": {context.DeadlineExceeded, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			writes := 0
			f.store.hook(func(s *hookedStore) {
				s.onSwap = func(keys.Change, func() error) error { writes++; return tt.err }
			})
			_, err := createDaily(t.Context(), f.options())
			if !errors.Is(err, keys.ErrUnavailable) || !errors.Is(err, tt.err) || writes > tt.most {
				t.Errorf("Create = %v after %d writes", err, writes)
			}
		})
	}
}
