package keys

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// gatedKeyset has the daily policy, was created at noon and rotated at once. Its
// pending key may sign from 13:10:05.
func gatedKeyset(t testing.TB) Keyset {
	t.Helper()
	ks, _, err := newTestKeyset(t, dailyPolicy(t)).Rotate(noon, readyInput(t), StepRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return ks
}

const dailyGate = time.Hour + 10*time.Minute + 5*time.Second

func wantRefusal(t testing.TB, err error, guard Guard, until time.Time) {
	t.Helper()
	r, ok := errors.AsType[*Refusal](err)
	if !ok || r.Guard != guard || !r.Until.Equal(until) {
		t.Errorf("%+v, want a refusal by %q until %v", err, guard, until)
	}
}

func TestRotate(t *testing.T) {
	ks := newTestKeyset(t, dailyPolicy(t))
	first, second := ks.Keys[0].KeyID(), ks.Keys[1].KeyID()
	m, now := readyInput(t), noonPlus(time.Minute)
	next, effect, err := ks.Rotate(now, m, StepRequest{Reason: "drill"})
	if err != nil {
		t.Fatal(err)
	}
	want := Effect{Events: []Event{{StepActivate, second, now}, {StepPublish, m.Fresh.KeyID(), now}}, Put: []string{m.Fresh.KeyID()}}
	if diff := cmp.Diff(want, effect); diff != "" {
		t.Errorf("Rotate (-want +got):\n%s", diff)
	}
	wantStamps(t, publishedKey(t, next, first), Key{
		CreatedAt: noon, ReadyAt: noon, ActiveAt: noon, RetiredAt: now, Reason: "drill",
		DestroyAt: now.Add(time.Hour + 5*time.Second), ExpiresAt: now.Add(2*time.Hour + 70*time.Second),
	})
	wantStamps(t, publishedKey(t, next, second), Key{CreatedAt: noon, ReadyAt: noon, ActiveAt: now})
	wantStamps(t, publishedKey(t, next, m.Fresh.KeyID()), Key{CreatedAt: now, ReadyAt: now.Add(dailyGate)})
}

func TestRotateWaitsAtTheGate(t *testing.T) {
	ks := gatedKeyset(t)
	ready := noonPlus(dailyGate)
	_, effect, err := ks.Rotate(ready.Add(-1), readyInput(t), StepRequest{})
	wantRefusal(t, err, GuardGate, ready)
	if !effect.Empty() || !strings.Contains(err.Error(), "--force") {
		t.Errorf("%v, %v", effect, err)
	}
	for _, tt := range []struct {
		at     time.Time
		o      StepRequest
		forced bool
	}{{ready, StepRequest{}, false}, {ready, StepRequest{Force: true}, false}, {ready.Add(-1), StepRequest{Force: true}, true}} {
		next, _, err := ks.Rotate(tt.at, readyInput(t), tt.o)
		if err != nil {
			t.Fatal(err)
		}
		if got := next.Active(); got.KeyID() != ks.Keys[2].KeyID() || got.Forced != tt.forced {
			t.Errorf("%v: %+v", tt.o, got)
		}
	}
}

func TestRotateWithoutASuccessorThatOpens(t *testing.T) {
	ks := newTestKeyset(t, dailyPolicy(t))
	first, pending := ks.Keys[0].KeyID(), ks.Keys[1].KeyID()
	shut := StepInput{Fresh: newTestKey(t), Opened: func(kid string) bool { return kid != pending }}
	_, _, err := ks.Rotate(noon, shut, StepRequest{})
	wantRefusal(t, err, GuardUnreadable, time.Time{})
	next, effect, err := ks.Rotate(noon, shut, StepRequest{Force: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := next.Active(); got.KeyID() != shut.Fresh.KeyID() || !got.Forced {
		t.Errorf("active %+v, want the fresh key, forced", got)
	}
	if !slices.Equal(effect.Delete, []string{pending}) || !slices.Equal(effect.Put, []string{shut.Fresh.KeyID()}) {
		t.Errorf("put %v, delete %v", effect.Put, effect.Delete)
	}
	wantStamps(t, next.History[0], Key{
		CreatedAt: noon, ReadyAt: noon, RetiredAt: noon, DestroyedAt: noon, ExpiresAt: noon, Reason: "its private key could not be opened",
	})
	if k := publishedKey(t, next, first); k.State(noon) != Retired || next.validate() != nil {
		t.Errorf("%+v, %v", k, next.validate())
	}

	ks.Keys = ks.Keys[:1]
	_, _, err = ks.Rotate(noon, readyInput(t), StepRequest{})
	wantRefusal(t, err, GuardStandby, noonPlus(dailyGate))
	_, _, err = ks.Rotate(noon, StepInput{Opened: allOpened}, StepRequest{Force: true})
	wantRefusal(t, err, GuardStandby, noonPlus(dailyGate))
	m := readyInput(t)
	if next, _, err := ks.Rotate(noon, m, StepRequest{Force: true}); err != nil || next.Active().KeyID() != m.Fresh.KeyID() {
		t.Errorf("forced, with a new key: %v", err)
	}
}

func TestRevokePending(t *testing.T) {
	ks := newTestKeyset(t, dailyPolicy(t))
	active, pending := ks.Keys[0].KeyID(), ks.Keys[1].KeyID()
	m, now := readyInput(t), noonPlus(time.Minute)
	next, effect, err := ks.Revoke(now, pending, m, StepRequest{Reason: "leaked"})
	if err != nil {
		t.Fatal(err)
	}
	want := Effect{
		Events: []Event{{StepRevoke, pending, now}, {StepPublish, m.Fresh.KeyID(), now}},
		Put:    []string{m.Fresh.KeyID()}, Delete: []string{pending},
	}
	if diff := cmp.Diff(want, effect); diff != "" {
		t.Errorf("Revoke (-want +got):\n%s", diff)
	}
	wantStamps(t, next.History[0], Key{CreatedAt: noon, ReadyAt: noon, RevokedAt: now, DestroyedAt: now, Reason: "leaked"})
	if next.Active().KeyID() != active || slices.Contains(publicKids(next.Public(now)), pending) {
		t.Errorf("active %s, public %v", next.Active().KeyID(), publicKids(next.Public(now)))
	}
	if got, _, err := ks.Revoke(now, pending, StepInput{}, StepRequest{}); err != nil || len(got.Keys) != 1 {
		t.Errorf("without a new key: %v, %v", kids(got.Keys...), err)
	}
}

func TestRevokeActive(t *testing.T) {
	ks := gatedKeyset(t)
	active, pending := ks.Keys[1].KeyID(), ks.Keys[2].KeyID()
	ready := noonPlus(dailyGate)
	_, effect, err := ks.Revoke(ready.Add(-1), active, readyInput(t), StepRequest{})
	wantRefusal(t, err, GuardGate, ready)
	if !effect.Empty() {
		t.Errorf("refused, with effect %v", effect)
	}
	for _, tt := range []struct {
		at    time.Time
		force bool
	}{{ready, false}, {ready.Add(-1), true}} {
		m := readyInput(t)
		next, effect, err := ks.Revoke(tt.at, active, m, StepRequest{Force: tt.force, Reason: "leaked"})
		if err != nil {
			t.Fatal(err)
		}
		want := Effect{
			Events: []Event{{StepActivate, pending, tt.at}, {StepRevoke, active, tt.at}, {StepPublish, m.Fresh.KeyID(), tt.at}},
			Put:    []string{m.Fresh.KeyID()}, Delete: []string{active},
		}
		if diff := cmp.Diff(want, effect); diff != "" {
			t.Errorf("Revoke (-want +got):\n%s", diff)
		}
		if got := next.Active(); got.KeyID() != pending || got.Forced != tt.force {
			t.Errorf("active %+v", got)
		}
		wantStamps(t, next.History[0], Key{CreatedAt: noon, ReadyAt: noon, ActiveAt: noon, RevokedAt: tt.at, DestroyedAt: tt.at, Reason: "leaked"})
		if err := next.validate(); err != nil {
			t.Error(err)
		}
	}

	shut := StepInput{Fresh: newTestKey(t), Opened: func(string) bool { return false }}
	_, _, err = ks.Revoke(ready, active, shut, StepRequest{})
	wantRefusal(t, err, GuardUnreadable, time.Time{})
	next, _, err := ks.Revoke(ready, active, shut, StepRequest{Force: true})
	if err != nil || next.Active().KeyID() != shut.Fresh.KeyID() || !slices.Equal(kids(next.History...), []string{active, pending}) {
		t.Errorf("forced without a successor that opens: %v, history %v", err, kids(next.History...))
	}
	ks.Keys = ks.Keys[:2:2]
	next, _, err = ks.Revoke(ready, active, readyInput(t), StepRequest{Force: true})
	if err != nil || next.History[0].State(ready) != Revoked || next.validate() != nil {
		t.Errorf("forced without a successor: %v, history %+v", err, next.History)
	}
}

func TestRevokeRetiredAndExpired(t *testing.T) {
	ks := gatedKeyset(t)
	retired := ks.Keys[0]
	now := noonPlus(time.Hour)
	next, effect, err := ks.Revoke(now, retired.KeyID(), readyInput(t), StepRequest{Reason: "leaked"})
	if err != nil || next.validate() != nil || next.History[0].State(now) != Revoked || !slices.Equal(effect.Delete, kids(retired)) || len(next.Public(now)) != 2 {
		t.Errorf("retired: %v, %v", effect, err)
	}

	gone, _ := advance(t, ks, retired.ExpiresAt)
	now = retired.ExpiresAt.Add(time.Hour)
	marked, effect, err := gone.Revoke(now, retired.KeyID(), readyInput(t), StepRequest{Reason: "leaked"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Effect{Events: []Event{{StepRevoke, retired.KeyID(), now}}}, effect); diff != "" {
		t.Errorf("expired (-want +got):\n%s", diff)
	}
	if k := marked.History[0]; !k.RevokedAt.Equal(now) || k.Reason != "leaked" || !gone.History[0].RevokedAt.IsZero() {
		t.Errorf("expired: %+v", k)
	}
	again, effect, err := marked.Revoke(now.Add(time.Hour), retired.KeyID(), readyInput(t), StepRequest{Reason: "other"})
	if diff := cmp.Diff(marked, again); diff != "" || !effect.Empty() || err != nil {
		t.Errorf("revoked again: %v, %v (-want +got):\n%s", effect, err, diff)
	}
	if _, _, err := ks.Revoke(noon, "unknown", readyInput(t), StepRequest{Force: true}); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("unknown: %v", err)
	}
}

func TestImport(t *testing.T) {
	ks := newTestKeyset(t, dailyPolicy(t))
	pending := ks.Keys[1].KeyID()
	m, now := readyInput(t), noonPlus(time.Minute)
	kid := m.Fresh.KeyID()
	next, effect, err := ks.Import(now, m)
	if err != nil {
		t.Fatal(err)
	}
	want := Effect{
		Events: []Event{{StepExpire, pending, now}, {StepPublish, kid, now}, {StepImport, kid, now}},
		Put:    []string{kid}, Delete: []string{pending},
	}
	if diff := cmp.Diff(want, effect); diff != "" {
		t.Errorf("Import (-want +got):\n%s", diff)
	}
	wantStamps(t, publishedKey(t, next, kid), Key{CreatedAt: now, ReadyAt: now.Add(dailyGate), Imported: true})
	wantStamps(t, next.History[0], Key{
		CreatedAt: noon, ReadyAt: noon, RetiredAt: now, DestroyedAt: now, ExpiresAt: now, Reason: "replaced by an imported key",
	})
	if _, effect, err := next.Import(now, m); err != nil || !effect.Empty() {
		t.Errorf("imported again: %v, %v", effect, err)
	}
	all := keysetOfAllKinds(t)
	for _, k := range slices.Concat(all.Keys, all.History, all.specimens()) {
		if p, _ := all.Pending(); p.KeyID() == k.KeyID() {
			continue
		}
		_, effect, err := all.Import(noon, StepInput{Fresh: k.JWK})
		wantRefusal(t, err, GuardKnown, time.Time{})
		if !effect.Empty() {
			t.Errorf("refused, with effect %v", effect)
		}
	}
	all.Keys = slices.Delete(all.Keys, 1, 2)
	if next, effect, err := all.Import(now, m); err != nil || len(effect.Delete) != 0 || next.validate() != nil {
		t.Errorf("without a pending key: %v, %v", effect, err)
	}
}

func TestSetPolicyRaisesTheDocumentStamps(t *testing.T) {
	ks := newTestKeyset(t, dailyPolicy(t))
	shorter, err := ks.Policy.With(Settings{TokenTTL: time.Minute, JWKSMaxAge: time.Second, MaxStaleness: time.Second, ClockSkew: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	now := noonPlus(time.Hour)
	next, effect, err := ks.SetPolicy(now, shorter, readyInput(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Effect{Events: []Event{{StepSetPolicy, "", now}}}, effect); diff != "" || next.Policy != shorter || next.Version != 2 {
		t.Errorf("SetPolicy (-want +got):\n%s", diff)
	}
	acts := now.Add(time.Hour + 5*time.Second)                                  // D + e, as they were
	docs, tokens := acts.Add(10*time.Minute), acts.Add(time.Hour+5*time.Second) // 2M; T + e
	check := func(ks Keyset) {
		t.Helper()
		if !ks.ActsUntil.Equal(acts) || !ks.DocsUntil.Equal(docs) || !ks.TokensUntil.Equal(tokens) {
			t.Errorf("acts %v, docs %v, tokens %v until, want %v, %v, %v", ks.ActsUntil, ks.DocsUntil, ks.TokensUntil, acts, docs, tokens)
		}
	}
	check(next)
	// A second change, with a shorter old policy, must not lower them.
	again, _, err := next.SetPolicy(now.Add(time.Minute), ks.Policy, readyInput(t))
	if err != nil {
		t.Fatal(err)
	}
	check(again)
	// A change while acts_until is far ahead raises the stamps that depend on it.
	longer := ks.Policy
	longer.JWKSMaxAge, longer.TokenTTL = time.Hour, 100*time.Hour
	next.Policy = longer
	raised, _, err := next.SetPolicy(now, shorter, readyInput(t))
	if err != nil {
		t.Fatal(err)
	}
	docs, tokens = acts.Add(2*time.Hour), acts.Add(100*time.Hour+5*time.Second)
	check(raised)

	if same, effect, err := ks.SetPolicy(now, ks.Policy, readyInput(t)); err != nil || !effect.Empty() || !same.ActsUntil.IsZero() {
		t.Errorf("the same policy: %v, %v", effect, err)
	}
	broken := ks.Policy
	broken.JWKSMaxAge = 13 * time.Hour
	if _, effect, err := ks.SetPolicy(now, broken, readyInput(t)); err == nil || !effect.Empty() {
		t.Errorf("an invalid policy: %v, %v", effect, err)
	}
}

func TestANewAlgorithmReplacesThePendingKey(t *testing.T) {
	ks := newTestKeyset(t, dailyPolicy(t))
	active, pending := ks.Keys[0].KeyID(), ks.Keys[1].KeyID()
	for _, tt := range []struct {
		name     string
		s        Settings
		replaced bool
	}{
		{"algorithm", Settings{Algorithm: jwk.ES256}, true},
		{"issuer", Settings{Issuer: "https://other.example"}, false},
		{"duration", Settings{TokenTTL: time.Minute}, false},
	} {
		p, err := ks.Policy.With(tt.s)
		if err != nil {
			t.Fatal(err)
		}
		next, effect, err := ks.SetPolicy(noon, p, StepInput{})
		if err != nil || next.Active().KeyID() != active {
			t.Errorf("%s: active %s, %v", tt.name, next.Active().KeyID(), err)
		}
		if _, kept := next.Pending(); kept == tt.replaced || slices.Contains(effect.Delete, pending) != tt.replaced {
			t.Errorf("%s: %v", tt.name, effect)
		}
		if tt.replaced && next.History[0].Reason != "replaced when the policy changed to ES256" {
			t.Errorf("%s: %+v", tt.name, next.History[0])
		}
	}

	// An imported key need not match the policy. Only a change of the algorithm or the
	// key size replaces it.
	p := ks.Policy
	ks.Policy.Algorithm = jwk.ES256
	p.Algorithm, p.Issuer = jwk.ES256, "https://other.example"
	if next, effect, err := ks.SetPolicy(noon, p, StepInput{}); err != nil || len(effect.Delete) != 0 {
		t.Errorf("%v, %v, %v", kids(next.Keys...), effect, err)
	}
	// A change that the pending key matches does not replace it either.
	p.Algorithm = jwk.EdDSA
	if _, effect, err := ks.SetPolicy(noon, p, StepInput{}); err != nil || len(effect.Delete) != 0 {
		t.Errorf("%v, %v", effect, err)
	}
	m := readyInput(t)
	p.Algorithm = jwk.ES384
	if next, effect, err := ks.SetPolicy(noon, p, m); err != nil || !slices.Equal(effect.Put, []string{m.Fresh.KeyID()}) || next.validate() != nil {
		t.Errorf("with a new key: %v, %v", effect, err)
	}
}

func TestRevocationBounds(t *testing.T) {
	ks := newTestKeyset(t, dailyPolicy(t))
	served := noonPlus(time.Hour + 5*time.Second) // D + e
	want := RevocationBounds{Served: served, Cached: served.Add(5 * time.Minute), CachedWithNoAge: served.Add(10 * time.Minute)}
	if diff := cmp.Diff(want, ks.RevocationBounds(noon)); diff != "" {
		t.Errorf("RevocationBounds (-want +got):\n%s", diff)
	}
	ks.ActsUntil, ks.DocsUntil = noonPlus(10*time.Hour), noonPlus(10*time.Hour+8*time.Minute)
	want = RevocationBounds{Served: ks.ActsUntil, Cached: ks.DocsUntil, CachedWithNoAge: ks.ActsUntil.Add(10 * time.Minute)}
	if diff := cmp.Diff(want, ks.RevocationBounds(noon)); diff != "" {
		t.Errorf("after a policy change (-want +got):\n%s", diff)
	}
}

func TestLeewayValidFrom(t *testing.T) {
	ks := gatedKeyset(t)
	if got, want := ks.LeewayValidFrom(noon), ks.Keys[0].ExpiresAt.Add(time.Minute); !got.Equal(want) {
		t.Errorf("a retired key: %v, want its expires_at and the leeway %v", got, want)
	}
	gone, _ := advance(t, ks, ks.Keys[0].ExpiresAt)
	if got, want := gone.LeewayValidFrom(noon), ks.Keys[0].ExpiresAt.Add(time.Minute); !got.Equal(want) {
		t.Errorf("an expired key: %v, want %v", got, want)
	}
	late := noonPlus(10 * time.Hour)
	if got := gone.LeewayValidFrom(late); !got.Equal(late) {
		t.Errorf("a key that expired long ago: %v, want now", got)
	}
	gone.History[0].RevokedAt = noon
	if got := gone.LeewayValidFrom(noon); !got.Equal(noon) {
		t.Errorf("a revoked key: %v, want now", got)
	}
	gone.History[0].RevokedAt, gone.History[0].ActiveAt = time.Time{}, time.Time{}
	if got := gone.LeewayValidFrom(noon); !got.Equal(noon) {
		t.Errorf("a key that never signed: %v, want now", got)
	}
}
