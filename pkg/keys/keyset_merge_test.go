package keys

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// restoredAndSeen are two documents of one keyset: version 1, as it was restored, and
// version 3, as it was seen.
func restoredAndSeen(t testing.TB) (ks, seen Keyset) {
	t.Helper()
	ks = newTestKeyset(t, dailyPolicy(t))
	seen = ks
	seen.Keys = slices.Clone(ks.Keys)
	seen.Version = 3
	return ks, seen
}

func merged(t testing.TB, ks, seen Keyset, now time.Time) (Keyset, Effect) {
	t.Helper()
	next, effect := ks.merge(seen, now, readyInput(t))
	if err := next.validate(); err != nil {
		t.Fatal(err)
	}
	if next.checkNotRestored(seen) != nil || next.checkNotRestored(ks) != nil {
		t.Errorf("the merged keyset lacks something: %v, %v", next.checkNotRestored(seen), next.checkNotRestored(ks))
	}
	return next, effect
}

func TestAMergeIsNewerThanBoth(t *testing.T) {
	for _, epochs := range [][2]uint64{{0, 0}, {2, 1}, {1, 2}} {
		ks, seen := restoredAndSeen(t)
		ks.Epoch, seen.Epoch = epochs[0], epochs[1]
		ahead := noonPlus(3 * time.Second)
		ks.ChangedAt = ahead // by a clock that is ahead
		next, effect := merged(t, ks, seen, noon)
		if next.Epoch != max(epochs[0], epochs[1])+1 || next.Version != ks.Version+1 || !next.ChangedAt.Equal(ahead) {
			t.Errorf("epoch %d, version %d, changed at %v", next.Epoch, next.Version, next.ChangedAt)
		}
		if effect.Empty() {
			t.Error("nothing to commit")
		}
	}
}

// The stamps of both documents are limits for the merged one, and so is what processes
// do now.
func TestAMergeKeepsTheLatestBounds(t *testing.T) {
	acts := noonPlus(time.Hour + 5*time.Second) // D + e
	least := [3]time.Time{acts, acts.Add(10 * time.Minute), acts.Add(time.Hour + 5*time.Second)}
	far := [3]time.Time{noonPlus(30 * time.Hour), noonPlus(31 * time.Hour), noonPlus(34 * time.Hour)}
	bounds := func(ks *Keyset) [3]*time.Time { return [3]*time.Time{&ks.ActsUntil, &ks.DocsUntil, &ks.TokensUntil} }
	check := func(t *testing.T, ks, seen Keyset, want [3]time.Time) {
		t.Helper()
		next, _ := merged(t, ks, seen, noon)
		var got [3]time.Time
		for i, b := range bounds(&next) {
			got[i] = *b
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("acts, docs, tokens until (-want +got):\n%s", diff)
		}
	}
	ks, seen := restoredAndSeen(t)
	check(t, ks, seen, least)
	for i := 1; i < 3; i++ { // a later acts_until moves the others too
		for _, restored := range []bool{true, false} {
			ks, seen := restoredAndSeen(t)
			of := &seen
			if restored {
				of = &ks
			}
			*bounds(of)[i] = far[i]
			want := least
			want[i] = far[i]
			check(t, ks, seen, want)
		}
	}
	for _, restored := range []bool{true, false} {
		ks, seen := restoredAndSeen(t)
		of := &seen
		if restored {
			of = &ks
		}
		of.ActsUntil = far[0]
		check(t, ks, seen, [3]time.Time{far[0], far[0].Add(10 * time.Minute), far[0].Add(time.Hour + 5*time.Second)})
	}
}

// A document whose limits are earlier than was seen lacks a change of the policy.
func TestAnEarlierLimitIsRefused(t *testing.T) {
	for name, set := range map[string]func(*Keyset, time.Time){
		"acts":   func(ks *Keyset, at time.Time) { ks.ActsUntil = at },
		"docs":   func(ks *Keyset, at time.Time) { ks.DocsUntil = at },
		"tokens": func(ks *Keyset, at time.Time) { ks.TokensUntil = at },
	} {
		ks, seen := restoredAndSeen(t)
		ks.Version = seen.Version + 1
		set(&seen, noon)
		if ks.checkNotRestored(seen) == nil {
			t.Errorf("%s: not refused", name)
		}
		set(&ks, noon)
		if err := ks.checkNotRestored(seen); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAMergeDropsTheSpecimensOfBoth(t *testing.T) {
	ks, seen := restoredAndSeen(t)
	for _, of := range []*Keyset{&ks, &seen} {
		of.Specimen = &Key{JWK: newTestKey(t), CreatedAt: noon, RetiredAt: noon, ExpiresAt: noon}
	}
	next, effect := merged(t, ks, seen, noon)
	for _, s := range []*Key{ks.Specimen, seen.Specimen} {
		if !slices.Contains(effect.Delete, s.KeyID()) {
			t.Error("the private key of a specimen stays")
		}
	}
	if next.Specimen != nil {
		t.Error("a specimen stays")
	}
}

// A key that left one document unused and signed in the other stays for its tokens.
func TestAMergeKeepsAKeyThatLeftUnused(t *testing.T) {
	replaced, signed := restoredAndSeen(t)
	pending := replaced
	kid := replaced.Keys[1].KeyID()
	d := replaced.draft(noon)
	d.discard(kid, "replaced")
	replaced = d.ks
	d = signed.draft(noon)
	d.rotate(kid)
	signed = d.ks

	here, _ := merged(t, replaced, signed, noon)
	if here.Active().KeyID() != kid {
		t.Error("the key that signs here has left")
	}
	there, _ := merged(t, signed, replaced, noon)
	if k := publishedKey(t, there, kid); k.State(noon) != Retired {
		t.Errorf("the key that signed there is %s", k.State(noon))
	}
	next, _ := merged(t, pending, replaced, noon)
	if i := slices.IndexFunc(next.History, func(k Key) bool { return k.KeyID() == kid }); i < 0 || next.History[i].Reason != "replaced" {
		t.Errorf("the key that never signed has index %d in the history", i)
	}
}

// A key that signed and expired in either document does not come back.
func TestAMergeBringsNoExpiredKeyBack(t *testing.T) {
	long, short := restoredAndSeen(t)
	kid := long.Keys[0].KeyID()
	at := noonPlus(24 * time.Hour)
	long, _ = advance(t, long, at)
	long, _ = advance(t, long, at.Add(3*time.Hour))
	for name, pair := range map[string][2]Keyset{"there": {long, short}, "here": {short, long}} {
		next, _ := merged(t, pair[0], pair[1], at.Add(3*time.Hour))
		i := slices.IndexFunc(next.History, func(k Key) bool { return k.KeyID() == kid })
		if i < 0 || next.History[i].State(at.Add(3*time.Hour)) != Expired {
			t.Errorf("expired %s: the key has index %d in the history", name, i)
		}
	}
}

// If a key was revoked in both documents, the merge has the revocation that was seen.
// The history stays bounded.
func TestAMergeOfHistories(t *testing.T) {
	ks, seen := restoredAndSeen(t)
	twice := Key{JWK: newTestKey(t), CreatedAt: noon, RevokedAt: noonPlus(time.Minute), Reason: "here"}
	seen.History = []Key{twice}
	twice.RevokedAt, twice.Reason = noonPlus(time.Hour), "there"
	ks.History = append(ks.History, twice)
	for len(seen.History) < maxHistory {
		seen.History = append(seen.History, Key{JWK: newTestKey(t), CreatedAt: noon, ExpiresAt: noon})
	}
	ks.History = append(ks.History, Key{JWK: newTestKey(t), CreatedAt: noon, ExpiresAt: noon})

	next, _ := merged(t, ks, seen, noonPlus(2*time.Hour))
	if k := next.History[slices.IndexFunc(next.History, func(k Key) bool { return k.KeyID() == twice.KeyID() })]; k.Reason != "here" {
		t.Errorf("revoked twice: %q", k.Reason)
	}
	if len(next.History) != maxHistory {
		t.Errorf("%d keys in the history", len(next.History))
	}
}
