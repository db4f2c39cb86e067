package simulation

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// lateness says that a write lands late: after its deadline, which no store can exclude.
//
// What holds then is proved for worlds that give the Ring a chance: at least one process
// that confirmed the version before as late as any other meets the late version, or one
// that follows it, and takes a step before a stamp of the late version falls due. That
// is why these processes step as soon as the write has landed. All other processes may
// do anything. A write that could not land late under this rule does not land.
type lateness struct {
	by        float64 // how long after the deadline it lands, as a multiple of e; 0 for in time
	early     int     // bit set of the hosts that read the store between the deadline and the landing
	detectors int     // bit set of the hosts that step after the landing, as far as they have proof
	between   *action // what another process does between the landing and these steps
}

// deadlineClock is the clock that a store compares deadlines with: its own, or that of
// the host.
func (s *simStore) deadlineClock(h *host) *host {
	if s.clock != nil {
		return s.clock
	}
	return h
}

// swapLate is a Swap that lands late.
func (p storeClient) swapLate(c keys.Change, f fault, left time.Duration) error {
	w := p.host.world
	after := time.Duration(f.late.by * float64(w.clockSkew))
	if f.outcome == writeDelayed {
		w.store.delayed = append(w.store.delayed, &delayedWrite{w.now + left + after, c, p.process, p.operation, f})
		return errNoConnection
	}
	if err := p.send(f, left+after/2); err != nil {
		return err
	}
	w.refreshReaders(f.late.early, p.process)
	p.sleep(after - after/2)
	if err := w.store.landLate(p.process, p.operation, c, f); err != nil {
		return err
	}
	return p.receive(f)
}

// landLate commits a write whose deadline has passed.
func (s *simStore) landLate(by *process, operation action, c keys.Change, f fault) error {
	w := s.world
	w.refreshReaders(f.readers&^f.late.early, by)
	detectors := w.detectors(f, by, c.Version)
	s.lateBy = -s.deadlineClock(by.host).until(c.Deadline)
	defer func() { s.lateBy = 0 }()
	if len(detectors) == 0 || s.lateBy <= 0 || w.fallsDue(c) {
		w.counters["writes after their deadline"]++
		return keys.ErrTooLate
	}
	if err := s.commit(by, operation, c); err != nil {
		return err
	}
	s.lateBy = 0
	w.counters["late landings"]++
	w.counters["late landings: "+operation.kind.String()]++
	w.logf("%s commits version %d late: %s", by.name, c.NewVersion(), w.checker.describe())
	if f.late.between != nil {
		w.do(*f.late.between)
	}
	if s.version() > c.NewVersion() {
		w.counters["late landings: skipped versions"]++
	}
	if len(detectors) > 1 {
		w.counters["late landings: several detectors"]++
	}
	for _, kind := range []kind{doStep, doRefresh} {
		for _, h := range detectors {
			w.do(action{kind: kind, host: h.id})
		}
	}
	return nil
}

// detectors returns the hosts that step after a late landing. The last one confirmed the
// version before at the landing, and no error of its clock can make that look earlier.
// Without such a host there is none.
func (w *world) detectors(f fault, writer *process, version uint64) (hosts []*host) {
	able := func(h *host) bool {
		s := h.server
		return !h.disconnected && s != nil && s != writer && s.ring != nil && !s.busy && s.ring.Keyset().Version == version
	}
	var last *host
	for _, h := range w.hosts {
		switch {
		case !able(h):
		case h.server.confirmed.uptime == w.now && h.clockJump == 0 && h.server.ring.Status().Clock == nil:
			if last == nil || f.late.detectors&(1<<h.id) != 0 {
				last = h
			}
		}
	}
	if last == nil {
		return nil
	}
	for _, h := range w.hosts {
		if h != last && able(h) && f.late.detectors&(1<<h.id) != 0 {
			hosts = append(hosts, h)
		}
	}
	slices.SortStableFunc(hosts, func(a, b *host) int { return int(a.server.confirmed.uptime - b.server.confirmed.uptime) })
	return append(hosts, last)
}

// fallsDue reports whether a stamp that a write adds is due by the fastest clock, so
// that processes may act on it before it is corrected.
func (w *world) fallsDue(c keys.Change) bool {
	was, next := w.checker.newest(), parse(c.Document)
	fastest := epoch.Add(w.now + w.clockSkew/4)
	due := func(stamp, old time.Time) bool { return !stamp.IsZero() && !stamp.Equal(old) && !stamp.After(fastest) }
	for _, k := range next.Keys {
		var old keys.Key
		if i := indexOf(was.Keys, k.KeyID()); i >= 0 {
			old = was.Keys[i]
		}
		if due(k.ReadyAt, old.ReadyAt) || due(k.DestroyAt, old.DestroyAt) || due(k.ExpiresAt, old.ExpiresAt) {
			return true
		}
	}
	return false
}

// parse reads a document without checking it.
func parse(document []byte) (ks keys.Keyset) {
	_ = json.Unmarshal(document, &ks)
	return ks
}

// mayMove returns by how long a correction may move stamps.
func mayMove(by *process, was *version, ks keys.Keyset) (d time.Duration) {
	for _, old := range was.Writes {
		allowed, confirmed := later(old.Deadline, old.LandedAfter), by.confirmations[old.Version-1]
		if i := indexOfWrite(ks, old.Version); i >= 0 {
			confirmed = ks.Writes[i].LandedAfter
		} // else it is not among the newest any more
		if !old.Deadline.IsZero() {
			d += later(allowed, confirmed).Sub(allowed)
		}
	}
	return d
}

// isCorrection reports whether a change may be the correction of a late landing.
func isCorrection(c keys.Change) bool {
	return c.Version > 0 && c.Deadline.IsZero() && len(c.Put) == 0 && len(c.Delete) == 0
}

func indexOfWrite(ks keys.Keyset, version uint64) int {
	return slices.IndexFunc(ks.Writes, func(w keys.Write) bool { return w.Version == version })
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// checkCorrection checks that a correction moves stamps and does nothing else, and that
// the process has confirmed the version before the late one when it says so.
func (c *checker) checkCorrection(by *process, was *version, ks keys.Keyset, change keys.Change) {
	w := c.world
	if c.moves = 0; was == nil {
		return
	}
	if isCorrection(change) {
		c.moves = mayMove(by, was, ks)
	}
	for _, write := range ks.Writes[1:] {
		if write == was.Writes[indexOfWrite(was.Keyset, write.Version)] {
			continue
		}
		w.counters["corrections"]++
		if by.ring != nil && by.ring.Status().Clock != nil {
			w.counters["corrections by a wrong clock"]++
		}
		if !isCorrection(change) || ks.Policy != was.Policy || len(ks.Keys) != len(was.Keys) || len(ks.History) != len(was.History) {
			w.violate(stamps, "%s corrects a late landing and makes another change", by.name)
		}
		if confirmed := by.confirmations[write.Version-1]; write.LandedAfter.After(confirmed) {
			w.violate(stamps, "%s says that version %d landed after %v, and confirmed the version before at %v",
				by.name, write.Version, since(write.LandedAfter), since(confirmed))
		}
	}
}
