package keys

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTheDocumentKeepsTheNewestWrites(t *testing.T) {
	ks := newTestKeyset(t, dailyPolicy(t))
	for v := uint64(1); v <= 20; v++ {
		ks.Version = v
		before := slices.Clone(ks.Writes)
		next := ks.withWrite(noonPlus(time.Duration(v) * time.Minute))
		if diff := cmp.Diff(before, ks.Writes); diff != "" {
			t.Fatalf("the keyset before is changed:\n%s", diff)
		}
		ks = next
	}
	if len(ks.Writes) != maxWrites {
		t.Errorf("%d writes", len(ks.Writes))
	}
	for v := uint64(1); v <= 20; v++ {
		w, ok := ks.write(v)
		if ok != (v > 4) || (ok && !w.Deadline.Equal(noonPlus(time.Duration(v)*time.Minute))) {
			t.Errorf("version %d: %+v, %t", v, w, ok)
		}
	}
	text, err := ks.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseKeyset(text)
	if diff := cmp.Diff(ks, got); err != nil || diff != "" {
		t.Errorf("parseKeyset = %v (-want +got):\n%s", err, diff)
	}
}

func TestWritesAreInOrder(t *testing.T) {
	for name, versions := range map[string][]uint64{
		"twice": {3, 3}, "oldest first": {2, 3}, "of a later version": {4},
	} {
		ks := newTestKeyset(t, dailyPolicy(t))
		ks.Version = 3
		for _, v := range versions {
			ks.Writes = append(ks.Writes, Write{Version: v})
		}
		if err := ks.validate(); err == nil || !strings.Contains(err.Error(), "not in the order of their versions") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAWriteIsLateAfterItsDeadline(t *testing.T) {
	w := Write{Version: 2, Deadline: noon}
	for confirmed, want := range map[time.Time]bool{noon: false, noon.Add(1): true, noon.Add(-1): false} {
		if got := w.landedLate(confirmed); got != want {
			t.Errorf("confirmed %v after the deadline: %t", confirmed.Sub(noon), got)
		}
	}
	if (Write{Version: 2}).landedLate(noon) {
		t.Error("a write without a deadline landed late")
	}
}

// lateRotation is a keyset before and after a rotation that changed every stamp.
func lateRotation(t *testing.T) (before, after Keyset) {
	t.Helper()
	before = keysetOfAllKinds(t)
	before = before.withWrite(noon)
	longer := before.Policy
	longer.MaxStaleness, longer.TokenTTL = 2*time.Hour, 2*time.Hour
	at := noonPlus(25 * time.Hour)
	after, _, err := before.SetPolicy(at, longer, readyInput(t))
	if err != nil {
		t.Fatal(err)
	}
	after, _, err = after.Rotate(at, readyInput(t), StepRequest{})
	if err != nil {
		t.Fatal(err)
	}
	after.Version = before.Version + 1 // as if one swap had made both changes
	return before, after.withWrite(at)
}

func TestTheStampsOfALateVersionMove(t *testing.T) {
	before, ks := lateRotation(t)
	const by = 7 * time.Second
	want := ks
	want.Version++
	want.Writes = slices.Clone(ks.Writes)
	want.Writes[0].LandedAfter = want.Writes[0].Deadline.Add(by)
	want.ChangedAt = want.Writes[0].LandedAfter // a time by some clock
	want.ActsUntil, want.DocsUntil, want.TokensUntil = ks.ActsUntil.Add(by), ks.DocsUntil.Add(by), ks.TokensUntil.Add(by)
	want.Keys = slices.Clone(ks.Keys)
	moved := map[string]int{}
	for i := range want.Keys {
		k := &want.Keys[i]
		switch old := indexOfKey(before, k.KeyID()); {
		case old < 0: // the new pending key
			k.ReadyAt = k.ReadyAt.Add(by)
			moved["pending"]++
		case before.Keys[old].State(noon) == Active: // the rotation retired it
			k.DestroyAt, k.ExpiresAt = k.DestroyAt.Add(by), k.ExpiresAt.Add(by)
			moved["retired"]++
		}
	}
	if moved["pending"] != 1 || moved["retired"] != 1 {
		t.Fatalf("the rotation is not as the test needs it: %v", moved)
	}
	got, effect := ks.postpone([]lateLanding{{before, want.ChangedAt}})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(effect.Events) != 1 || effect.Events[0].Step != StepPostpone || len(effect.Put)+len(effect.Delete) > 0 {
		t.Errorf("effect %+v", effect)
	}

	// Another process has less to add, or nothing.
	for confirmed, want := range map[time.Duration]time.Duration{by: 0, by - 1: 0, by + time.Second: time.Second} {
		further, effect := got.postpone([]lateLanding{{before, ks.Writes[0].Deadline.Add(confirmed)}})
		if effect.Empty() != (want == 0) || further.ActsUntil.Sub(got.ActsUntil) != want {
			t.Errorf("confirmed %v after the deadline: acts_until moves by %v, want %v", confirmed, further.ActsUntil.Sub(got.ActsUntil), want)
		}
	}
}

func indexOfKey(ks Keyset, kid string) int {
	return slices.IndexFunc(ks.Keys, func(k Key) bool { return k.KeyID() == kid })
}

// A key that was activated, or whose private key was deleted, before the correction has
// stamps that nothing depends on any more.
func TestStampsOfThePastStay(t *testing.T) {
	before, ks := lateRotation(t)
	pending, _ := ks.Pending()
	next := ks.draft(pending.ReadyAt)
	next.rotate(pending.KeyID())
	for _, k := range ks.Keys {
		if !k.DestroyAt.IsZero() && !k.DestroyAt.After(pending.ReadyAt) && k.DestroyedAt.IsZero() {
			next.destroy(k.KeyID())
		}
	}
	now, _ := next.finish()
	got, _ := now.withWrite(pending.ReadyAt).postpone([]lateLanding{{before, ks.Writes[0].Deadline.Add(time.Second)}})
	destroyed := 0
	for i, k := range got.Keys {
		was := now.Keys[i]
		if !k.ReadyAt.Equal(was.ReadyAt) {
			t.Errorf("ready_at of a key that is active or retired moves by %v", k.ReadyAt.Sub(was.ReadyAt))
		}
		if !k.DestroyedAt.IsZero() && !k.DestroyAt.Equal(was.DestroyAt) {
			t.Errorf("destroy_at of a destroyed key moves by %v", k.DestroyAt.Sub(was.DestroyAt))
		}
		if !k.DestroyedAt.IsZero() && indexOfKey(before, k.KeyID()) == 0 {
			destroyed++
		}
	}
	if destroyed != 1 {
		t.Errorf("%d of the keys that the rotation retired are destroyed, want 1", destroyed)
	}
}

func TestTwoLateVersionsAreCorrectedAtOnce(t *testing.T) {
	before, first := lateRotation(t)
	p := first.Policy
	p.Leeway *= 2
	second, _, err := first.SetPolicy(noonPlus(26*time.Hour), p, readyInput(t))
	if err != nil {
		t.Fatal(err)
	}
	second = second.withWrite(noonPlus(26 * time.Hour))
	got, effect := second.postpone([]lateLanding{
		{before, first.Writes[0].Deadline.Add(time.Second)},
		{first, second.Writes[0].Deadline.Add(10 * time.Second)},
	})
	pending, _ := got.Pending()
	was, _ := second.Pending()
	if moved := pending.ReadyAt.Sub(was.ReadyAt); moved != time.Second {
		t.Errorf("ready_at is of the first late version; it moves by %v, want 1s", moved)
	}
	if moved := got.ActsUntil.Sub(second.ActsUntil); moved != 11*time.Second {
		t.Errorf("acts_until is of both late versions; it moves by %v, want 11s", moved)
	}
	if len(effect.Events) != 2 || got.Version != second.Version+1 {
		t.Errorf("version %d, %+v", got.Version, effect)
	}
}

// A process may have confirmed one version twice. Stamps never move to an earlier time.
func TestTwoProofsOfOneLateVersion(t *testing.T) {
	before, ks := lateRotation(t)
	early := lateLanding{before, ks.Writes[0].Deadline.Add(time.Second)}
	late := lateLanding{before, ks.Writes[0].Deadline.Add(10 * time.Second)}
	want, _ := ks.postpone([]lateLanding{late})
	for _, proofs := range [][]lateLanding{{early, late}, {late, early}} {
		got, _ := ks.postpone(proofs)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestALateVersionThatIsLongPastCannotBeCorrected(t *testing.T) {
	before, ks := lateRotation(t)
	l := lateLanding{before, ks.Writes[0].Deadline.Add(time.Hour)}
	ks.Writes = nil
	if _, effect := ks.postpone([]lateLanding{l}); !effect.Empty() || !l.corrected(ks) {
		t.Errorf("the document does not tell by how much the stamps are too early: %+v", effect)
	}
}

func TestAMergeKeepsTheWritesOfTheRestoredStore(t *testing.T) {
	ks, seen := restoredAndSeen(t)
	ks.Writes = []Write{{Version: ks.Version, Deadline: noon}}
	seen.Writes = []Write{{Version: seen.Version, Deadline: noon}, {Version: seen.Version - 1, Deadline: noon}}
	next, _ := merged(t, ks, seen, noon)
	if diff := cmp.Diff(ks.Writes, next.Writes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := next.withWrite(noon).validate(); err != nil {
		t.Error(err)
	}
}

func TestAcceptClockMovesTheWritesBack(t *testing.T) {
	ks := ahead(t)
	future := ks.ChangedAt.Add(time.Second)
	ks.Writes = []Write{{Version: ks.Version, Deadline: future, LandedAfter: future.Add(time.Second)}, {Version: ks.Version - 1, Deadline: noon}}
	now := noonPlus(2 * time.Hour)
	next, _, err := ks.AcceptClock(now, StepInput{})
	want := []Write{{Version: ks.Version, Deadline: now, LandedAfter: now}, {Version: ks.Version - 1, Deadline: noon}}
	if diff := cmp.Diff(want, next.Writes); err != nil || diff != "" {
		t.Errorf("AcceptClock = %v (-want +got):\n%s", err, diff)
	}
	if ks.Writes[0].Deadline != future {
		t.Error("the keyset before is changed")
	}
}
