package keys

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// readyInput has a new key, and every private key is opened.
func readyInput(t testing.TB) StepInput {
	t.Helper()
	return StepInput{Fresh: newTestKey(t), Opened: allOpened}
}

func publishedKey(t testing.TB, ks Keyset, kid string) Key {
	t.Helper()
	i := slices.IndexFunc(ks.Keys, func(k Key) bool { return k.KeyID() == kid })
	if i < 0 {
		t.Fatalf("key %s is not pending, active or retired", kid)
	}
	return ks.Keys[i]
}

// wantStamps compares a key without its JWK.
func wantStamps(t testing.TB, got, want Key) {
	t.Helper()
	want.JWK, got.JWK = jwk.PublicKey{}, jwk.PublicKey{}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stamps (-want +got):\n%s", diff)
	}
}

func advance(t testing.TB, ks Keyset, at time.Time) (Keyset, Effect) {
	t.Helper()
	next, effect, refused := ks.Advance(at, readyInput(t))
	if refused != nil {
		t.Fatalf("Advance: %v", refused[0])
	}
	if err := next.validate(); err != nil {
		t.Fatal(err)
	}
	return next, effect
}

func TestCreateKeyset(t *testing.T) {
	active, pending := newTestKey(t), newTestKey(t)
	ks, effect := createKeyset(dailyPolicy(t), testSealingKey, noon, active, pending)
	want := Keyset{
		Schema: 1, ID: active.KeyID(), Version: 1, ChangedAt: noon, SealingKey: testSealingKey, Policy: dailyPolicy(t),
		Keys: []Key{{JWK: active, CreatedAt: noon, ReadyAt: noon, ActiveAt: noon}, {JWK: pending, CreatedAt: noon, ReadyAt: noon}},
	}
	if diff := cmp.Diff(want, ks); diff != "" {
		t.Errorf("createKeyset (-want +got):\n%s", diff)
	}
	wantEffect := Effect{Events: []Event{{StepCreate, active.KeyID(), noon}}, Put: []string{active.KeyID(), pending.KeyID()}}
	if diff := cmp.Diff(wantEffect, effect); diff != "" {
		t.Errorf("createKeyset (-want +got):\n%s", diff)
	}
	if err := ks.validate(); err != nil {
		t.Error(err)
	}
}

func TestTimedRotation(t *testing.T) {
	ks := newTestKeyset(t, dailyPolicy(t))
	first, second := ks.Keys[0].KeyID(), ks.Keys[1].KeyID()
	if got := ks.NextRotation(); !got.Equal(noonPlus(24 * time.Hour)) {
		t.Errorf("NextRotation = %v", got)
	}
	if next, effect := advance(t, ks, noonPlus(24*time.Hour-1)); !effect.Empty() || next.Version != 1 {
		t.Errorf("a step was taken before its time: %v", effect.Events)
	}
	now := noonPlus(25 * time.Hour) // an hour late
	m := readyInput(t)
	next, effect, refused := ks.Advance(now, m)
	if refused != nil {
		t.Fatal(refused[0])
	}
	third := m.Fresh.KeyID()
	want := Effect{Events: []Event{{StepActivate, second, now}, {StepPublish, third, now}}, Put: []string{third}}
	if diff := cmp.Diff(want, effect); diff != "" {
		t.Errorf("Advance (-want +got):\n%s", diff)
	}
	wantStamps(t, publishedKey(t, next, first), Key{
		CreatedAt: noon, ReadyAt: noon, ActiveAt: noon, RetiredAt: now,
		DestroyAt: now.Add(time.Hour + 5*time.Second),                            // D + e
		ExpiresAt: now.Add(time.Hour + time.Hour + 10*time.Second + time.Minute), // D + T + 2e + L
	})
	wantStamps(t, publishedKey(t, next, second), Key{CreatedAt: noon, ReadyAt: noon, ActiveAt: now})
	wantStamps(t, publishedKey(t, next, third), Key{CreatedAt: now, ReadyAt: now.Add(time.Hour + 10*time.Minute + 5*time.Second)}) // D + 2M + e
	if next.Version != 2 || !next.ChangedAt.Equal(now) {
		t.Errorf("version %d, changed at %v", next.Version, next.ChangedAt)
	}
	if ks.Version != 1 || !ks.Keys[0].RetiredAt.IsZero() || len(ks.Keys) != 2 {
		t.Error("Advance changed the keyset that it was given")
	}
	if got := next.NextRotation(); !got.Equal(now.Add(24 * time.Hour)) {
		t.Errorf("NextRotation = %v after a late one", got)
	}
}

func TestAnOverdueRotationWaitsForTheGate(t *testing.T) {
	ks := newTestKeyset(t, dailyPolicy(t))
	ready := noonPlus(30 * time.Hour)
	ks.Keys[1].ReadyAt = ready
	if got := ks.NextRotation(); !got.Equal(ready) {
		t.Errorf("NextRotation = %v", got)
	}
	if _, effect := advance(t, ks, ready.Add(-1)); !effect.Empty() {
		t.Errorf("before ready_at: %v", effect.Events)
	}
	if next, _ := advance(t, ks, ready); next.Active().KeyID() != ks.Keys[1].KeyID() || next.Active().Forced {
		t.Errorf("at ready_at: %+v", next.Active())
	}
}

func TestStampsRespectEarlierPolicies(t *testing.T) {
	ks := newTestKeyset(t, dailyPolicy(t))
	first := ks.Keys[0].KeyID()
	now := noonPlus(24 * time.Hour)
	ks.ActsUntil, ks.DocsUntil, ks.TokensUntil = now.Add(40*time.Hour), now.Add(50*time.Hour), now.Add(60*time.Hour)
	next, _ := advance(t, ks, now)
	k := publishedKey(t, next, first)
	if !k.DestroyAt.Equal(ks.ActsUntil) {
		t.Errorf("destroy_at = %v, want acts_until", k.DestroyAt)
	}
	if want := ks.TokensUntil.Add(time.Minute); !k.ExpiresAt.Equal(want) {
		t.Errorf("expires_at = %v, want tokens_until + L = %v", k.ExpiresAt, want)
	}
	if p, _ := next.Pending(); !p.ReadyAt.Equal(ks.DocsUntil) {
		t.Errorf("ready_at = %v, want docs_until", p.ReadyAt)
	}
}

func TestARetiredKeyIsDestroyedAndThenExpires(t *testing.T) {
	ks, _ := advance(t, newTestKeyset(t, dailyPolicy(t)), noonPlus(24*time.Hour))
	k := ks.Keys[0]
	want := []Event{{StepDestroy, k.KeyID(), k.DestroyAt}, {StepExpire, k.KeyID(), k.ExpiresAt}, {StepActivate, ks.Keys[2].KeyID(), noonPlus(48 * time.Hour)}}
	if diff := cmp.Diff(want, ks.Upcoming()); diff != "" {
		t.Errorf("Upcoming (-want +got):\n%s", diff)
	}
	if _, effect := advance(t, ks, k.DestroyAt.Add(-1)); !effect.Empty() {
		t.Errorf("before destroy_at: %v", effect.Events)
	}
	destroyed, effect := advance(t, ks, k.DestroyAt)
	if diff := cmp.Diff(Effect{Events: []Event{{StepDestroy, k.KeyID(), k.DestroyAt}}, Delete: kids(k)}, effect); diff != "" {
		t.Errorf("at destroy_at (-want +got):\n%s", diff)
	}
	if got := publishedKey(t, destroyed, k.KeyID()).DestroyedAt; !got.Equal(k.DestroyAt) {
		t.Errorf("destroyed_at = %v", got)
	}
	if diff := cmp.Diff(want[1:], destroyed.Upcoming()); diff != "" {
		t.Errorf("Upcoming (-want +got):\n%s", diff)
	}
	if _, effect := advance(t, destroyed, k.ExpiresAt.Add(-1)); !effect.Empty() {
		t.Errorf("before expires_at: %v", effect.Events)
	}
	gone, effect := advance(t, destroyed, k.ExpiresAt)
	if diff := cmp.Diff(Effect{Events: []Event{{StepExpire, k.KeyID(), k.ExpiresAt}}}, effect); diff != "" {
		t.Errorf("at expires_at (-want +got):\n%s", diff)
	}
	if len(gone.Keys) != 2 || !slices.Equal(kids(gone.History...), kids(k)) {
		t.Errorf("keys %v, history %v", kids(gone.Keys...), kids(gone.History...))
	}

	late := k.ExpiresAt.Add(time.Hour) // no process ran in between
	_, effect = advance(t, ks, late)
	want = []Event{{StepDestroy, k.KeyID(), late}, {StepExpire, k.KeyID(), late}}
	if diff := cmp.Diff(Effect{Events: want, Delete: kids(k)}, effect); diff != "" {
		t.Errorf("both at once (-want +got):\n%s", diff)
	}
}

func TestAMissingSuccessorIsPublished(t *testing.T) {
	ks := newTestKeyset(t, dailyPolicy(t))
	ks.Keys = ks.Keys[:1]
	if got := ks.NewKeyNeededAt(); !got.Equal(noon) {
		t.Errorf("NewKeyNeededAt = %v, want now", got)
	}
	if got := ks.NextRotation(); !got.IsZero() {
		t.Errorf("NextRotation = %v without a successor", got)
	}
	if next, effect, refused := ks.Advance(noon, StepInput{Opened: allOpened}); !effect.Empty() || refused != nil || next.Version != 1 {
		t.Errorf("without a new key: %v, %v", effect.Events, refused)
	}
	next, _ := advance(t, ks, noonPlus(time.Minute))
	if p, ok := next.Pending(); !ok || !p.ReadyAt.Equal(noonPlus(time.Minute+time.Hour+10*time.Minute+5*time.Second)) {
		t.Errorf("pending %+v", p)
	}
}

func TestATimedRotationNeedsANewKeyAndAnOpenedOne(t *testing.T) {
	ks := newTestKeyset(t, dailyPolicy(t))
	now := noonPlus(24 * time.Hour)
	if _, effect, refused := ks.Advance(now, StepInput{Opened: allOpened}); !effect.Empty() || refused != nil {
		t.Errorf("without a new key: %v, %v", effect.Events, refused)
	}
	for name, opened := range map[string]func(string) bool{"nothing opened": nil, "the pending key not opened": func(kid string) bool { return kid != ks.Keys[1].KeyID() }} {
		_, effect, refused := ks.Advance(now, StepInput{Fresh: newTestKey(t), Opened: opened})
		if !effect.Empty() || len(refused) != 1 || refused[0].Guard != GuardUnreadable {
			t.Errorf("%s: %v, %v", name, effect.Events, refused)
		}
	}
}

// fullKeyset has 16 published keys: active, pending and 14 retired, which leave one
// hour apart, the first after 100h.
func fullKeyset(t testing.TB) Keyset {
	t.Helper()
	ks := newTestKeyset(t, dailyPolicy(t))
	for i := range 14 {
		ks.Keys = append(ks.Keys, Key{
			JWK: newTestKey(t), CreatedAt: noon, ReadyAt: noon, ActiveAt: noon, RetiredAt: noon,
			DestroyAt: noon, DestroyedAt: noon, ExpiresAt: noonPlus(time.Duration(100+i) * time.Hour),
		})
	}
	return ks
}

func TestTheSetIsCapped(t *testing.T) {
	ks := fullKeyset(t)
	until := noonPlus(100*time.Hour + 5*time.Second) // when it has expired by every clock
	check := func(name string, effect Effect, refused *Refusal) {
		t.Helper()
		if !effect.Empty() || refused == nil || refused.Guard != GuardCap || !refused.Until.Equal(until) {
			t.Errorf("%s: %v, %+v", name, effect.Events, refused)
		}
	}
	_, effect, refused := ks.Advance(noonPlus(24*time.Hour), readyInput(t))
	check("activate", effect, refused[0])
	_, effect, err := ks.Rotate(noonPlus(24*time.Hour), readyInput(t), StepRequest{Force: true})
	refusal, _ := errors.AsType[*Refusal](err)
	check("rotate", effect, refusal)
	ks.Keys[1] = ks.Keys[15] // no successor, and still 16
	ks.Keys[15].JWK = newTestKey(t)
	_, effect, refused = ks.Advance(noonPlus(24*time.Hour), readyInput(t))
	check("publish", effect, refused[0])
	_, effect, err = ks.Import(noonPlus(24*time.Hour), readyInput(t))
	refusal, _ = errors.AsType[*Refusal](err)
	check("import", effect, refusal)

	left := until.Add(-5 * time.Second) // by this clock, but it is still published by a slower one
	_, effect, err = fullKeyset(t).Rotate(left, readyInput(t), StepRequest{Force: true})
	refusal, _ = errors.AsType[*Refusal](err)
	check("rotate in time", effect, refusal)
	if next, _, err := fullKeyset(t).Rotate(until, readyInput(t), StepRequest{Force: true}); err != nil || len(next.Public(until)) != 16 {
		t.Errorf("rotate a little later: %d keys, %v", len(next.Public(until)), err)
	}
	next, _, refused := fullKeyset(t).Advance(left, readyInput(t)) // it leaves, so that there is room
	check("activate in time", Effect{}, refused[0])
	next, effect = advance(t, next, left)
	if got := len(next.Public(until)); got != 16 || !slices.ContainsFunc(effect.Events, func(e Event) bool { return e.Step == StepActivate }) {
		t.Errorf("%d keys after %v", got, effect.Events)
	}
}

func TestSpecimenFollowsThePolicy(t *testing.T) {
	ks := newTestKeyset(t, dailyPolicy(t))
	ks.Policy.ExpiredTokens = true
	if got := ks.Next(); !got.Equal(noon) || !ks.NewKeyNeededAt().Equal(noon) {
		t.Errorf("Next = %v, NewKeyNeededAt = %v, want now", got, ks.NewKeyNeededAt())
	}
	if _, effect, _ := ks.Advance(noon, StepInput{Opened: allOpened}); !effect.Empty() {
		t.Errorf("without a new key: %v", effect.Events)
	}
	created, effect := advance(t, ks, noonPlus(time.Hour))
	specimen := created.Specimen
	if diff := cmp.Diff(Effect{Events: []Event{{StepSpecimen, specimen.KeyID(), noonPlus(time.Hour)}}, Put: kids(*specimen)}, effect); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	wantStamps(t, *specimen, Key{CreatedAt: noonPlus(time.Hour), RetiredAt: noonPlus(time.Hour), ExpiresAt: noonPlus(time.Hour)})
	if slices.Contains(publicKids(created.Public(noon)), specimen.KeyID()) || !slices.Contains(kids(created.signers()...), specimen.KeyID()) {
		t.Error("the specimen must sign and never be published")
	}
	if _, effect := advance(t, created, noonPlus(2*time.Hour)); !effect.Empty() {
		t.Errorf("the specimen was replaced: %v", effect.Events)
	}

	unwanted := created
	unwanted.Policy.ExpiredTokens = false
	if got := unwanted.NewKeyNeededAt(); !got.Equal(noonPlus(24 * time.Hour)) {
		t.Errorf("NewKeyNeededAt = %v: to delete a specimen needs no key", got)
	}
	gone, effect, _ := unwanted.Advance(noonPlus(2*time.Hour), StepInput{Opened: allOpened})
	want := Effect{Events: []Event{{StepDestroy, specimen.KeyID(), noonPlus(2 * time.Hour)}}, Delete: kids(*specimen)}
	if diff := cmp.Diff(want, effect); diff != "" || gone.Specimen != nil {
		t.Errorf("unwanted: %v (-want +got):\n%s", gone.Specimen, diff)
	}

	other := created
	other.Policy.Algorithm = jwk.ES256
	if _, effect, _ := other.Advance(noonPlus(2*time.Hour), StepInput{Opened: allOpened}); !effect.Empty() {
		t.Errorf("the old specimen left before there was a new one: %v", effect.Events)
	}
	m := readyInput(t)
	replaced, effect, _ := other.Advance(noonPlus(2*time.Hour), m)
	want = Effect{
		Events: []Event{{StepDestroy, specimen.KeyID(), noonPlus(2 * time.Hour)}, {StepSpecimen, m.Fresh.KeyID(), noonPlus(2 * time.Hour)}},
		Put:    []string{m.Fresh.KeyID()}, Delete: kids(*specimen),
	}
	if diff := cmp.Diff(want, effect); diff != "" || replaced.Specimen.KeyID() != m.Fresh.KeyID() {
		t.Errorf("replaced (-want +got):\n%s", diff)
	}
}

func TestANewKeyIsUsedOnce(t *testing.T) {
	ks := newTestKeyset(t, dailyPolicy(t))
	ks.Policy.ExpiredTokens = true
	m := readyInput(t)
	next, effect, refused := ks.Advance(noonPlus(24*time.Hour), m) // both a specimen and a rotation are due
	if refused != nil || len(effect.Put) != 1 || next.validate() != nil {
		t.Errorf("%v, %v, %v", effect, refused, next.validate())
	}
	next, effect = advance(t, next, noonPlus(24*time.Hour))
	if len(effect.Put) != 1 || next.Specimen == nil || next.Active().KeyID() != ks.Keys[1].KeyID() {
		t.Errorf("the other step was not taken next: %v", effect)
	}
	ks.Keys = ks.Keys[:1] // both a successor and a specimen are due
	next, effect = advance(t, ks, noon)
	if _, ok := next.Pending(); !ok || len(effect.Put) != 1 || next.Specimen != nil {
		t.Errorf("%v, specimen %v", effect, next.Specimen)
	}
}

func TestForecastIsWhatTheScheduleDoes(t *testing.T) {
	p, err := dailyPolicy(t).With(Settings{TokenTTL: 60 * time.Hour}) // several retired keys at a time
	if err != nil {
		t.Fatal(err)
	}
	ks := newTestKeyset(t, p)
	ks.Policy.ExpiredTokens = true // the forecast leaves the steps of the specimen out
	known := kids(ks.Keys...)
	until := noonPlus(10 * 24 * time.Hour)
	forecast, err := ks.Forecast(noon, until)
	if err != nil {
		t.Fatal(err)
	}
	ks.Policy.ExpiredTokens = false
	var happened []Event
	for !ks.Next().After(until) {
		next, effect := advance(t, ks, ks.Next())
		for _, e := range effect.Events {
			if !slices.Contains(known, e.KeyID) {
				e.KeyID = ""
			}
			happened = append(happened, e)
		}
		ks = next
	}
	if len(happened) < 30 {
		t.Errorf("only %d steps in ten days", len(happened))
	}
	if diff := cmp.Diff(happened, forecast); diff != "" {
		t.Errorf("Forecast (-happened +forecast):\n%s", diff)
	}
}

func TestForecastEndsWhereAGuardRefuses(t *testing.T) {
	ks := fullKeyset(t)
	got, err := ks.Forecast(noon, noonPlus(50*time.Hour))
	if r, ok := errors.AsType[*Refusal](err); !ok || r.Guard != GuardCap || len(got) != 0 {
		t.Errorf("Forecast = %v, %v", got, err)
	}
	if got, err := ks.Forecast(noon, noonPlus(time.Hour)); got != nil || err != nil {
		t.Errorf("Forecast of an hour without steps = %v, %v", got, err)
	}
}
