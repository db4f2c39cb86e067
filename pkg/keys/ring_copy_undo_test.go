package keys_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/store/memory"
	"github.com/jwksctl/jwksctl/pkg/store/witness"
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
		if _, err := m.copies(t.Context()); err == nil || !strings.Contains(err.Error(), "stop every server of the target and empty it") {
			t.Errorf("Copy = %v, want that the copy must not be used", err)
		}
	})
}

// The target is lost after a key was revoked there. Each machine of that store has seen
// the revocation.
func TestNoRevokedKeyComesBackFromTheOldStore(t *testing.T) {
	for name, again := range map[string]func(t *testing.T, from, to keys.Options) error{
		"copy": func(t *testing.T, from, to keys.Options) error {
			return errorOf(keys.Copy(t.Context(), from, to, targetName))
		},
		"undo": func(t *testing.T, from, to keys.Options) error {
			return keys.UndoCopy(t.Context(), from, to, targetName)
		},
	} {
		for _, both := range []bool{false, true} { // whether the store to copy from has the same witness
			synctest.Test(t, func(t *testing.T) {
				m := newMoving(t)
				from, to := m.options(), m.atTarget()
				to.Witness = witness.Folder(t.TempDir())
				if both {
					from.Witness = to.Witness
				}
				revoked := result(createDaily(t.Context(), from))(t).Keyset().Active().KeyID()
				must(t, errorOf(keys.Copy(t.Context(), from, to, targetName)))
				there := result(keys.Open(t.Context(), to))(t)
				must(t, there.Revoke(t.Context(), revoked, keys.StepRequest{Force: true}))
				must(t, there.Refresh(t.Context()))
				before := result(m.store.Load(t.Context()))(t)

				lost := to
				lost.Store = memory.New(m.clock.Now)
				err := again(t, from, lost)
				wantGuard(t, name, err, keys.GuardRestored)
				if err == nil || !strings.Contains(err.Error(), "restore a backup of that store") || !strings.Contains(err.Error(), "accept-restore") {
					t.Errorf("%s = %v, want what to do", name, err)
				}
				if _, err := lost.Store.Load(t.Context()); !errors.Is(err, keys.ErrNoKeyset) {
					t.Errorf("%s: the target has a keyset again: %v", name, err)
				}
				if after := result(m.store.Load(t.Context()))(t); after.Version != before.Version {
					t.Errorf("%s changed the old store", name)
				}
				if name == "copy" { // the copy is complete as long as the target has it
					must(t, again(t, from, to))
				}
			})
		}
	}
}

// A copy is run again after another command, which undoes it, has found the target empty.
func TestAnUndoAndACopyDoNotBothSucceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMoving(t)
		m.create(t)
		m.interrupt(t)
		m.store.hook(func(s *hookedStore) { // the undo has found the target empty
			s.onSwap = func(_ keys.Change, commit func() error) error {
				m.store.hook(func(s *hookedStore) { s.onSwap = nil })
				must(t, errorOf(m.copies(t.Context())))
				return commit()
			}
		})
		err := m.undo(t.Context())
		if !errors.Is(err, keys.ErrUnavailable) || !strings.Contains(err.Error(), "run the same command again") {
			t.Errorf("UndoCopy = %v, want that it is run again", err)
		}
		wantGuard(t, "the old store", errorOf(keys.Read(t.Context(), m.options())), keys.GuardMoved)
		wantGuard(t, "UndoCopy again", m.undo(t.Context()), keys.GuardMoved)
		wantSigns(t, result(keys.Open(t.Context(), m.atTarget()))(t))
	})
}

// An undo waits for a write that was decided when the keyset was marked.
func TestTheWriteOfACopyHasTheDeadlineOfItsMark(t *testing.T) {
	m := newMoving(t)
	m.create(t)
	var deadlines []time.Time
	for _, s := range []*hookedStore{m.store, m.target} {
		s.hook(func(s *hookedStore) {
			s.onSwap = func(c keys.Change, commit func() error) error {
				deadlines = append(deadlines, c.Deadline)
				m.clock.Advance(time.Second)
				return commit()
			}
		})
	}
	must(t, errorOf(m.copies(t.Context())))
	if len(deadlines) != 2 || deadlines[0].IsZero() || !deadlines[0].Equal(deadlines[1]) {
		t.Errorf("deadlines %v, want that of the mark twice", deadlines)
	}
}
