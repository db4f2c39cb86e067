package keys

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"
)

// longestPoll is the longest time between two reads of the store by a running
// process. It bounds how late the process sees a change if the store's hint is lost.
const longestPoll = time.Second

// Run keeps the view confirmed and takes the timed steps, until ctx is done. It waits
// for the store's hint, and reads the store at least once a second and three times in
// max_staleness. It logs when something begins to fail and when it has recovered, not
// every failure in between.
func (r *Ring) Run(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	hints := make(chan struct{}, 1)
	generated := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.forwardHints(ctx, hints)
	}()
	defer func() {
		stop()
		<-done
	}()
	log := failureLog{ring: r, last: map[string][]string{}}
	for generating := false; ; {
		refreshed, stepped := r.refreshAndStep(ctx)
		log.note(ctx, "keyset refresh", refreshed)
		if refreshed == nil {
			log.note(ctx, "timed step", stepped)
		}
		status := r.Status()
		log.note(ctx, "signing", status.Ready())
		log.note(ctx, "rotation", status.overdue())
		if status.Clock != nil { // as an error, a nil *Refusal would not be nil
			log.note(ctx, "clock", status.Clock)
		} else {
			log.note(ctx, "clock", nil)
		}
		if !generating && r.needsSpareKey() {
			generating = true
			go r.generateSpareKey(ctx, generated)
		}
		timer := time.NewTimer(r.untilNextPoll())
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-hints:
		case <-timer.C:
		case err := <-generated:
			log.note(ctx, "key generation", err)
			generating = false
		}
		timer.Stop()
	}
}

// refreshAndStep is one round of the loop: a refresh and, if that succeeded, the steps
// that are due. It never generates a key, because the view would not be confirmed
// during that time.
func (r *Ring) refreshAndStep(ctx context.Context) (refreshed, stepped error) {
	poll, cancel := context.WithTimeout(ctx, r.storeTimeout())
	defer cancel()
	if err := r.Refresh(poll); err != nil || r.reader {
		return err, nil
	}
	if err := r.postponeStamps(poll); err != nil {
		return nil, err
	}
	ks, now := r.Keyset(), r.clock.read().wall
	if _, ok := r.spare.get(ks.Policy); !isDue(ks.Next(), now) || (isDue(ks.NewKeyNeededAt(), now) && !ok) {
		return nil, nil
	}
	return nil, r.Step(poll)
}

// storeTimeout is how long one round may wait for the store: short enough for three
// attempts before the view is stale.
func (r *Ring) storeTimeout() time.Duration { return r.Policy().MaxStaleness / 3 }

// untilNextPoll is how long the loop waits if there is no hint. It adds a random time
// of up to e/4 to the time of a step, so that processes do not all try the same swap.
func (r *Ring) untilNextPoll() time.Duration {
	ks, now := r.Keyset(), r.clock.read().wall
	wait := min(longestPoll, r.storeTimeout())
	if next := ks.Next(); !next.IsZero() && next.After(now) {
		jitter := rand.N(ks.Policy.ClockSkew/4 + 1) //nolint:gosec // it spreads load and guards nothing
		wait = min(wait, next.Sub(now)+jitter)
	}
	return wait
}

// needsSpareKey reports whether a key will be needed soon and there is none.
func (r *Ring) needsSpareKey() bool {
	if r.reader {
		return false
	}
	ks := r.Keyset()
	at := ks.NewKeyNeededAt()
	lead := min(time.Minute, ks.Policy.RotationInterval/4)
	_, ok := r.spare.get(ks.Policy)
	return !ok && isDue(at, r.clock.read().wall.Add(lead))
}

// generateSpareKey generates a key, which cannot be interrupted. It reports a failure
// after a pause, so that the loop does not try again at once.
func (r *Ring) generateSpareKey(ctx context.Context, generated chan<- error) {
	_, err := r.spare.getOrGenerate(r.Policy(), r.generate)
	if err != nil {
		sleep(ctx, longestPoll)
	}
	generated <- err
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// forwardHints passes the store's hints to the loop.
func (r *Ring) forwardHints(ctx context.Context, hints chan<- struct{}) {
	for ctx.Err() == nil {
		version := r.Keyset().Version
		if err := r.store.Wait(ctx, version); err != nil {
			sleep(ctx, longestPoll) // the loop polls without hints meanwhile
			continue
		}
		changed := r.viewChanged.wait()
		select {
		case hints <- struct{}{}:
		default:
		}
		select { // until the loop has read the store: the same hint would come again
		case <-ctx.Done():
		case <-changed:
		}
		if r.Keyset().Version == version {
			sleep(ctx, longestPoll/10) // the hint came too early: limit the rate of reads
		}
	}
}

// failureLog logs when something begins to fail, each kind of error once, and when it
// has recovered.
type failureLog struct {
	ring *Ring
	last map[string][]string // the kinds of error that were logged, by what fails now
}

func (l *failureLog) note(ctx context.Context, what string, err error) {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return
	}
	kind, logged := errorKind(err), l.last[what]
	if slices.Contains(logged, kind) || (err == nil && len(logged) == 0) {
		return
	}
	if err != nil {
		l.last[what] = append(logged, kind)
		l.ring.log.ErrorContext(ctx, what+" failed", "error", err.Error()) //nolint:sloglint // what is one of six constants
	} else {
		delete(l.last, what)
		l.ring.log.InfoContext(ctx, what+" recovered") //nolint:sloglint // likewise
	}
}

// errorKind identifies an error without the parts that differ at each attempt.
func errorKind(err error) string {
	if err == nil {
		return ""
	}
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		return string(refusal.Guard)
	}
	if failure, ok := errors.AsType[*StoreError](err); ok {
		return failure.Problem
	}
	for _, known := range []error{errOverdue, ErrStale, ErrUnavailable, ErrUnreadable, ErrSealingKey, ErrClockSkew, ErrDocument} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return err.Error()
}
