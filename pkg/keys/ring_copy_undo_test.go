package keys_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

func TestUndoCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMoving(t)
		r := m.create(t)
		wantGuard(t, "UndoCopy of no copy", m.undo(t.Context()), keys.GuardMoved)

		m.interrupt(t)
		wantGuard(t, "the old store", r.Refresh(t.Context()), keys.GuardMoved)
		m.target.hook(func(s *hookedStore) { s.onLoad = func() error { return errDown } })
		if err := m.undo(t.Context()); !errors.Is(err, keys.ErrUnavailable) {
			t.Errorf("UndoCopy while the target is away = %v", err)
		}
		m.target.hook(func(s *hookedStore) { s.onLoad = nil })
		wantGuard(t, "UndoCopy of another copy", keys.UndoCopy(t.Context(), m.options(), m.atTarget(), "etcd://other"), keys.GuardMoved)
		began := time.Now()
		must(t, m.undo(t.Context()))
		if waited := time.Since(began); waited < r.Policy().ClockSkew {
			t.Errorf("UndoCopy waited for %v only: a late write could land", waited)
		}
		must(t, r.Rotate(t.Context(), keys.StepRequest{}))

		must(t, errorOf(m.copies(t.Context())))
		wantGuard(t, "UndoCopy of a complete copy", m.undo(t.Context()), keys.GuardMoved)
		wantGuard(t, "the old store", r.Refresh(t.Context()), keys.GuardMoved)
	})
}

// The copy is undone while the process that makes it is suspended.
func TestACopyThatWasUndoneIsNotReportedAsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMoving(t)
		m.create(t)
		m.target.hook(func(s *hookedStore) {
			s.onSwap = func(_ keys.Change, commit func() error) error {
				must(t, m.undo(t.Context()))
				return commit()
			}
		})
		if _, err := m.copies(t.Context()); err == nil || !strings.Contains(err.Error(), "do not use the copy") {
			t.Errorf("Copy = %v, want that the copy must not be used", err)
		}
	})
}
