package server

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

func TestLimiterSlides(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	for _, tt := range []struct {
		rate   float64
		asked  []time.Duration // since the start
		passed []bool
	}{
		{2, []time.Duration{0, 900 * time.Millisecond, 950 * time.Millisecond, time.Second, 1100 * time.Millisecond, 1899 * time.Millisecond, 1900 * time.Millisecond}, []bool{true, true, false, true, false, false, true}},
		{0.5, []time.Duration{0, time.Second, 1999 * time.Millisecond, 2 * time.Second}, []bool{true, false, false, true}},
		{1.5, []time.Duration{0, 0, 0, 1333 * time.Millisecond, 1334 * time.Millisecond}, []bool{true, true, false, false, true}},
	} {
		l := newLimiter(tt.rate)
		for i, after := range tt.asked {
			wait := l.take("a", at.Add(after))
			if (wait == 0) != tt.passed[i] {
				t.Errorf("rate %v: request at %v waits %v", tt.rate, after, wait)
			}
			if wait > 0 && newWait(l, at.Add(after).Add(wait)) != 0 {
				t.Errorf("rate %v: after the wait of %v it is still refused", tt.rate, wait)
			}
		}
	}
}

// newWait asks a copy of the limiter.
func newWait(l *limiter, at time.Time) time.Duration {
	c := &limiter{limit: l.limit, window: l.window, order: l.order, passed: map[string][]time.Time{}}
	for k, v := range l.passed {
		c.passed[k] = slices.Clip(v)
	}
	return c.take("a", at)
}

func TestLimiterTellsAddressesApart(t *testing.T) {
	l, at := newLimiter(1), time.Unix(1_000_000, 0)
	for _, address := range []string{"a", "b"} {
		if l.take(address, at) != 0 || l.take(address, at) == 0 {
			t.Errorf("%s does not have one request", address)
		}
	}
}

func TestLimiterMemoryIsBounded(t *testing.T) {
	l, at := newLimiter(0.001), time.Unix(1_000_000, 0)
	for i := range 2 * maxRemembered {
		l.take(fmt.Sprint(i), at)
	}
	if len(l.order) > maxRemembered || len(l.passed) > maxRemembered {
		t.Errorf("it remembers %d requests of %d addresses", len(l.order), len(l.passed))
	}
	l.take("a", at.Add(2000*time.Second))
	if len(l.order) != 1 || len(l.passed) != 1 {
		t.Errorf("after the window it remembers %d requests of %d addresses", len(l.order), len(l.passed))
	}
}

func TestRateLimit(t *testing.T) {
	b := newRig(t, keys.Settings{}, func(o *Options) { o.RateLimit = 2 })
	for _, want := range []int{200, 200} {
		if r := b.do("POST", "/auth", ""); r.StatusCode != want {
			t.Fatalf("status = %d", r.StatusCode)
		}
	}
	r := b.do("POST", "/auth", "", "X-Forwarded-For", "198.51.100.7") // anybody can say so
	if r.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After = %q", r.Header.Get("Retry-After"))
	}
	wantProblem(t, r, http.StatusTooManyRequests, "too often")
	if r := b.do("GET", "/jwks", ""); r.StatusCode != 200 {
		t.Errorf("the JWK Set is limited too: %d", r.StatusCode)
	}
	b.clock.Advance(time.Second)
	if r := b.do("POST", "/auth", ""); r.StatusCode != 200 {
		t.Errorf("a second later: %d", r.StatusCode)
	}
}

// failing is a listener that is out of file descriptors.
type failing struct{ net.Listener }

func (failing) Accept() (net.Conn, error) { return nil, syscall.EMFILE }

// secured is a connection above another one, as that of TLS is.
type secured struct{ net.Conn }

func (c secured) NetConn() net.Conn { return c.Conn }

// crowdedListener is a limitListener with as many connections as it takes.
func crowdedListener(t *testing.T, limit int) (l *limitListener, ours, theirs []net.Conn) {
	t.Helper()
	dialed := newPipes()
	l = newLimitListener(dialed, limit, new(atomic.Bool))
	for range limit {
		go func() {
			conn, err := l.Accept()
			if err != nil {
				t.Error(err)
			}
			ours = append(ours, conn)
		}()
		client, err := dialed.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		theirs = append(theirs, client)
	}
	return l, ours, theirs
}

// wantClosed tells from the other end of a connection whether it was closed.
func wantClosed(t *testing.T, client net.Conn, want bool, who string) {
	t.Helper()
	err := client.SetDeadline(time.Now().Add(time.Millisecond))
	if err == nil { // or the pipe says already that its other end is closed
		_, err = client.Read(make([]byte, 1))
	}
	if closed := !errors.Is(err, os.ErrDeadlineExceeded); closed != want {
		t.Errorf("%s: closed is %v (%v), want %v", who, closed, err, want)
	}
}

func TestLongestIdleConnectionGivesWayFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which sees a wait without an end
		l, ours, theirs := crowdedListener(t, 4)
		for _, conn := range ours {
			l.state(secured{conn}, http.StateIdle)
		}
		l.state(ours[0], http.StateActive)
		for i := range ours[1:] {
			l.enter()
			for j, client := range theirs {
				wantClosed(t, client, 0 < j && j <= i+1, fmt.Sprintf("connection %d after %d gave way", j, i+1))
			}
		}
	})
}

func TestOnlyOneConnectionGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, ours, theirs := crowdedListener(t, 3)
		entered := 0
		enter := func() {
			l.enter()
			entered++
		}
		go enter()
		synctest.Wait()
		_ = ours[0].Close() // by itself: nobody has to give way any more
		synctest.Wait()
		l.state(ours[1], http.StateIdle)
		wantClosed(t, theirs[1], false, "who was idle when nobody waited")

		l.state(ours[1], http.StateActive)
		go enter()
		synctest.Wait()
		if entered != 1 || !l.full.Load() {
			t.Errorf("%d entered while all were busy, want 1; the next answer is to end its connection: %v", entered, l.full.Load())
		}
		for _, conn := range ours[1:] {
			l.state(conn, http.StateIdle)
		}
		<-time.After(patience * 3 / 2) // they are looked at for the first time
		for _, state := range []http.ConnState{http.StateActive, http.StateIdle} {
			l.state(ours[1], state)
			l.state(ours[2], state)
		}
		<-time.After(patience)
		wantClosed(t, theirs[1], false, "who was busy meanwhile")
		<-time.After(2 * patience)
		synctest.Wait()
		wantClosed(t, theirs[1], true, "the first that was idle")
		wantClosed(t, theirs[2], false, "the one after it")
		if entered != 2 || l.full.Load() {
			t.Errorf("%d have entered, want 2; the next answer is to end its connection: %v", entered, l.full.Load())
		}
	})
}

// HTTP/2 calls a connection idle before it has written the answer.
func TestAnswersArriveBeforeTheirConnectionGivesWay(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newRig(t, keys.Settings{})
			release := make(chan struct{})
			s.handle("/block", endpoint{methods: []string{"GET"}, serve: func(w *response, _ *http.Request) error {
				<-release
				return w.json(http.StatusOK, "application/json", "done")
			}})
			var protocols http.Protocols
			protocols.SetUnencryptedHTTP2(h2)
			protocols.SetHTTP1(!h2)
			p := newPipes()
			l := newLimitListener(p, 1, &s.full)
			srv := &http.Server{Handler: s.Handler(), Protocols: &protocols, ConnState: l.state, ReadHeaderTimeout: headerTimeout}
			go func() { _ = srv.Serve(l) }()
			client := p.client()
			client.Transport.(*http.Transport).Protocols = &protocols
			answered := make(chan error, 1)
			go func() {
				status, err := get(t, client, "/block")
				if status != http.StatusOK {
					err = fmt.Errorf("status %d: %w", status, err)
				}
				answered <- err
			}()
			<-time.After(10 * patience) // Accept waits for a slot
			close(release)
			if err := <-answered; err != nil {
				t.Errorf("HTTP/2 %v: %v", h2, err)
			}
			_ = srv.Close()
			client.CloseIdleConnections()
		})
	}
}

// Where all connections are busy, one ends with its next answer.
func TestBusyConnectionsGiveWay(t *testing.T) {
	b := newRig(t, keys.Settings{})
	b.full.Store(true)
	for i, want := range []string{"close", ""} {
		if got := b.do("GET", "/jwks", "").Header.Get("Connection"); got != want {
			t.Errorf("answer %d says Connection: %q, want %q", i+1, got, want)
		}
	}
}

func TestFailedAcceptsTakeNoSlot(t *testing.T) {
	l := newLimitListener(failing{}, 1, new(atomic.Bool))
	for range 3 {
		if _, err := l.Accept(); !errors.Is(err, syscall.EMFILE) || len(l.slots) != 0 {
			t.Fatalf("Accept = %v, %d slots taken", err, len(l.slots))
		}
	}
}
