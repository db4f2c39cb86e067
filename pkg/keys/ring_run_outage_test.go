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
		r := b.create(t, 60*time.Second) // D is 15s
		startRun(t, r)
		time.Sleep(5 * time.Second)
		b.store.hook(func(s *hookedStore) { s.onLoad = func() error { return errDown } })
		time.Sleep(14 * time.Second)
		wantSigns(t, r)
		time.Sleep(16 * time.Second)
		if _, _, _, err := r.SigningKey(t.Context()); !errors.Is(err, keys.ErrStale) {
			t.Errorf("after an outage of 30s: %v", err)
		}
		b.store.hook(func(s *hookedStore) { s.onLoad = nil })
		time.Sleep(time.Second)
		synctest.Wait()
		wantSigns(t, r)
		time.Sleep(5 * time.Second)
		b.log.want(t, 1, `"level":"ERROR"`, `"msg":"keyset refresh failed"`, "the network is down")
		b.log.want(t, 1, `"level":"ERROR"`, `"msg":"signing failed"`, "could not be confirmed")
		b.log.want(t, 1, `"msg":"keyset refresh recovered"`)
		b.log.want(t, 1, `"msg":"signing recovered"`)
	})
}

// If a read hangs, the ring must try again.
func TestRunDoesNotWaitForAStoreThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.create(t, 60*time.Second)
		hanging := &hangingStore{Store: b.store}
		b.o.Store = hanging
		r, err := keys.Open(t.Context(), b.o)
		must(t, err)
		hanging.hangs.Store(true)
		startRun(t, r)
		time.Sleep(12500 * time.Millisecond) // two attempts of D/3 = 5s each, and a part of the third
		if n := hanging.attempts.Load(); n < 2 {
			t.Errorf("%d attempts", n)
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
	hangs    atomic.Bool
	attempts atomic.Int64
}

func (s *hangingStore) Load(ctx context.Context) (keys.Record, error) {
	if s.hangs.Load() {
		s.attempts.Add(1)
		<-ctx.Done()
		return keys.Record{}, ctx.Err()
	}
	return s.Store.Load(ctx)
}

func TestRunRefreshesWhileAKeyIsGenerated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.create(t, 60*time.Second) // D is 15s; the spare key is generated 15s ahead
		var calls []time.Duration
		start := time.Now()
		b.o.Generate = func(alg jwk.Algorithm, size int) (jwk.PrivateKey, error) {
			calls = append(calls, time.Since(start))
			time.Sleep(40 * time.Second)
			return jwk.Generate(alg, size)
		}
		r, err := keys.Open(t.Context(), b.o)
		must(t, err)
		stop := startRun(t, r)
		for range 88 {
			time.Sleep(time.Second)
			synctest.Wait()
			if age := r.Status().Age; age > time.Second {
				t.Fatalf("confirmed %v ago", age)
			}
		}
		if got := r.Keyset().Active().ActiveAt.Sub(start); got < 85*time.Second || got > 86*time.Second {
			t.Errorf("rotated after %v, and the new key was ready after 85s", got)
		}
		if len(calls) != 1 || calls[0] < 45*time.Second || calls[0] > 46*time.Second {
			t.Errorf("keys were generated after %v, want one after 45s", calls)
		}
		stop()
		time.Sleep(time.Minute) // until the generation of the next key ends
	})
}

func TestRunIfKeysCannotBeGenerated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.create(t, 60*time.Second)
		var attempts atomic.Int64
		var works atomic.Bool
		b.o.Generate = func(alg jwk.Algorithm, size int) (jwk.PrivateKey, error) {
			if attempts.Add(1); works.Load() {
				return jwk.Generate(alg, size)
			}
			return jwk.PrivateKey{}, errors.New("no entropy")
		}
		r, err := keys.Open(t.Context(), b.o)
		must(t, err)
		startRun(t, r)
		time.Sleep(75 * time.Second)
		synctest.Wait()
		wantSigns(t, r)
		if n := attempts.Load(); n < 10 || n > 31 {
			t.Errorf("%d attempts in 30s", n)
		}
		works.Store(true)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if k := r.Keyset().Active(); time.Since(k.ActiveAt) > 3*time.Second {
			t.Errorf("not rotated: %+v", k)
		}
		b.log.want(t, 1, `"msg":"key generation failed"`, "no entropy")
		b.log.want(t, 1, `"msg":"key generation recovered"`)
	})
}

func TestRunLogsARefusedStepOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		pending, _ := b.create(t, 60*time.Second).Keyset().Pending()
		var back atomic.Bool
		b.store.hook(func(s *hookedStore) {
			s.onPrivateKey = func(kid string, sealed []byte, err error) ([]byte, error) {
				if kid == pending.KeyID() && !back.Load() {
					return nil, keys.ErrNoPrivateKey
				}
				return sealed, err
			}
		})
		r, err := keys.Open(t.Context(), b.o)
		must(t, err)
		startRun(t, r)
		time.Sleep(90 * time.Second)
		synctest.Wait()
		wantSigns(t, r)
		back.Store(true)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if r.Keyset().Active().KeyID() != pending.KeyID() {
			t.Error("the private key is back, and the key does not sign")
		}
		b.log.want(t, 1, `"msg":"timed step failed"`, pending.KeyID())
		b.log.want(t, 1, `"msg":"timed step recovered"`)
	})
}

// storeWithEarlyHints returns from every Wait at once.
type storeWithEarlyHints struct{ keys.Store }

func (storeWithEarlyHints) Wait(ctx context.Context, _ uint64) error { return ctx.Err() }

func TestEarlyHintsDoNotMakeTheLoopPollTooOften(t *testing.T) {
	for name, tt := range map[string]struct {
		load        error
		least, most int64 // reads in ten seconds
	}{
		"the store works":   {nil, 10, 105},
		"the store is down": {errDown, 1, 15},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t)
				b.create(t, 24*time.Hour)
				b.o.Store = storeWithEarlyHints{b.store}
				r, err := keys.Open(t.Context(), b.o)
				must(t, err)
				var reads atomic.Int64
				b.store.hook(func(s *hookedStore) { s.onLoad = func() error { reads.Add(1); return tt.load } })
				startRun(t, r)
				time.Sleep(10 * time.Second)
				if n := reads.Load(); n < tt.least || n > tt.most {
					t.Errorf("%d reads in ten seconds, want %d to %d", n, tt.least, tt.most)
				}
			})
		})
	}
}
