package keys_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// reports collects what Options.Changed is told: the versions before and after, and the
// steps.
type reports struct{ all []string }

func (r *reports) changed(_ context.Context, before, after keys.Keyset, steps []keys.Event) {
	text := fmt.Sprintf("%d-%d", before.Version, after.Version)
	for _, s := range steps {
		text += " " + string(s.Step)
	}
	r.all = append(r.all, text)
}

func (r *reports) want(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, r.all); diff != "" {
		t.Errorf("Changed is told (-want +got):\n%s", diff)
	}
	r.all = nil
}

// reported is a ring that reports.
func (f *fixture) reported(t *testing.T) (*keys.Ring, *reports) {
	t.Helper()
	var r reports
	o := f.options()
	o.Changed = r.changed
	ring, err := createDaily(t.Context(), o)
	must(t, err)
	return ring, &r
}

func TestChangedIsToldOfEachChange(t *testing.T) {
	f := newFixture(t)
	r, reports := f.reported(t)
	reports.want(t, "0-1 create")
	must(t, r.Rotate(t.Context(), keys.StepRequest{}))
	reports.want(t, "1-2 activate publish")
	_, err := r.SetPolicy(t.Context(), keys.Settings{TokenTTL: time.Minute})
	must(t, err)
	reports.want(t, "2-3 policy")
	_, err = r.SetPolicy(t.Context(), keys.Settings{TokenTTL: time.Minute})
	must(t, err)
	must(t, r.Step(t.Context()))
	reports.want(t) // nothing changed
	pending, _ := r.Keyset().Pending()
	must(t, r.Revoke(t.Context(), pending.KeyID(), keys.StepRequest{}))
	reports.want(t, "3-4 revoke", "4-5 publish")
	must(t, f.other(t).Revoke(t.Context(), r.Keyset().Keys[0].KeyID(), keys.StepRequest{Force: true}))
	must(t, r.Refresh(t.Context()))
	reports.want(t) // another process did that
}

func TestChangedIsToldOfAnAmbiguousCommit(t *testing.T) {
	f := newFixture(t)
	f.ambiguousCommit()
	r, reports := f.reported(t)
	reports.want(t, "0-1 create")
	f.ambiguousCommit()
	must(t, r.Rotate(t.Context(), keys.StepRequest{Force: true}))
	reports.want(t, "1-2 activate publish")
	if s := r.Status(); s.Steps[keys.StepCreate] != 1 || s.Steps[keys.StepActivate] != 1 {
		t.Errorf("counted %v", s.Steps)
	}
	f.log.want(t, 1, "keyset changed", "activate")
}

// The store fails also when the command asks what has become of its change.
func TestChangedIsToldLater(t *testing.T) {
	for _, tt := range []struct {
		name string
		then func(t *testing.T, f *fixture) // what happens until the ring reads the store again
	}{
		{"at the next refresh", func(*testing.T, *fixture) {}},
		{"after another change", func(t *testing.T, f *fixture) {
			must(t, f.other(t).Rotate(t.Context(), keys.StepRequest{}))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			r, reports := f.reported(t)
			reports.all = nil
			f.store.hook(func(s *hookedStore) {
				s.onSwap = func(_ keys.Change, commit func() error) error {
					must(t, commit())
					s.onLoad = func() error { return errDown }
					return errDown
				}
			})
			if _, err := r.SetPolicy(t.Context(), keys.Settings{TokenTTL: time.Minute}); !errors.Is(err, keys.ErrUnavailable) {
				t.Fatalf("got %v", err)
			}
			reports.want(t)
			f.store.hook(func(s *hookedStore) { s.onLoad, s.onSwap = nil, nil })
			tt.then(t, f)
			must(t, r.Refresh(t.Context()))
			reports.want(t, "1-2 policy")
			must(t, r.Refresh(t.Context()))
			reports.want(t)
		})
	}
}

// A change that was not committed is not reported, also if another process then made the
// version that it would have made.
func TestChangedIsNotToldOfALostChange(t *testing.T) {
	changePolicy := func(t *testing.T, r *keys.Ring) error {
		_, err := r.SetPolicy(t.Context(), keys.Settings{TokenTTL: time.Minute})
		return err
	}
	rotate := func(t *testing.T, r *keys.Ring) error { return r.Rotate(t.Context(), keys.StepRequest{Force: true}) }
	for _, tt := range []struct {
		name  string
		lost  func(*testing.T, *keys.Ring) error
		later time.Duration // until the changes of the other process
	}{
		{"rotate", rotate, time.Second},
		{"rotate, and another process at the same time", rotate, 0},
		{"policy", changePolicy, time.Second},
	} {
		for versions := range 3 { // that the other process makes
			t.Run(fmt.Sprintf("%s, %d versions", tt.name, versions), func(t *testing.T) {
				f := newFixture(t)
				r, reports := f.reported(t)
				reports.all = nil
				f.store.hook(func(s *hookedStore) {
					s.onSwap = func(keys.Change, func() error) error { return errDown }
				})
				if err := tt.lost(t, r); !errors.Is(err, keys.ErrUnavailable) {
					t.Fatalf("got %v", err)
				}
				f.store.hook(func(s *hookedStore) { s.onSwap = nil })
				f.clock.Advance(tt.later)
				for range versions {
					must(t, f.other(t).Rotate(t.Context(), keys.StepRequest{Force: true}))
				}
				must(t, r.Refresh(t.Context()))
				reports.want(t)
				must(t, rotate(t, r))
				reports.want(t, fmt.Sprintf("%d-%d activate publish", versions+1, versions+2))
			})
		}
	}
}

// Two processes decide the same at the same time: the one that lost the swap reports
// nothing.
func TestChangedIsNotToldOfAConflict(t *testing.T) {
	f := newFixture(t)
	r, reports := f.reported(t)
	reports.all = nil
	other := f.other(t)
	f.store.hook(func(s *hookedStore) {
		s.onSwap = func(_ keys.Change, commit func() error) error {
			_, err := other.SetPolicy(t.Context(), keys.Settings{TokenTTL: time.Minute})
			return errors.Join(err, commit())
		}
	})
	_, err := r.SetPolicy(t.Context(), keys.Settings{TokenTTL: time.Minute})
	must(t, err)
	reports.want(t)
}

// A commit may become visible after the store was read again.
func TestChangedIsToldOfALateCommit(t *testing.T) {
	f := newFixture(t)
	r, reports := f.reported(t)
	reports.all = nil
	var land func() error
	f.store.hook(func(s *hookedStore) {
		s.onSwap = func(c keys.Change, _ func() error) error {
			if land == nil {
				land = func() error { return s.Store.Swap(t.Context(), c) }
			}
			return errDown
		}
	})
	if err := r.Rotate(t.Context(), keys.StepRequest{}); !errors.Is(err, keys.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	must(t, r.Refresh(t.Context()))
	reports.want(t)
	must(t, land())
	must(t, r.Refresh(t.Context()))
	reports.want(t, "1-2 activate publish")
}
