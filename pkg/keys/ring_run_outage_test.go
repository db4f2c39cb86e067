package keys_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

func TestRunSurvivesAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		r := b.found(t, 60*time.Second) // D is 15s
		startRun(t, r)
		time.Sleep(5 * time.Second)
		b.store.hook(func(s *hookedStore) { s.load = func() error { return errDown } })
		time.Sleep(14 * time.Second)
		signs(t, r)
		time.Sleep(16 * time.Second)
		if _, _, _, err := r.SigningKey(t.Context()); !errors.Is(err, keys.ErrStale) {
			t.Errorf("after an outage of 30s: %v", err)
		}
		b.store.hook(func(s *hookedStore) { s.load = nil })
		time.Sleep(time.Second)
		synctest.Wait()
		signs(t, r)
		time.Sleep(5 * time.Second)
		for want, n := range map[string]int{
			`"msg":"trouble","with":"keyset"`:       b.log.count(`"level":"ERROR"`, `"msg":"trouble","with":"keyset"`, "the network is down"),
			`"msg":"trouble","with":"readiness"`:    b.log.count(`"level":"ERROR"`, `"msg":"trouble","with":"readiness"`, "could not be confirmed"),
			`"msg":"well again","what":"keyset"`:    b.log.count(`"msg":"well again","what":"keyset"`),
			`"msg":"well again","what":"readiness"`: b.log.count(`"msg":"well again","what":"readiness"`),
		} {
			if n != 1 {
				t.Errorf("%d lines with %s, want one:\n%s", n, want, &b.log)
			}
		}
	})
}

// A store that hangs must not keep the ring from its next try.
func TestRunDoesNotWaitForAStoreThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.found(t, 60*time.Second)
		hanging := &hangingStore{Store: b.store}
		b.o.Store = hanging
		r, err := keys.Open(t.Context(), b.o)
		if err != nil {
			t.Fatal(err)
		}
		hanging.hangs.Store(true)
		startRun(t, r)
		time.Sleep(12500 * time.Millisecond) // two tries of D/3 = 5s each, and the third under way
		if n := hanging.tries.Load(); n < 2 {
			t.Errorf("%d tries", n)
		}
		hanging.hangs.Store(false)
		time.Sleep(6 * time.Second)
		if age := r.Status().Age; age > time.Second {
			t.Errorf("confirmed %v ago, though the store answers", age)
		}
	})
}

type hangingStore struct {
	keys.Store
	hangs atomic.Bool
	tries atomic.Int64
}

func (s *hangingStore) Load(ctx context.Context) (keys.Record, error) {
	if s.hangs.Load() {
		s.tries.Add(1)
		<-ctx.Done()
		return keys.Record{}, ctx.Err()
	}
	return s.Store.Load(ctx)
}

func TestASlowKeyHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.found(t, 60*time.Second) // D is 15s; the spare is wanted 15s ahead
		var asked []time.Duration
		start := time.Now()
		b.o.Generate = func(alg jwk.Algorithm, size int) (jwk.PrivateKey, error) {
			asked = append(asked, time.Since(start))
			time.Sleep(40 * time.Second)
			return jwk.Generate(alg, size)
		}
		r, err := keys.Open(t.Context(), b.o)
		if err != nil {
			t.Fatal(err)
		}
		stop := startRun(t, r)
		for range 88 {
			time.Sleep(time.Second)
			synctest.Wait()
			if age := r.Status().Age; age > time.Second {
				t.Fatalf("confirmed %v ago", age)
			}
		}
		if got := r.Keyset().Active().ActiveAt.Sub(start); got < 85*time.Second || got > 86*time.Second {
			t.Errorf("rotated after %v, and the key was there after 85s", got)
		}
		if len(asked) != 1 || asked[0] < 45*time.Second || asked[0] > 46*time.Second {
			t.Errorf("keys were asked for after %v, want one after 45s", asked)
		}
		stop()
		time.Sleep(time.Minute) // whatever was being made
	})
}

func TestKeysThatCannotBeMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.found(t, 60*time.Second)
		var tries atomic.Int64
		var works atomic.Bool
		b.o.Generate = func(alg jwk.Algorithm, size int) (jwk.PrivateKey, error) {
			if tries.Add(1); works.Load() {
				return jwk.Generate(alg, size)
			}
			return jwk.PrivateKey{}, errors.New("no entropy")
		}
		r, err := keys.Open(t.Context(), b.o)
		if err != nil {
			t.Fatal(err)
		}
		startRun(t, r)
		time.Sleep(75 * time.Second)
		synctest.Wait()
		signs(t, r)
		if n := tries.Load(); n < 10 || n > 31 {
			t.Errorf("%d tries in 30s", n)
		}
		works.Store(true)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if k := r.Keyset().Active(); time.Since(k.ActiveAt) > 3*time.Second {
			t.Errorf("not rotated: %+v", k)
		}
		if n, m := b.log.count("trouble", "spare key", "no entropy"), b.log.count("well again", "spare key"); n != 1 || m != 1 {
			t.Errorf("trouble is told %d times, its end %d times:\n%s", n, m, &b.log)
		}
	})
}

func TestRunTellsOfAGuardOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		pending, _ := b.found(t, 60*time.Second).Keyset().Pending()
		var back atomic.Bool
		b.store.hook(func(s *hookedStore) {
			s.half = func(kid string, sealed []byte, err error) ([]byte, error) {
				if kid == pending.KeyID() && !back.Load() {
					return nil, keys.ErrNoPrivateKey
				}
				return sealed, err
			}
		})
		r, err := keys.Open(t.Context(), b.o)
		if err != nil {
			t.Fatal(err)
		}
		startRun(t, r)
		time.Sleep(90 * time.Second)
		synctest.Wait()
		signs(t, r)
		back.Store(true)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if r.Keyset().Active().KeyID() != pending.KeyID() {
			t.Error("the half is back, and the key does not sign")
		}
		if n, m := b.log.count("trouble", pending.KeyID()), b.log.count("well again", "keyset"); n != 1 || m != 1 {
			t.Errorf("trouble is told %d times, its end %d times:\n%s", n, m, &b.log)
		}
	})
}

// hastyStore gives a hint whenever it is asked for one.
type hastyStore struct{ keys.Store }

func (hastyStore) Wait(ctx context.Context, _ uint64) error { return ctx.Err() }

func TestHintsThatComeTooEarlyDoNotHurryTheLoop(t *testing.T) {
	for name, tt := range map[string]struct {
		answer      error
		least, most int64 // reads in ten seconds
	}{
		"of a store that is well": {nil, 10, 105},
		"of a store that is down": {errDown, 1, 15},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t)
				b.found(t, 24*time.Hour)
				b.o.Store = hastyStore{b.store}
				r, err := keys.Open(t.Context(), b.o)
				if err != nil {
					t.Fatal(err)
				}
				var reads atomic.Int64
				b.store.hook(func(s *hookedStore) { s.load = func() error { reads.Add(1); return tt.answer } })
				startRun(t, r)
				time.Sleep(10 * time.Second)
				if n := reads.Load(); n < tt.least || n > tt.most {
					t.Errorf("%d reads in ten seconds, want %d to %d", n, tt.least, tt.most)
				}
			})
		})
	}
}
