package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

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

// listening is a rig behind a limitListener, and a client of one protocol that
// counts its connections.
func listening(t *testing.T, limit int, h2 bool) (b *rig, client *http.Client, dialed *atomic.Int32) {
	t.Helper()
	b, dialed = newRig(t, keys.Settings{}), new(atomic.Int32)
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(h2)
	protocols.SetHTTP1(!h2)
	p := newPipes()
	l := newLimitListener(p, limit, &b.full)
	srv := &http.Server{Handler: b.Handler(), Protocols: &protocols, ConnState: l.state, ReadHeaderTimeout: headerTimeout}
	go func() { _ = srv.Serve(l) }()
	client = &http.Client{Transport: &http.Transport{Protocols: &protocols, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		dialed.Add(1)
		return p.dial(ctx)
	}}}
	t.Cleanup(func() {
		_ = srv.Close()
		client.CloseIdleConnections()
	})
	return b, client, dialed
}

// HTTP/2 calls a connection idle before it has written the answer.
func TestAnswersArriveBeforeTheirConnectionGivesWay(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b, client, _ := listening(t, 1, h2)
			release := make(chan struct{})
			b.handle("/block", endpoint{methods: []string{"GET"}, serve: func(w *response, _ *http.Request) error {
				<-release
				return w.json(http.StatusOK, "application/json", "done")
			}})
			go func() {
				<-time.After(10 * patience) // Accept waits for a slot by then
				close(release)
			}()
			if status, err := get(t, client, "/block"); status != http.StatusOK || err != nil {
				t.Errorf("HTTP/2 %v: %d, %v", h2, status, err)
			}
		})
	}
}

// Where all connections are busy, one ends with its next answer, and no more.
func TestBusyConnectionsGiveWay(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b, client, dialed := listening(t, 10, h2)
			for i, want := range []int32{1, 1, 2, 2} {
				if status, err := get(t, client, "/jwks"); status != http.StatusOK || err != nil {
					t.Errorf("HTTP/2 %v, request %d: %d, %v", h2, i+1, status, err)
				}
				synctest.Wait()
				if got := dialed.Load(); got != want {
					t.Errorf("HTTP/2 %v, request %d: on connection %d, want %d", h2, i+1, got, want)
				}
				if i == 0 {
					b.full.Store(true) // the second request is the last of its connection
				}
			}
		})
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
