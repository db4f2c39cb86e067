package memory_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/memory"
	"github.com/jwksctl/jwksctl/pkg/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		s := memory.New(time.Now)
		return storetest.Fixture{
			Open: func() keys.Store { return s },
			Backup: func() func() {
				backup := copyStore(t, s)
				return func() { s = backup }
			},
		}
	})
}

// copyStore returns another store with the same content.
func copyStore(t *testing.T, s *memory.Store) *memory.Store {
	t.Helper()
	record, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kids, err := s.PrivateKeyIDs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := keys.Change{Document: record.Document, First: record.Version, Put: map[string][]byte{}}
	for _, kid := range kids {
		if c.Put[kid], err = s.PrivateKey(t.Context(), kid); err != nil {
			t.Fatal(err)
		}
	}
	backup := memory.New(time.Now)
	if err := backup.Swap(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return backup
}

func TestWaitBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(time.Now)
		returned := make(chan error, 1)
		go func() { returned <- s.Wait(t.Context(), 0) }()
		synctest.Wait()
		select {
		case err := <-returned:
			t.Fatalf("Wait = %v before a swap", err)
		default:
		}
		if err := s.Swap(t.Context(), keys.Change{Document: []byte("one")}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		select {
		case err := <-returned:
			if err != nil {
				t.Errorf("Wait = %v", err)
			}
		default:
			t.Error("Wait still blocks after a swap")
		}
	})
}

func TestDeadline(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	s := memory.New(func() time.Time { return now })
	for _, tt := range []struct {
		deadline time.Time
		want     error
	}{
		{now.Add(-time.Nanosecond), keys.ErrTooLate},
		{now, keys.ErrTooLate},
		{now.Add(time.Nanosecond), nil},
	} {
		err := s.Swap(t.Context(), keys.Change{Document: []byte("one"), Deadline: tt.deadline})
		if !errors.Is(err, tt.want) {
			t.Errorf("Swap with a deadline %v after now = %v, want %v", tt.deadline.Sub(now), err, tt.want)
		}
	}
}
