package keys

import (
	"errors"
	"slices"
	"time"
)

// maxWrites is how many of the newest versions the document has a Write of.
const maxWrites = 16

// Write is what the document records of the write that made one of its versions.
//
// The stamps of a version are right if no process confirms the version before it after
// the deadline. No store can keep every write to that: its last fsync may take any time.
// A write that becomes visible after its deadline lands late.
type Write struct {
	Version  uint64    `json:"version"`
	Deadline time.Time `json:"deadline,omitzero"` // Change.Deadline; zero if no stamp depends on it

	// LandedAfter is set if the write landed late: a process still confirmed the version
	// before at this time. The stamps were moved later by the time since the deadline.
	LandedAfter time.Time `json:"landed_after,omitzero"`
}

// allowsFor is the latest time at which a process may have confirmed the version before,
// so that the stamps of this version are right.
func (w Write) allowsFor() time.Time { return latest(w.Deadline, w.LandedAfter) }

// landedLate reports whether the write landed late, if a process confirmed the version
// before at the given time.
func (w Write) landedLate(confirmed time.Time) bool {
	return !w.Deadline.IsZero() && confirmed.After(w.Deadline)
}

// withWrite records the write that makes the version.
func (ks Keyset) withWrite(deadline time.Time) Keyset {
	ks.Writes = slices.Insert(slices.Clone(ks.Writes), 0, Write{Version: ks.Version, Deadline: deadline})
	ks.Writes = ks.Writes[:min(len(ks.Writes), maxWrites)]
	return ks
}

// write returns the write that made a version. It is unknown if many versions have
// followed.
func (ks Keyset) write(version uint64) (Write, bool) {
	i := ks.indexOfWrite(version)
	if i < 0 {
		return Write{}, false
	}
	return ks.Writes[i], true
}

func (ks Keyset) indexOfWrite(version uint64) int {
	return slices.IndexFunc(ks.Writes, func(w Write) bool { return w.Version == version })
}

func (ks Keyset) validateWrites() error {
	versions := ks.Version
	for i, w := range ks.Writes {
		if w.Version > versions || (i > 0 && w.Version == versions) {
			return errors.New("the writes are not in the order of their versions, the newest first")
		}
		versions = w.Version
	}
	return nil
}

// lateLanding is a process's proof that a version landed late: the process confirmed the
// version before it after the deadline.
type lateLanding struct {
	before    Keyset    // the version before
	confirmed time.Time // when the process confirmed that one last
}

// version is the one that landed late.
func (l lateLanding) version() uint64 { return l.before.Version + 1 }

// corrected reports whether the stamps in ks allow for the late landing, or whether ks
// no longer tells.
func (l lateLanding) corrected(ks Keyset) bool {
	w, ok := ks.write(l.version())
	return !ok || !l.confirmed.After(w.allowsFor())
}

// postpone moves the stamps of versions that landed late to later times. It takes no
// clock into account, because it is lawful at any time: stamps may always move later.
//
// What moves is each stamp that was not in the version before. A later version may have
// computed it from a stamp that was too early.
func (ks Keyset) postpone(late []lateLanding) (Keyset, Effect) {
	d := ks.draft(ks.ChangedAt)
	d.ks.Writes = slices.Clone(ks.Writes)
	for _, l := range late {
		if l.corrected(d.ks) { // an earlier one in late may have moved them further
			continue
		}
		w := &d.ks.Writes[ks.indexOfWrite(l.version())]
		d.moveStamps(l.confirmed.Sub(w.allowsFor()), ks, l.before)
		w.LandedAfter = l.confirmed
		d.now = latest(d.now, l.confirmed)
		d.addEvent(StepPostpone, "")
	}
	return d.finish()
}

// moveStamps moves the stamps in ks that were not in before, if anything still depends
// on them.
func (d *draft) moveStamps(by time.Duration, ks, before Keyset) {
	move := func(stamp *time.Time, now, was time.Time) {
		if !now.IsZero() && !now.Equal(was) {
			*stamp = stamp.Add(by)
		}
	}
	move(&d.ks.ActsUntil, ks.ActsUntil, before.ActsUntil)
	move(&d.ks.DocsUntil, ks.DocsUntil, before.DocsUntil)
	move(&d.ks.TokensUntil, ks.TokensUntil, before.TokensUntil)
	for i, now := range ks.Keys {
		var was Key // the zero value if before does not publish it
		if j := slices.IndexFunc(before.Keys, func(k Key) bool { return k.KeyID() == now.KeyID() }); j >= 0 {
			was = before.Keys[j]
		}
		k := &d.ks.Keys[i]
		if now.ActiveAt.IsZero() { // an active key has passed the gate
			move(&k.ReadyAt, now.ReadyAt, was.ReadyAt)
		}
		if now.DestroyedAt.IsZero() {
			move(&k.DestroyAt, now.DestroyAt, was.DestroyAt)
		}
		move(&k.ExpiresAt, now.ExpiresAt, was.ExpiresAt)
	}
}
