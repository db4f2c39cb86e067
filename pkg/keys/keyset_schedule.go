package keys

import (
	"slices"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// Step is a kind of change to a keyset.
type Step string

// The steps. Timed ones fall due by the clock, the others are asked for.
const (
	StepCreate        Step = "create"
	StepPublish       Step = "publish"  // timed
	StepActivate      Step = "activate" // timed, or asked for: a rotation
	StepDestroy       Step = "destroy"  // timed
	StepExpire        Step = "expire"   // timed
	StepSpecimen      Step = "specimen" // timed: due whenever the policy wants another specimen than there is
	StepRevoke        Step = "revoke"
	StepImport        Step = "import"
	StepAcceptRestore Step = "accept" // of a restored backup
	StepSetPolicy     Step = "policy"
)

// Steps lists them all.
func Steps() []Step {
	return []Step{StepCreate, StepPublish, StepActivate, StepDestroy, StepExpire, StepSpecimen, StepRevoke, StepImport, StepAcceptRestore, StepSetPolicy}
}

// Event is one step on one key: done at At, or due from At on.
type Event struct {
	Step  Step      `json:"step"`
	KeyID string    `json:"kid,omitempty"` // empty for a key that is yet to be made
	At    time.Time `json:"at"`
}

// Effect is what a changed keyset asks of the swap that commits it: the private
// halves that must be put and deleted in the same transaction.
type Effect struct {
	Events []Event
	Put    []string // kids
	Delete []string // kids
}

// Empty says that nothing changed, in which case there is nothing to commit.
func (e Effect) Empty() bool { return len(e.Events) == 0 }

// StepInput is what a process brings along when it takes a step.
type StepInput struct {
	// Fresh is a new key whose private half the process has in hand; the zero
	// value if it has none, and then no step that needs one is taken.
	Fresh jwk.PublicKey

	// Opened tells whether the process has opened the private half of a key.
	// A key that cannot be opened must not become the one that signs.
	Opened func(kid string) bool
}

// Upcoming lists the timed steps that the keyset itself foresees, with the
// moment from which each is due, in order of time. A step whose moment has
// passed is due now. What follows from those steps is not in it: see Forecast.
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
	if !ks.specimenFits() {
		add(StepSpecimen, "", ks.ChangedAt)
	}
	slices.SortStableFunc(out, func(a, b Event) int { return a.At.Compare(b.At) })
	return out
}

// specimenFits tells whether the specimen is what the policy wants.
func (ks Keyset) specimenFits() bool {
	if ks.Specimen == nil || !ks.Policy.ExpiredTokens {
		return (ks.Specimen != nil) == ks.Policy.ExpiredTokens
	}
	return ks.Policy.makes(ks.Specimen.JWK)
}

// makes tells whether a key is of the kind that the policy makes now.
func (p Policy) makes(k jwk.PublicKey) bool {
	return k.Algorithm() == p.Algorithm && (p.KeySize == 0 || k.Size() == p.KeySize)
}

// Next is when the next timed step falls due, which may lie in the past; zero
// when none is ahead.
func (ks Keyset) Next() time.Time {
	if up := ks.Upcoming(); len(up) > 0 {
		return up[0].At
	}
	return time.Time{}
}

// NextRotation is when the pending key takes over, if nobody asks for it
// sooner; zero while there is no pending key.
func (ks Keyset) NextRotation() time.Time {
	for _, e := range ks.Upcoming() {
		if e.Step == StepActivate {
			return e.At
		}
	}
	return time.Time{}
}

// NewKeyNeededAt is from when on a timed step needs a fresh key; zero when none does.
func (ks Keyset) NewKeyNeededAt() time.Time {
	for _, e := range ks.Upcoming() {
		if e.Step == StepActivate || e.Step == StepPublish || (e.Step == StepSpecimen && ks.Policy.ExpiredTokens) {
			return e.At
		}
	}
	return time.Time{}
}

// Advance takes every timed step that is due at now and that the means allow.
// It is a pure function: whoever commits its result must do so by a swap on
// the version that it was given. Where a guard held a due step back, the
// refusals say so.
func (ks Keyset) Advance(now time.Time, m StepInput) (Keyset, Effect, []*Refusal) {
	up := ks.Upcoming()
	if len(up) == 0 || up[0].At.After(now) {
		return ks, Effect{}, nil // as it is most of the time
	}
	d := ks.draft(now)
	fresh := m.Fresh
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
			if r := ks.held(e, now, m); r != nil {
				refused = append(refused, r)
			} else if fresh.KeyID() != "" {
				if e.Step == StepActivate {
					d.rotate(e.KeyID)
				}
				d.publish(fresh)
				fresh = jwk.PublicKey{}
			}
		case StepSpecimen:
			fresh = d.specimen(fresh)
		case StepCreate, StepRevoke, StepImport, StepAcceptRestore, StepSetPolicy:
		}
	}
	next, effect := d.done()
	return next, effect, refused
}

// held is the guard that holds back a timed step that publishes a key, if any does.
func (ks Keyset) held(e Event, now time.Time, m StepInput) *Refusal {
	if k, ok := ks.Pending(); ok && e.Step == StepActivate {
		if r := m.openable(k); r != nil {
			return r
		}
	}
	return ks.room(now)
}

// Forecast lists the timed steps up to until as they will come if nobody asks
// for anything. It runs the schedule itself, on keys that stand in for those
// yet to be made; such keys have no kid in the answer.
func (ks Keyset) Forecast(now, until time.Time) ([]Event, error) {
	known := map[string]bool{}
	for _, k := range ks.Keys {
		known[k.KeyID()] = true
	}
	ks.Specimen, ks.Policy.ExpiredTokens = nil, false // nobody plans by the specimen

	var out []Event
	for at := latest(now, ks.Next()); !at.After(until); at = latest(at, ks.Next()) {
		standIn, err := jwk.Generate(jwk.EdDSA, 0) // the quickest to make; the schedule reads only its kid
		if err != nil {
			return nil, err
		}
		next, effect, refused := ks.Advance(at, StepInput{Fresh: standIn.Public(), Opened: func(string) bool { return true }})
		if effect.Empty() { // held back by a guard: nothing more is certain
			return out, refusals(refused)
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
