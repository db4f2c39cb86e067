package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
)

type work func()

func (w work) run() { w() }

func do(ctx context.Context, c *crew, w work) error { return c.do(ctx, w) }

// occupy takes every place of a crew until finish is called. Inside of
// a synctest bubble.
func occupy(t *testing.T, c *crew) (finish func()) {
	t.Helper()
	block := make(chan struct{})
	for range c.free {
		go func() {
			if err := do(t.Context(), c, func() { <-block }); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
	}
	return func() { close(block) }
}

func TestCrew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(2, 2)
		finish := occupy(t, c)
		ctx, giveUp := context.WithCancel(t.Context())
		impatient, patient := make(chan error, 1), make(chan error, 1)
		done := 0
		go func() { impatient <- do(ctx, c, func() { done++ }) }()
		go func() { patient <- do(t.Context(), c, func() { done++ }) }()
		synctest.Wait()
		if err := do(t.Context(), c, func() { done++ }); !errors.Is(err, errOverload) {
			t.Errorf("beyond the queue: %v", err)
		}
		giveUp()
		synctest.Wait()
		if len(c.waiting) != 1 {
			t.Errorf("%d wait, want only who did not give up", len(c.waiting))
		}
		finish()
		if err := <-impatient; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up got %v", err)
		}
		if err := <-patient; err != nil {
			t.Errorf("who waited got %v", err)
		}
		synctest.Wait()
		if done != 1 {
			t.Errorf("%d pieces of work were done, want only that of who waited", done)
		}
		if c.free != 2 || len(c.waiting) != 0 {
			t.Errorf("%d places are free, want 2; %d wait", c.free, len(c.waiting))
		}
	})
}

func TestCrewDoesNotLetWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(1, 1)
		finish := occupy(t, c)
		start := time.Now()
		err := do(t.Context(), c, func() { t.Error("the work was done all the same") })
		if !errors.Is(err, errOverload) || time.Since(start) != signTimeout {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		finish()
	})
}

func TestCrewTellsHowLongEachWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(1, 2)
		waits := make(chan time.Duration, 3)
		c.waited = func(d time.Duration) { waits <- d }
		finish := occupy(t, c) // who waits for nothing tells nothing
		ctx, giveUp := context.WithTimeout(t.Context(), time.Second)
		defer giveUp()
		go func() { _ = do(ctx, c, func() {}) }()
		go func() { _ = do(t.Context(), c, func() { <-time.After(time.Hour) }) }()
		<-time.After(3 * time.Second)
		finish()
		if gaveUp, waited := <-waits, <-waits; gaveUp != time.Second || waited != 3*time.Second {
			t.Errorf("told of %v and %v, want 1s and 3s", gaveUp, waited)
		}
		if len(waits) > 0 {
			t.Errorf("and of %v", <-waits)
		}
	})
}

func TestCrewTellsOfACrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var told []string
		c := newCrew(1, 2)
		c.crowd.tell = func(here bool) { told = append(told, fmt.Sprint(here, " after ", time.Since(start))) }
		wait := func() {
			finish := occupy(t, c)
			go func() { _ = do(t.Context(), c, func() {}) }()
			synctest.Wait()
			finish()
			synctest.Wait()
		}
		if err := do(t.Context(), c, func() {}); err != nil || told != nil {
			t.Errorf("told %v of one who found a place (%v)", told, err)
		}
		wait()
		<-time.After(dispersal / 2)
		wait()
		<-time.After(3 * dispersal)
		wait()
		// The first look, at 1m, finds that somebody has waited; that at 2m, nobody.
		want := []string{"true after 0s", "false after 2m0s", "true after 3m30s"}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Error(diff)
		}
	})
}

func TestCrewSeesACrowdOnOneProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	told := false
	c := newCrew(1, 10)
	c.crowd.tell = func(here bool) { told = here }
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if err := do(t.Context(), c, func() {}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if !told {
		t.Error("ten came at once, and nobody was seen to wait")
	}
}

func TestCrewLosesNobody(t *testing.T) {
	c := newCrew(2, 1000)
	results := make(chan error)
	const rounds = 1000
	for range 8 {
		go func() {
			for range rounds {
				results <- do(t.Context(), c, func() {})
			}
		}()
	}
	for range 8 * rounds {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
}

func TestCrewPanicsWhereTheRequestIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(1, 1)
		panics := func() {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.Contains(text, "boom") {
					t.Errorf("recovered %q", text)
				}
			}()
			_ = do(t.Context(), c, func() { panic("boom") })
		}
		panics()
		finish := occupy(t, c)
		go panics() // a member does the work
		synctest.Wait()
		finish()
		synctest.Wait()
		if err := do(t.Context(), c, func() {}); err != nil || c.free != 1 {
			t.Errorf("afterwards: %v, %d places free, want 1", err, c.free)
		}
	})
}

func TestAuthWaitsForItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		crowded := false
		b := newRig(t, keys.Settings{}, func(o *Options) { o.Crowded = func(here bool) { crowded = here } })
		finish := occupy(t, b.crew)
		answered := make(chan int, 1)
		go func() { answered <- b.do("POST", "/auth", "").StatusCode }()
		synctest.Wait()
		if len(answered) > 0 {
			t.Errorf("answered %d while no place is free", <-answered)
		}
		finish()
		if status := <-answered; status != http.StatusOK {
			t.Errorf("status = %d", status)
		}
		if !crowded {
			t.Error("nobody was told of a crowd")
		}
		wantMetrics(t, b, map[string]string{"jwksctl_sign_wait_seconds_count": "1"})
	})
}

func TestFloodedAuthAnswers503AndTheSetStaysThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(t, keys.Settings{})
		b.crew = newCrew(1, 1)
		finish := occupy(t, b.crew)
		go func() { _ = do(t.Context(), b.crew, func() {}) }() // the queue is full now
		synctest.Wait()
		r := b.do("POST", "/auth", "")
		if r.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		wantProblem(t, r, http.StatusServiceUnavailable, "wait for a signature")
		if r := b.do("GET", "/jwks", ""); r.StatusCode != 200 {
			t.Errorf("the JWK Set: %d", r.StatusCode)
		}
		finish()
		synctest.Wait()
	})
}

func TestExpiredTokensWaitForTheSpecimen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t)
		no, yes := false, true
		for _, wanted := range []*bool{&no, &yes} { // leaves the ring without a specimen that it should have
			if _, err := s.o.Ring.SetPolicy(t.Context(), keys.Settings{ExpiredTokens: wanted}); err != nil {
				t.Fatal(err)
			}
			if wanted == &no {
				if err := s.o.Ring.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		b := &rig{Server: s.Server, ring: s.o.Ring, clock: keystest.NewClock(), logged: &lockedBuffer{}}
		start, places := time.Now(), s.crew.free
		answered := make(chan *http.Response, 1)
		go func() { answered <- b.do("POST", "/auth?expired", "") }()
		synctest.Wait()
		if s.crew.free != places {
			t.Error("who waits for the specimen takes a place from those who can be served")
		}
		if r := <-answered; r.StatusCode != http.StatusServiceUnavailable || time.Since(start) != signTimeout {
			t.Errorf("without a specimen: %d after %v", r.StatusCode, time.Since(start))
		}
		go func() { answered <- b.do("POST", "/auth?expired", "") }()
		synctest.Wait()
		if err := s.o.Ring.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := <-answered; r.StatusCode != http.StatusOK {
			t.Errorf("once there is a specimen: %d", r.StatusCode)
		}
		s.stop()
		<-s.ended
	})
}
