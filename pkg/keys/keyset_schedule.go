package keys

import (
	"slices"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// Step is a kind of change to a keyset.
type Step string

// The steps. Timed steps fall due by the clock; an operator asks for most others.
const (
	StepCreate        Step = "create"
	StepPublish       Step = "publish"  // timed
	StepActivate      Step = "activate" // timed; an operator may ask for it earlier: a rotation
	StepDestroy       Step = "destroy"  // timed
	StepExpire        Step = "expire"   // timed
	StepSpecimen      Step = "specimen" // timed: due while the specimen does not match the policy
	StepRevoke        Step = "revoke"
	StepImport        Step = "import"
	StepAcceptRestore Step = "accept" // of a restored backup
	StepSetPolicy     Step = "policy"
	StepAcceptClock   Step = "clock" // after another clock wrote stamps from the future
	StepSeal          Step = "seal"  // every private key under another sealing key

	// StepPostpone moves the stamps of a version that landed late to later times. It is
	// due at once for a process that has proof of that.
	StepPostpone Step = "postpone"
)

// Steps lists all steps.
func Steps() []Step {
	return []Step{StepCreate, StepPublish, StepActivate, StepDestroy, StepExpire, StepSpecimen, StepRevoke, StepImport, StepAcceptRestore, StepSetPolicy, StepAcceptClock, StepSeal, StepPostpone}
}

// Event is one step on one key: it was taken at At, or is due from At on.
type Event struct {
	Step  Step      `json:"step"`
	KeyID string    `json:"kid,omitempty"` // empty if the key does not exist yet
	At    time.Time `json:"at"`
}

// Effect is what has to be committed together with a changed keyset: the private
// keys to store and to delete in the same transaction.
type Effect struct {
	Events []Event
	Put    []string // kids
	Delete []string // kids
}

// Empty reports that nothing changed, so that there is nothing to commit.
func (e Effect) Empty() bool { return len(e.Events) == 0 }

// StepInput is what a process supplies for a step.
type StepInput struct {
	// Fresh is a new key whose private key the process has in memory. If it is the
	// zero value, no step that needs a new key is taken.
	Fresh jwk.PublicKey

	// Opened reports whether the process has opened the private key of a kid. A key
	// that cannot be opened must not become the active one.
	Opened func(kid string) bool

	// Safe is set if the clock of the process cannot be trusted: a time that is not
	// later than the true time. By it a pending key is judged ready. No key is then
	// published to become the next one, because its ready_at could be too early.
	Safe time.Time
}

// Upcoming lists the timed steps that follow from the document as it is, each with
// the time from which it is due, in order of time. A step whose time has passed is
// due now. The steps that follow from those are not in the list: see Forecast.
func (ks Keyset) Upcoming() []Event {
	var out []Event
	add := func(s Step, kid string, at time.Time) { out = append(out, Event{s, kid, at}) }

	active := ks.Active()
	for _, k := range ks.Keys {
		switch {
		case !k.RetiredAt.IsZero():
			if k.DestroyedAt.IsZero() {
				add(StepDestroy, k.KeyID(), k.DestroyAt)
			}
			add(StepExpire, k.KeyID(), k.ExpiresAt)
		case k.ActiveAt.IsZero():
			add(StepActivate, k.KeyID(), latest(active.ActiveAt.Add(ks.Policy.RotationInterval), k.ReadyAt))
		}
	}
	if _, ok := ks.Pending(); !ok {
		add(StepPublish, "", ks.ChangedAt)
	}
	if !ks.specimenMatchesPolicy() {
		add(StepSpecimen, "", ks.ChangedAt)
	}
	slices.SortStableFunc(out, func(a, b Event) int { return a.At.Compare(b.At) })
	return out
}

// specimenMatchesPolicy reports whether the specimen is as the policy asks, which may
// be that there is none.
func (ks Keyset) specimenMatchesPolicy() bool {
	if ks.Specimen == nil || !ks.Policy.ExpiredTokens {
		return (ks.Specimen != nil) == ks.Policy.ExpiredTokens
	}
	return ks.Policy.matchesKey(ks.Specimen.JWK)
}

// matchesKey reports whether a key has the algorithm and the size of new keys.
func (p Policy) matchesKey(k jwk.PublicKey) bool {
	return k.Algorithm() == p.Algorithm && (p.KeySize == 0 || k.Size() == p.KeySize)
}

// Next is the time at which the next timed step is due, which may be in the past;
// zero if there is no such step.
func (ks Keyset) Next() time.Time {
	if up := ks.Upcoming(); len(up) > 0 {
		return up[0].At
	}
	return time.Time{}
}

// NextRotation is the time at which the pending key becomes active by the schedule;
// zero if there is no pending key.
func (ks Keyset) NextRotation() time.Time {
	for _, e := range ks.Upcoming() {
		if e.Step == StepActivate {
			return e.At
		}
	}
	return time.Time{}
}

// NewKeyNeededAt is the time from which a timed step needs a new key; zero if none
// does.
func (ks Keyset) NewKeyNeededAt() time.Time {
	for _, e := range ks.Upcoming() {
		if e.Step == StepActivate || e.Step == StepPublish || (e.Step == StepSpecimen && ks.Policy.ExpiredTokens) {
			return e.At
		}
	}
	return time.Time{}
}

// Advance takes every timed step that is due at now and for which the input
// suffices. It is a pure function: its result must be committed by a swap on the
// version that it was given. The refusals name the guards that held due steps back.
func (ks Keyset) Advance(now time.Time, in StepInput) (Keyset, Effect, []*Refusal) {
	up := ks.Upcoming()
	if len(up) == 0 || up[0].At.After(now) {
		return ks, Effect{}, nil
	}
	d := ks.draft(now)
	fresh := in.Fresh
	var refused []*Refusal
	for _, e := range up {
		if e.At.After(now) {
			break
		}
		switch e.Step {
		case StepExpire:
			d.expire(e.KeyID)
		case StepDestroy:
			d.destroy(e.KeyID)
		case StepActivate, StepPublish:
			if r := ks.heldBack(e, now, in); r != nil {
				refused = append(refused, r)
			} else if fresh.KeyID() != "" {
				if e.Step == StepActivate {
					d.rotate(e.KeyID)
				}
				d.publish(fresh)
				fresh = jwk.PublicKey{}
			}
		case StepSpecimen:
			fresh = d.replaceSpecimen(fresh)
		case StepCreate, StepRevoke, StepImport, StepAcceptRestore, StepSetPolicy, StepAcceptClock, StepSeal, StepPostpone:
		}
	}
	next, effect := d.finish()
	return next, effect, refused
}

// heldBack is the refusal of a timed step that publishes a key; nil if no guard
// refuses it.
func (ks Keyset) heldBack(e Event, now time.Time, in StepInput) *Refusal {
	if k, ok := ks.Pending(); ok && e.Step == StepActivate {
		if r := in.checkOpened(k); r != nil {
			return r
		}
	}
	return ks.checkCap(now)
}

// Forecast lists the timed steps up to until that the schedule alone takes. It runs
// the schedule itself, with stand-ins for the keys that do not exist yet; those have
// no kid in the result.
func (ks Keyset) Forecast(now, until time.Time) ([]Event, error) {
	known := map[string]bool{}
	for _, k := range ks.Keys {
		known[k.KeyID()] = true
	}
	ks.Specimen, ks.Policy.ExpiredTokens = nil, false // its steps are of no use to a reader of the forecast

	var out []Event
	for at := latest(now, ks.Next()); !at.After(until); at = latest(at, ks.Next()) {
		standIn, err := jwk.Generate(jwk.EdDSA, 0) // the quickest to generate; the schedule reads only its kid
		if err != nil {
			return nil, err
		}
		next, effect, refused := ks.Advance(at, StepInput{Fresh: standIn.Public(), Opened: func(string) bool { return true }})
		if effect.Empty() { // a guard held the step back: the further steps are not known
			return out, firstRefusal(refused)
		}
		for _, e := range effect.Events {
			if !known[e.KeyID] {
				e.KeyID = ""
			}
			out = append(out, e)
		}
		ks = next
	}
	return out, nil
}
