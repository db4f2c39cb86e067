package keys_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
	"github.com/jwksctl/jwksctl/pkg/store/memory"
)

// bubble is what a ring in a synctest bubble needs.
type bubble struct {
	store *hookedStore
	log   logLines
	o     keys.Options
}

func newBubble(t *testing.T) *bubble {
	t.Helper()
	b := &bubble{store: &hookedStore{Store: memory.New(time.Now)}}
	start := time.Now()
	b.o = keys.Options{
		Store: b.store, Sealer: newSealer(t), Log: b.log.logger(),
		Clock: keys.Clock{Now: time.Now, Uptime: func() time.Duration { return time.Since(start) }},
	}
	return b
}

func (b *bubble) create(t *testing.T, interval time.Duration) *keys.Ring {
	t.Helper()
	p := keystest.Policy(interval)
	p.ExpiredTokens = false
	r, err := keys.Create(t.Context(), b.o, p)
	must(t, err)
	return r
}

// startRun runs a ring until the test ends or calls stop, which waits for the end.
func startRun(t *testing.T, r *keys.Ring) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func TestRunRotatesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		r := b.create(t, 10*time.Second)
		startRun(t, r)
		var active []string
		for range 85 { // until 42.5s
			time.Sleep(500 * time.Millisecond)
			synctest.Wait()
			wantSigns(t, r)
			k := r.Keyset().Active()
			if age := time.Since(k.ActiveAt); age > 11*time.Second {
				t.Fatalf("key %s signs for %v", k.KeyID(), age)
			}
			if !slices.Contains(active, k.KeyID()) {
				active = append(active, k.KeyID())
			}
		}
		if len(active) != 5 || r.Status().Steps[keys.StepExpire] < 2 || len(r.Keyset().Public(time.Now())) > 5 {
			t.Errorf("%d keys signed, steps %v", len(active), r.Status().Steps)
		}
		b.log.want(t, 0, `"level":"ERROR"`)
	})
}

func TestRingsOnOneStoreShareTheSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		rings := []*keys.Ring{b.create(t, 10*time.Second), b.create(t, 10*time.Second), b.create(t, 10*time.Second)}
		for _, r := range rings {
			startRun(t, r)
		}
		time.Sleep(65 * time.Second)
		synctest.Wait()
		var rotations uint64
		for _, r := range rings {
			rotations += r.Status().Steps[keys.StepActivate]
			if r.Keyset().Version != rings[0].Keyset().Version {
				t.Errorf("versions %d and %d", r.Keyset().Version, rings[0].Keyset().Version)
			}
		}
		if rotations != 6 {
			t.Errorf("%d rotations in 65s", rotations)
		}
		b.log.want(t, 0, `"level":"ERROR"`) // a swap that another ring won is no error
	})
}

// storeWithoutHints fails at every Wait.
type storeWithoutHints struct{ keys.Store }

func (storeWithoutHints) Wait(context.Context, uint64) error { return errDown }

func TestRunSeesAChangeByAnotherProcess(t *testing.T) {
	for _, tt := range []struct {
		name   string
		hints  bool
		within time.Duration
	}{{"by the store's hint", true, 0}, {"without hints", false, time.Second}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t)
				other := b.create(t, 24*time.Hour)
				if !tt.hints {
					b.o.Store = storeWithoutHints{b.store}
				}
				r, err := keys.Open(t.Context(), b.o)
				must(t, err)
				startRun(t, r)
				time.Sleep(90*time.Minute + 100*time.Millisecond)
				revoked := r.Keyset().Active().KeyID()
				must(t, other.Revoke(t.Context(), revoked, keys.StepRequest{}))
				time.Sleep(tt.within)
				synctest.Wait()
				if got := publishedKids(t, r); slices.Contains(got, revoked) || len(got) != 2 {
					t.Errorf("still published: %v", got)
				}
				wantSigns(t, r)
			})
		})
	}
}

func TestRunReadsTheStoreOftenEnoughAndNotMore(t *testing.T) {
	for _, tt := range []struct {
		interval time.Duration
		staleAt  time.Duration // the highest age of the view
		reads    int64         // in a minute, at most
	}{
		{24 * time.Hour, time.Second, 62},         // every second
		{4 * time.Second, time.Second/3 + 1, 400}, // three times in max_staleness, which is one second
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBubble(t)
			r := b.create(t, tt.interval)
			var reads atomic.Int64
			b.store.hook(func(s *hookedStore) { s.onLoad = func() error { reads.Add(1); return nil } })
			stop := startRun(t, r)
			for range 600 {
				time.Sleep(100 * time.Millisecond)
				if age := r.Status().Age; age > tt.staleAt {
					t.Fatalf("R = %v: confirmed %v ago", tt.interval, age)
				}
			}
			stop()
			if n := reads.Load(); n > tt.reads {
				t.Errorf("R = %v: %d reads in a minute", tt.interval, n)
			}
		})
	}
}

func TestRunCreatesTheSpecimen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.o.Generate = func(alg jwk.Algorithm, size int) (jwk.PrivateKey, error) {
			time.Sleep(3 * time.Second)
			return jwk.Generate(alg, size)
		}
		r, err := keys.Create(t.Context(), b.o, keystest.Policy(24*time.Hour))
		must(t, err)
		start := time.Now()
		startRun(t, r)
		wantSigns(t, r)
		_, now, latest, err := r.Specimen(time.Minute).SigningKey(t.Context())
		if took := time.Since(start); err != nil || took != 3*time.Second {
			t.Fatalf("the specimen came after %v, %v", took, err)
		}
		if end := time.Now().Add(-time.Hour); !latest.Equal(end) || !now.Equal(end.Add(-time.Minute)) {
			t.Errorf("from %v to %v", now, latest)
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		r := b.create(t, 60*time.Second)
		stop := startRun(t, r)
		time.Sleep(10 * time.Second)
		start := time.Now()
		stop()
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %v to end", took)
		}
	}) // fails if a goroutine is still running
}

// storeWithSlowWait returns from a Wait one second after its context is done.
type storeWithSlowWait struct {
	keys.Store
	ended atomic.Bool
}

func (s *storeWithSlowWait) Wait(ctx context.Context, _ uint64) error {
	<-ctx.Done()
	time.Sleep(time.Second)
	s.ended.Store(true)
	return ctx.Err()
}

func TestRunWaitsForItsGoroutinesAndLogsNoErrorAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.create(t, 60*time.Second)
		slow := &storeWithSlowWait{Store: b.store}
		hanging := &hangingStore{Store: slow}
		b.o.Store = hanging
		r, err := keys.Open(t.Context(), b.o)
		must(t, err)
		hanging.hangs.Store(true)
		stop := startRun(t, r)
		time.Sleep(time.Second)
		stop() // during a read
		if !slow.ended.Load() {
			t.Error("the ring still waits for hints")
		}
		b.log.want(t, 0, `"level":"ERROR"`)
	})
}
