package keys_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
)

// crowded is a keyset of n keys, one active and one pending, the others
// retired, in which the pending key is due at the moment that is returned.
func crowded(n int) (keys.Keyset, time.Time) {
	policy := keystest.Policy(time.Hour)
	policy.ExpiredTokens = false
	ready := func(i int) keys.Key {
		return keys.Key{JWK: readyMade().eddsa[i].Public(), CreatedAt: epoch, ReadyAt: epoch}
	}
	active := ready(0)
	active.ActiveAt = epoch
	ks := keys.Keyset{Schema: 1, Version: 1, ChangedAt: epoch, SealingKey: "bench", Policy: policy, Keys: []keys.Key{active}}
	if n > 1 {
		ks.Keys = append(ks.Keys, ready(1))
	}
	now := epoch.Add(policy.RotationInterval)
	for i := 2; i < n; i++ {
		k := ready(i)
		k.ActiveAt, k.RetiredAt = epoch, epoch
		k.DestroyAt, k.ExpiresAt = now.Add(time.Minute), now.Add(time.Hour)
		ks.Keys = append(ks.Keys, k)
	}
	return ks, now
}

// BenchmarkAdvance is one full decision of the schedule on a full keyset: with
// nothing to do, as it is most of the time, and with a rotation.
func BenchmarkAdvance(b *testing.B) {
	means := keys.StepInput{Fresh: readyMade().eddsa[16].Public(), Opened: func(string) bool { return true }}
	full, now := crowded(16)
	roomy, _ := crowded(15)
	for _, bb := range []struct {
		name string
		ks   keys.Keyset
		now  time.Time
		want int // events
	}{
		{"nothing/keys=16", full, now.Add(-time.Minute), 0},
		{"rotation/keys=15", roomy, now, 2},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, e, _ := bb.ks.Advance(bb.now, means); len(e.Events) != bb.want {
					b.Fatalf("events %v", e.Events)
				}
			}
		})
	}
}

// BenchmarkPublic is the list of the keys of the JWKS.
func BenchmarkPublic(b *testing.B) {
	for _, n := range []int{1, 4, 16} {
		ks, now := crowded(n)
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := ks.Public(now); len(got) != n {
					b.Fatalf("%d keys", len(got))
				}
			}
		})
	}
}
