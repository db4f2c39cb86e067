package keys

import (
	"context"
	"slices"
	"time"
)

// lastConfirmed is the time at which the process confirmed a view last, as far as the
// next view can tell: the store's time of that read, and the time before the read was
// sent, by this machine's clock as it was then and as it is now. The earliest of these
// counts, because a clock that was far ahead must not prove anything.
//
// This machine's clock may be up to e/2 ahead of the writer's, so that a write that
// landed in time can look late if the store has no clock. The time is still the right one
// to move stamps by. A stamp has to be right for a process that acts on this view for D,
// by any clock that is up to e/2 ahead of this one; and that e/2 is in every stamp, beside
// the e/2 until the deadline.
func (v *view) lastConfirmed(next *view) time.Time {
	now := next.confirmedAt
	own := earliest(v.confirmedAt.safe, now.safe.Add(v.confirmedAt.up-now.up))
	return earliest(v.storeTime.at, own)
}

// lateLandings lists what the document of the next view has yet to allow for. It raises
// an alarm if that document proves a late landing; a process that only publishes does
// nothing else about it. If the process has skipped versions,
// the first of them counts: the others were made by processes that knew that one.
func (r *Ring) lateLandings(ctx context.Context, old, next *view) []lateLanding {
	if old == nil || old.ks.ID != next.ks.ID {
		return nil
	}
	late := slices.Clone(old.late)
	l := lateLanding{old.ks, old.lastConfirmed(next)}
	if w, ok := next.ks.write(l.version()); ok && w.landedLate(l.confirmed) {
		r.counters.countLateLanding()
		r.log.ErrorContext(ctx, "a write landed late", "version", w.Version,
			"deadline", w.Deadline.UTC().Format(time.RFC3339Nano), "late_by_at_least", l.confirmed.Sub(w.Deadline).String())
		late = append(late, l)
	}
	return slices.DeleteFunc(late, func(l lateLanding) bool { return l.corrected(next.ks) })
}

// postponeStamps commits the correction of late landings, if there are any. No clock
// can keep it from doing so.
func (r *Ring) postponeStamps(ctx context.Context) error {
	if len(r.view.Load().late) == 0 {
		return nil
	}
	return r.change(ctx, noKeys, clockAny, func(ks Keyset, _ time.Time, _ StepInput) (Keyset, Effect, error) {
		return ks, Effect{}, nil
	})
}

// postpone tries once to commit the correction of a view's late landings. The write has
// no deadline: no stamp that it moves depends on when it lands.
func (r *Ring) postpone(ctx context.Context, v *view) error {
	next, effect := v.ks.postpone(v.late)
	return r.swap(ctx, v.ks, next, effect, nil, time.Time{})
}
