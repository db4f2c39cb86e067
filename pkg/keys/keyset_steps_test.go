package keys

import (
	"slices"
	"testing"
	"time"
)

// historyOf has maxHistory keys, newest first; kind changes key i.
func historyOf(t testing.TB, kind func(i int, k *Key)) []Key {
	t.Helper()
	var out []Key
	for i := range maxHistory {
		k := Key{JWK: newTestKey(t), CreatedAt: noon, ActiveAt: noon, RetiredAt: noon, DestroyedAt: noon, ExpiresAt: noon}
		kind(i, &k)
		out = append(out, k)
	}
	return out
}

func TestHistoryIsBoundedAndDropsTheLeastNeededKey(t *testing.T) {
	revoked := func(k *Key) { k.RevokedAt = noon }
	imported := func(k *Key) { k.Imported = true }
	for _, tt := range []struct {
		name  string
		kind  func(i int, k *Key)
		drops int // index in the history before
	}{
		{"the oldest", func(int, *Key) {}, maxHistory - 1},
		{"the oldest that was not revoked", func(i int, k *Key) {
			if i > 9 {
				revoked(k)
			}
		}, 9},
		{"the oldest that was not imported", func(i int, k *Key) {
			if i > 19 {
				imported(k)
			}
		}, 19},
		{"an expired one before any revoked one", func(i int, k *Key) {
			if i > 0 {
				revoked(k)
			}
		}, 0},
		{"the oldest of imported and revoked ones that is not imported", func(i int, k *Key) {
			revoked(k)
			if i > 29 {
				imported(k)
			}
		}, 29},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ks := newTestKeyset(t, dailyPolicy(t))
			ks.History = historyOf(t, tt.kind)
			before := kids(ks.History...)
			pending := ks.Keys[1].KeyID()
			next, _, err := ks.Revoke(noon, pending, readyInput(t), StepRequest{})
			if err != nil {
				t.Fatal(err)
			}
			want := slices.Insert(slices.Delete(slices.Clone(before), tt.drops, tt.drops+1), 0, pending)
			if got := kids(next.History...); !slices.Equal(got, want) {
				t.Errorf("the history has %d keys; want it without key %d", len(got), tt.drops)
			}
			if !slices.Equal(kids(ks.History...), before) {
				t.Error("the original keyset has changed")
			}
		})
	}
}

func TestTheHistoryNeverDropsImportedKeys(t *testing.T) {
	ks := newTestKeyset(t, dailyPolicy(t))
	ks.History = historyOf(t, func(_ int, k *Key) { k.Imported = true })
	ks.Keys[1].Imported = true
	next, _, err := ks.Revoke(noon, ks.Keys[1].KeyID(), readyInput(t), StepRequest{})
	if err != nil || len(next.History) != maxHistory+1 {
		t.Errorf("%d of %d imported keys are in the history, %v", len(next.History), maxHistory+1, err)
	}
}

// A clock that is behind by less than e must not set changed_at back.
func TestChangedAtOnlyGrows(t *testing.T) {
	ks := newTestKeyset(t, dailyPolicy(t))
	next, _, err := ks.Rotate(noonPlus(-time.Second), readyInput(t), StepRequest{Force: true})
	if err != nil || !next.ChangedAt.Equal(noon) || next.Version != 2 {
		t.Errorf("version %d, changed at %v, %v", next.Version, next.ChangedAt, err)
	}
}
