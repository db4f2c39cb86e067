package keys

import (
	"bytes"
	"context"
	"errors"
	"slices"
)

// unclearCommit is a change that may have been committed: the store did not say.
type unclearCommit struct {
	before, after Keyset
	steps         []Event
	change        Change
}

// noteCommit keeps the outcome of a commit.
func (r *Ring) noteCommit(ctx context.Context, c unclearCommit, err error) {
	switch {
	case err == nil:
		r.unclear = nil // they would have made the same version
		r.committed(ctx, c)
	case errors.Is(err, ErrConflict), errors.Is(err, ErrTooLate): // nothing was written
	default:
		r.unclear = append(r.unclear, c)
		r.unclear = r.unclear[max(0, len(r.unclear)-maxAttempts):] // a store that fails for long fails each attempt
	}
}

// settleCommits finds out from a view which of the unclear commits were made. A commit
// whose version the store has not reached stays unclear.
func (r *Ring) settleCommits(ctx context.Context, v *view) {
	var open []unclearCommit
	var settled uint64 // only one commit makes a version
	for _, c := range r.unclear {
		switch version := c.after.Version; {
		case v.ks.ID == c.after.ID && v.ks.Version < version:
			open = append(open, c)
		case version != settled && c.isIn(v):
			settled = version
			r.committed(ctx, c)
		}
	}
	r.unclear = open
}

// isIn reports whether the commit made a version of the keyset that the view has. If that
// version is not the newest one, its deadline and its new keys tell: no other process
// decides at the same nanosecond.
func (c unclearCommit) isIn(v *view) bool {
	if v.ks.Version == c.after.Version {
		return bytes.Equal(v.document, c.change.Document)
	}
	w, ok := v.ks.write(c.after.Version)
	return ok && v.ks.ID == c.after.ID && !w.Deadline.IsZero() && w.Deadline.Equal(c.change.Deadline) &&
		!slices.ContainsFunc(c.after.Keys, func(k Key) bool { return !v.ks.contains(k.KeyID()) })
}

// committed counts, logs and reports a change that was committed.
func (r *Ring) committed(ctx context.Context, c unclearCommit) {
	r.counters.countSteps(c.steps)
	for _, e := range c.steps {
		r.log.InfoContext(ctx, "keyset changed", "step", string(e.Step), "kid", e.KeyID)
	}
	if r.changed != nil {
		r.changed(ctx, c.before, c.after, c.steps)
	}
}
