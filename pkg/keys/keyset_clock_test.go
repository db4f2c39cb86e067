package keys

import (
	"testing"
	"time"
)

// years is how far ahead the wrong clock of these tests is.
const years = 10 * 365 * 24 * time.Hour

// ahead is a keyset with a key in each state. All of it was written by a clock that was
// years ahead. The newest stamp is that of a change of the policy at noon plus 30m.
func ahead(t *testing.T) Keyset {
	t.Helper()
	at := func(d time.Duration) time.Time { return noonPlus(years + d) }
	p := dailyPolicy(t)
	p.ExpiredTokens = true
	ks, _ := createKeyset(p, "seal", at(0), newTestKey(t), newTestKey(t))
	in := func() StepInput { return StepInput{Fresh: newTestKey(t), Opened: func(string) bool { return true }} }
	step := func(next Keyset, _ Effect, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		ks = next
	}
	step(ks.Rotate(at(10*time.Minute), in(), StepRequest{}))
	pending, _ := ks.Pending()
	step(ks.Revoke(at(20*time.Minute), pending.KeyID(), in(), StepRequest{}))
	specimen, _, _ := ks.Advance(at(25*time.Minute), in())
	ks = specimen
	p.TokenTTL = 30 * time.Minute
	step(ks.SetPolicy(at(30*time.Minute), p, in()))
	return ks
}

func TestAcceptClockMovesEveryStampBack(t *testing.T) {
	ks := ahead(t)
	now := noonPlus(2 * time.Hour)
	next, effect, err := ks.AcceptClock(now, StepInput{})
	if err != nil || len(effect.Put)+len(effect.Delete) > 0 || effect.Empty() {
		t.Fatalf("AcceptClock = %+v, %v", effect, err)
	}
	if err := next.validate(); err != nil {
		t.Error(err)
	}
	if !next.ChangedAt.Equal(now) || next.ClockEpoch != 1 || next.Version != ks.Version+1 {
		t.Errorf("changed at %v, clock epoch %d, version %d", next.ChangedAt, next.ClockEpoch, next.Version)
	}
	// The policy changed when the newest stamp was written, and then T was 1h.
	p := next.Policy
	acts, docs := now.Add(time.Hour+5*time.Second), now.Add(time.Hour+5*time.Second+10*time.Minute)
	tokens := acts.Add(time.Hour + 5*time.Second)
	for name, tt := range map[string]struct{ got, want time.Time }{
		"acts_until":   {next.ActsUntil, acts},
		"docs_until":   {next.DocsUntil, docs},
		"tokens_until": {next.TokensUntil, tokens},
	} {
		if !tt.got.Equal(tt.want) {
			t.Errorf("%s is %v, want %v", name, tt.got, tt.want)
		}
	}
	longest := now.Add(p.MaxStaleness + time.Hour + 2*p.ClockSkew + p.Leeway)
	for _, k := range next.allKeys() {
		for name, at := range map[string]time.Time{
			"created_at": k.CreatedAt, "active_at": k.ActiveAt, "retired_at": k.RetiredAt, "destroyed_at": k.DestroyedAt, "revoked_at": k.RevokedAt,
		} {
			if at.After(now) {
				t.Errorf("%s: %s is %v", k.KeyID(), name, at)
			}
		}
		for name, at := range map[string]time.Time{"ready_at": k.ReadyAt, "destroy_at": k.DestroyAt, "expires_at": k.ExpiresAt} {
			if at.After(longest) {
				t.Errorf("%s: %s is %v", k.KeyID(), name, at)
			}
		}
		if k.State(now) == Retired && (k.DestroyAt.Before(acts) || k.ExpiresAt.Before(tokens.Add(p.Leeway))) {
			t.Errorf("a token of the retired key may outlive it: %+v", k)
		}
	}
	if k, ok := next.Pending(); ok && k.ReadyAt.Before(docs) {
		t.Errorf("ready at %v, and caches may lack the key until %v", k.ReadyAt, docs)
	}
	if now := next.checkNotRestored(ks); now != nil {
		t.Errorf("a process that has seen the stamps of the future: %v", now)
	}
	if err := ks.checkNotRestored(next); err == nil {
		t.Error("the stamps of the future may come back")
	}
	if err := ks.validate(); err != nil || !ks.Specimen.CreatedAt.After(now) {
		t.Errorf("AcceptClock changed its argument: %v", err)
	}
}

// What a right clock wrote stays, also the limits of a policy with longer durations.
func TestAcceptClockKeepsStampsOfRightClocks(t *testing.T) {
	p := dailyPolicy(t)
	p.TokenTTL = 20 * time.Hour
	ks, _ := createKeyset(p, "seal", noon, newTestKey(t), newTestKey(t))
	in := StepInput{Fresh: newTestKey(t), Opened: func(string) bool { return true }}
	shorter := p
	shorter.TokenTTL = time.Hour
	ks, _, err := ks.SetPolicy(noon, shorter, in)
	if err == nil {
		ks, _, err = ks.Rotate(noonPlus(time.Minute), in, StepRequest{})
	}
	if err != nil {
		t.Fatal(err)
	}
	right := ks
	pending, _ := ks.Pending()
	in.Fresh = newTestKey(t)
	ks, _, err = ks.Revoke(noonPlus(years), pending.KeyID(), in, StepRequest{})
	if err != nil {
		t.Fatal(err)
	}
	next, _, err := ks.AcceptClock(noonPlus(2*time.Minute), StepInput{})
	if err != nil {
		t.Fatal(err)
	}
	if !next.TokensUntil.Equal(right.TokensUntil) || !next.DocsUntil.Equal(right.DocsUntil) || !next.ActsUntil.Equal(right.ActsUntil) {
		t.Errorf("the limits of the first policy are %v, %v, %v", next.ActsUntil, next.DocsUntil, next.TokensUntil)
	}
	for i, k := range right.Keys[:2] { // retired and active
		if now := next.Keys[i]; !now.ExpiresAt.Equal(k.ExpiresAt) || !now.ActiveAt.Equal(k.ActiveAt) || !now.DestroyAt.Equal(k.DestroyAt) {
			t.Errorf("%+v became %+v", k, now)
		}
	}
	if k, _ := next.Pending(); !k.CreatedAt.Equal(noonPlus(2*time.Minute)) || !k.ReadyAt.Equal(right.DocsUntil) && k.ReadyAt.Before(noonPlus(time.Hour+12*time.Minute+5*time.Second)) {
		t.Errorf("the pending key is %+v", k)
	}
}

func TestAcceptClockWithNothingToAccept(t *testing.T) {
	ks, _ := createKeyset(dailyPolicy(t), "seal", noon, newTestKey(t), newTestKey(t))
	for _, at := range []time.Duration{time.Hour, 0, -5 * time.Second} {
		if next, effect, err := ks.AcceptClock(noonPlus(at), StepInput{}); err != nil || !effect.Empty() || next.Version != ks.Version {
			t.Errorf("at noon plus %v: %+v, %v", at, effect, err)
		}
	}
	if _, effect, _ := ks.AcceptClock(noonPlus(-5*time.Second-1), StepInput{}); effect.Empty() {
		t.Error("a stamp that is more than clock_skew ahead is not accepted")
	}
}
