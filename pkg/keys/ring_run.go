package keys

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// longestPoll is the longest a running process goes without asking the store,
// which bounds how late it learns of a change when the store's hint is lost.
const longestPoll = time.Second

// Run keeps the view confirmed and takes the timed steps, until ctx is done. It
// waits for the store's hint, and asks the store at least once a second and
// three times in max_staleness. Trouble is logged when it begins and when it
// ends, not each time it is met.
func (r *Ring) Run(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	hints := make(chan struct{}, 1)
	made := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.listen(ctx, hints)
	}()
	defer func() {
		stop()
		<-done
	}()
	edges := edges{ring: r}
	for making := false; ; {
		edges.note(ctx, "keyset", r.turn(ctx))
		status := r.Status()
		edges.note(ctx, "readiness", status.Ready())
		edges.note(ctx, "rotation", status.overdue())
		if status.Clock != nil { // a nil *Refusal is no nil error
			edges.note(ctx, "clock", status.Clock)
		} else {
			edges.note(ctx, "clock", nil)
		}
		if !making && r.wantsSpare() {
			making = true
			go r.makeSpare(ctx, made)
		}
		timer := time.NewTimer(r.pause())
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-hints:
		case <-timer.C:
		case err := <-made:
			edges.note(ctx, "spare key", err)
			making = false
		}
		timer.Stop()
	}
}

// turn is one round of the loop. It never makes a key itself: that would keep
// the view from being confirmed for as long as it takes.
func (r *Ring) turn(ctx context.Context) error {
	poll, cancel := context.WithTimeout(ctx, r.timeout())
	defer cancel()
	if err := r.Refresh(poll); err != nil {
		return err
	}
	ks, now := r.Keyset(), r.watch.read().wall
	if _, has := r.spare.get(ks.Policy); !due(ks.Next(), now) || (due(ks.NewKeyNeededAt(), now) && !has) {
		return nil
	}
	return r.Step(poll)
}

// timeout is how long one round may wait for the store: short enough that
// there are several tries before the view is stale.
func (r *Ring) timeout() time.Duration { return r.Policy().MaxStaleness / 3 }

// pause is how long the loop rests if nothing happens. Timed steps come with a
// little jitter, so that processes do not meet at the swap each time.
func (r *Ring) pause() time.Duration {
	ks, now := r.Keyset(), r.watch.read().wall
	wait := min(longestPoll, r.timeout())
	if next := ks.Next(); !next.IsZero() && next.After(now) {
		jitter := rand.N(ks.Policy.ClockSkew/4 + 1) //nolint:gosec // spreads load, guards nothing
		wait = min(wait, next.Sub(now)+jitter)
	}
	return wait
}

// wantsSpare tells whether a key will be needed soon.
func (r *Ring) wantsSpare() bool {
	ks := r.Keyset()
	at := ks.NewKeyNeededAt()
	lead := min(time.Minute, ks.Policy.RotationInterval/4)
	_, has := r.spare.get(ks.Policy)
	return !has && due(at, r.watch.read().wall.Add(lead))
}

// makeSpare makes a key, which cannot be interrupted. It is slow to report a
// failure, so that it is not tried again at once.
func (r *Ring) makeSpare(ctx context.Context, made chan<- error) {
	_, err := r.spare.take(r.Policy(), r.generate)
	if err != nil {
		rest(ctx, longestPoll)
	}
	made <- err
}

// rest is the pause after something that must not repeat itself at once.
func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// listen passes on the store's hints.
func (r *Ring) listen(ctx context.Context, hints chan<- struct{}) {
	for ctx.Err() == nil {
		version := r.Keyset().Version
		if err := r.store.Wait(ctx, version); err != nil {
			rest(ctx, longestPoll) // the loop asks the store by itself; try the hints again later
			continue
		}
		moved := r.moved.wait()
		select {
		case hints <- struct{}{}:
		default:
		}
		select { // until the loop has looked, the hint would only repeat itself
		case <-ctx.Done():
		case <-moved:
		}
		if r.Keyset().Version == version {
			rest(ctx, longestPoll/10) // a hint may come too early, but it must not hurry the loop
		}
	}
}

// edges logs what changed for the worse or the better since it looked last.
type edges struct {
	ring *Ring
	was  map[string]string
}

func (e *edges) note(ctx context.Context, what string, err error) {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return
	}
	if e.was == nil {
		e.was = map[string]string{}
	}
	kind := kindOf(err)
	if e.was[what] == kind {
		return
	}
	e.was[what] = kind
	if err != nil {
		e.ring.log.ErrorContext(ctx, "trouble", "with", what, "error", err.Error())
	} else {
		e.ring.log.InfoContext(ctx, "well again", "what", what)
	}
}

// kindOf tells troubles apart without what differs from one try to the next.
func kindOf(err error) string {
	if err == nil {
		return ""
	}
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		return string(refusal.Guard)
	}
	for _, known := range []error{errOverdue, ErrStale, ErrUnavailable, ErrUnreadable, ErrSealingKey, ErrDocument} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return err.Error()
}
