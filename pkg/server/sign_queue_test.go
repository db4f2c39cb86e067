package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/keys/keystest"
)

// occupy starts as many signatures as may run at the same time, and returns a function
// that ends them. Call it in a synctest bubble.
func occupy(q *signQueue) (finish func()) {
	end := make(chan struct{})
	for q.running.TryAcquire(1) {
		q.running.Release(1)
		go func() {
			_ = q.do(context.Background(), func() error { <-end; return nil })
		}()
		synctest.Wait()
	}
	return func() { close(end); synctest.Wait() }
}

func sign() error { return nil }

func TestSignQueueReturnsSignError(t *testing.T) {
	q := newSignQueue(1, func(time.Duration) {})
	failed := errors.New("no signature")
	if err := q.do(t.Context(), func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("error %v, want that of the signature", err)
	}
	if err := q.do(t.Context(), sign); err != nil {
		t.Errorf("after a failure: %v", err)
	}
}

func TestSignQueueLimitsConcurrentSignatures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waited []time.Duration
		q := newSignQueue(2, func(d time.Duration) { waited = append(waited, d) })
		finish := occupy(q)
		done := make(chan error, 1)
		go func() { done <- q.do(t.Context(), sign) }()
		time.Sleep(time.Second)
		if len(done) > 0 {
			t.Error("a third signature ran")
		}
		finish()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(waited) != 1 || waited[0] != time.Second {
			t.Errorf("waits = %v, want one of 1s", waited)
		}
	})
}

func TestSignQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newSignQueue(1, func(time.Duration) {})
		finish := occupy(q)
		done := make(chan error, queueLength)
		for range queueLength {
			go func() { done <- q.do(t.Context(), sign) }()
		}
		synctest.Wait()
		if err := q.do(t.Context(), sign); !errors.Is(err, errQueueFull) {
			t.Errorf("error %v, want errQueueFull", err)
		}
		finish()
		for range queueLength {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestSignQueueAfterCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newSignQueue(1, func(time.Duration) {})
		finish := occupy(q)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, queueLength)
		for range queueLength {
			go func() { done <- q.do(ctx, sign) }()
		}
		synctest.Wait()
		cancel()
		for range queueLength {
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want context.Canceled", err)
			}
		}
		go func() { done <- q.do(t.Context(), sign) }()
		synctest.Wait()
		finish()
		if err := <-done; err != nil {
			t.Errorf("the queue is still full after all others were canceled: %v", err)
		}
	})
}

func TestSignQueueTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newSignQueue(1, func(time.Duration) {})
		finish := occupy(q)
		start := time.Now()
		if err := q.do(t.Context(), sign); !errors.Is(err, errQueueFull) || time.Since(start) != signTimeout {
			t.Errorf("error %v after %v, want errQueueFull after %v", err, time.Since(start), signTimeout)
		}
		finish()
	})
}

func TestSignQueueAfterPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // so that a wait for signTimeout takes no time
		q := newSignQueue(1, func(time.Duration) {})
		for range 2 * queueLength {
			func() {
				defer func() { _ = recover() }()
				_ = q.do(t.Context(), func() error { panic("a signer is broken") })
			}()
		}
		if err := q.do(t.Context(), sign); err != nil {
			t.Errorf("after panics: %v", err)
		}
	})
}

func TestClientDisconnectsWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t)
		finish := occupy(s.queue)
		conn, err := s.listener.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "POST /auth HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		_ = conn.Close()
		synctest.Wait()
		srv := &testServer{Server: s.Server}
		wantMetrics(t, srv, map[string]string{
			`jwksctl_http_requests_total{method="POST",route="/auth",status="503"}`: "1",
			`jwksctl_tokens_total{alg="RS256",kind="valid"}`:                        "0",
		})
		finish()
		s.stop()
		<-s.ended
	})
}

func TestAuthWaitsForItsSignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newTestServer(t, keys.Settings{})
		finish := occupy(srv.queue)
		answered := make(chan int, 1)
		go func() { answered <- srv.do("POST", "/auth", "").StatusCode }()
		synctest.Wait()
		if len(answered) > 0 {
			t.Errorf("answered %d although the queue was occupied", <-answered)
		}
		finish()
		if status := <-answered; status != http.StatusOK {
			t.Errorf("status = %d", status)
		}
		wantMetrics(t, srv, map[string]string{"jwksctl_sign_wait_seconds_count": "1"})
	})
}

func TestFullSignQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newTestServer(t, keys.Settings{})
		srv.queue = newSignQueue(1, func(time.Duration) {})
		finish := occupy(srv.queue)
		for range queueLength {
			go func() { _ = srv.queue.do(t.Context(), sign) }()
		}
		synctest.Wait()
		r := srv.do("POST", "/auth", "")
		if r.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		wantProblem(t, r, http.StatusServiceUnavailable, "wait for a signature")
		if r := srv.do("GET", "/jwks", ""); r.StatusCode != http.StatusOK {
			t.Errorf("GET /jwks: status %d, want 200", r.StatusCode)
		}
		finish()
	})
}

func TestWaitForSpecimenOutsideSignQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t)
		no, yes := false, true
		for _, wanted := range []*bool{&no, &yes} { // leaves the ring without a specimen that its policy requires
			if _, err := s.o.Ring.SetPolicy(t.Context(), keys.Settings{ExpiredTokens: wanted}); err != nil {
				t.Fatal(err)
			}
			if wanted == &no {
				if err := s.o.Ring.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		srv := &testServer{Server: s.Server, ring: s.o.Ring, clock: keystest.NewClock(), logged: &lockedBuffer{}}
		srv.queue = newSignQueue(1, func(time.Duration) {})
		start := time.Now()
		answered := make(chan *http.Response, 1)
		go func() { answered <- srv.do("POST", "/auth?expired", "") }()
		synctest.Wait()
		if !srv.queue.running.TryAcquire(1) {
			t.Error("a request that waits for the specimen occupies the queue")
		}
		srv.queue.running.Release(1)
		if r := <-answered; r.StatusCode != http.StatusServiceUnavailable || time.Since(start) != signTimeout {
			t.Errorf("without a specimen: status %d after %v", r.StatusCode, time.Since(start))
		}
		go func() { answered <- srv.do("POST", "/auth?expired", "") }()
		synctest.Wait()
		if err := s.o.Ring.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := <-answered; r.StatusCode != http.StatusOK {
			t.Errorf("after the specimen was made: status %d", r.StatusCode)
		}
		s.stop()
		<-s.ended
	})
}
