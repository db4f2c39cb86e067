package memory_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/memory"
	"github.com/jwksctl/jwksctl/pkg/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) func() keys.Store {
		s := memory.New(time.Now)
		return func() keys.Store { return s }
	})
}

func TestWaitBlocksUntilTheSwap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(time.Now)
		woken := make(chan error, 1)
		go func() { woken <- s.Wait(t.Context(), 0) }()
		synctest.Wait()
		select {
		case err := <-woken:
			t.Fatalf("Wait returned %v before anything changed", err)
		default:
		}
		if err := s.Swap(t.Context(), keys.Change{Document: []byte("one")}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		select {
		case err := <-woken:
			if err != nil {
				t.Errorf("Wait = %v", err)
			}
		default:
			t.Error("Wait still blocks after a swap")
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		err := memory.New(time.Now).Wait(ctx, 0)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Hour {
			t.Errorf("Wait = %v after %v", err, time.Since(start))
		}
	})
}

func TestDeadlineIsReadFromTheGivenClock(t *testing.T) {
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	s := memory.New(func() time.Time { return at })
	for _, tt := range []struct {
		deadline time.Time
		want     error
	}{
		{at.Add(-time.Nanosecond), keys.ErrTooLate},
		{at, keys.ErrTooLate},
		{at.Add(time.Nanosecond), nil},
	} {
		err := s.Swap(t.Context(), keys.Change{Document: []byte("one"), Deadline: tt.deadline})
		if !errors.Is(err, tt.want) {
			t.Errorf("Swap with a deadline %v after now = %v, want %v", tt.deadline.Sub(at), err, tt.want)
		}
	}
}
