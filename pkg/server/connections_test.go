package server

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// flood opens 260 connections a second, sends the same bytes on each, and never closes one.
func (s *runningServer) flood(ctx context.Context, text string) {
	tick := time.NewTicker(time.Second / 260)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		go s.send(ctx, text)
	}
}

// send sends bytes on a new connection and keeps it until the server closes it.
func (s *runningServer) send(ctx context.Context, text string) {
	conn, err := s.listener.dial(ctx)
	if err != nil {
		return // the test has ended
	}
	_, _ = io.WriteString(conn, text)
	_, _ = io.Copy(io.Discard, conn)
}

// ask asks for a document on a connection and checks that the answer comes at once.
func ask(t *testing.T, conn net.Conn, path string) {
	start := time.Now()
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Error(err)
		return
	}
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Error(err)
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("GET %s: status %d, %v", path, r.StatusCode, err)
	}
	if took := time.Since(start); took > 50*time.Millisecond {
		t.Errorf("GET %s took %v", path, took)
	}
}

// During a flood of connections, the server answers new clients at once, and 500 clients
// keep their connections.
func TestFloodOfIncompleteRequests(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                 "",
		"part of a header":        "GET /jwks HTTP/1.1\r\nHost: a\r\nX: ",
		"part of a body":          "POST /auth HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{",
		"no body after 100":       "POST /auth HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 50\r\n\r\n",
		"part of an ignored body": "GET /jwks HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{",
		"part of a chunk":         "GET /nothing HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n99\r\n{",
	} {
		t.Run(name, func(t *testing.T) { checkFlood(t, text, 2, 5*time.Second) })
	}
}

// During a flood of connections that are idle after one request, clients that ask more
// often than every second keep theirs.
func TestFloodOfIdleConnections(t *testing.T) {
	checkFlood(t, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", 8, 900*time.Millisecond)
}

// checkFlood checks that 500 clients can connect during a flood, and that each can ask
// several times on its connection.
func checkFlood(t *testing.T, text string, times int, pause time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t)
		ctx, stop := context.WithCancel(t.Context())
		go s.flood(ctx, text)
		time.Sleep(5 * time.Second) // by then it has opened more connections than there are places
		var clients sync.WaitGroup
		for i := range 500 {
			clients.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				s.keepAsking(t, times, pause)
			})
		}
		clients.Wait()
		stop()
		s.stop()
		<-s.ended
	})
}

// keepAsking asks on one connection.
func (s *runningServer) keepAsking(t *testing.T, times int, pause time.Duration) {
	start := time.Now()
	conn, err := s.listener.dial(t.Context())
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = conn.Close() }()
	if took := time.Since(start); took > 50*time.Millisecond {
		t.Errorf("a new connection took %v", took)
	}
	for range times {
		ask(t, conn, "/jwks")
		time.Sleep(pause)
	}
}

func TestOldestIncompleteRequestGivesWay(t *testing.T) {
	for _, tt := range []struct{ places, incomplete int }{{2, 1}, {3, 1}, {4, 2}, {10, 5}} {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, func(o *Options) { o.MaxConnections = tt.places })
			closed := make(chan int, tt.places+1)
			for i := range tt.incomplete + 1 {
				conn, err := s.listener.dial(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					_, _ = io.Copy(io.Discard, conn)
					closed <- i
				}()
				time.Sleep(time.Millisecond)
				if i < tt.incomplete && len(closed) > 0 {
					t.Errorf("%d of %d places: connection %d was closed", i+1, tt.places, <-closed)
				}
			}
			synctest.Wait()
			if len(closed) != 1 {
				t.Fatalf("%d of %d places: %d connections were closed, want 1", tt.incomplete+1, tt.places, len(closed))
			}
			if i := <-closed; i != 0 {
				t.Errorf("%d places: connection %d was closed, want the oldest", tt.places, i)
			}
			s.stop()
			<-s.ended
		})
	}
}

// A request is not cut off because others connect before the server has read it.
func TestConnectionsAtTheSameMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, func(o *Options) { o.MaxConnections = 20 })
		var clients sync.WaitGroup
		for range 200 {
			clients.Go(func() {
				conn, err := s.listener.dial(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				ask(t, conn, "/jwks")
				_ = conn.Close()
			})
		}
		clients.Wait()
		for range 200 {
			go s.send(t.Context(), "")
		}
		conn, err := s.listener.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ask(t, conn, "/jwks")
		_ = conn.Close()
		s.stop()
		<-s.ended
	})
}

// A server whose places are all taken closes idle connections after a second, and none
// that is in use.
func TestIdleConnectionsGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, func(o *Options) { o.MaxConnections = 3 })
		release := s.addBlockingRoute()
		idle := make([]net.Conn, 2)
		for i := range idle {
			conn, err := s.listener.dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ask(t, conn, "/jwks")
			idle[i] = conn
		}
		time.Sleep(10 * time.Second)
		for _, conn := range idle { // one place is free
			ask(t, conn, "/jwks")
		}
		busy := make(chan error, 1)
		go func() {
			status, err := get(t, s.listener.client(), "/block")
			if status != http.StatusOK && err == nil {
				err = http.ErrAbortHandler
			}
			busy <- err
		}()
		start := time.Now()
		synctest.Wait()
		conn, err := s.listener.dial(t.Context())
		if took := time.Since(start); err != nil || took < minIdle || took > 2*minIdle {
			t.Errorf("a connection beyond the limit took %v, %v", took, err)
		}
		ask(t, conn, "/jwks")
		release()
		if err := <-busy; err != nil {
			t.Errorf("the request in flight: %v", err)
		}
		for _, conn := range append(idle, conn) {
			_ = conn.Close()
		}
		s.stop()
		<-s.ended
	})
}

// A request of HTTP/2 whose body does not arrive makes its connection incomplete, also if
// others of the connection are complete.
func TestHTTP2ConnectionsThatWaitForABodyGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, trust := serveTLS(t, func(o *Options) { o.MaxConnections = 4 })
		ended := make(chan int, 3)
		var bodies []*io.PipeWriter
		for i := range 3 {
			client := s.http2Client(trust)
			defer client.CloseIdleConnections()
			body, w := io.Pipe()
			bodies = append(bodies, w)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://server/auth", body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			go func() {
				if answer, err := client.Do(r); err == nil {
					_ = answer.Body.Close()
				}
				ended <- i
			}()
			synctest.Wait()
			time.Sleep(time.Second)
			if i < 2 && len(ended) > 0 {
				t.Errorf("%d connections: that of request %d was closed", i+1, <-ended)
			}
			if i == 0 { // another request of its connection is answered meanwhile
				get, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://server/jwks", nil)
				if err != nil {
					t.Fatal(err)
				}
				answer, err := client.Do(get)
				if err != nil {
					t.Fatal(err)
				}
				_ = answer.Body.Close()
			}
		}
		synctest.Wait()
		if len(ended) != 1 {
			t.Fatalf("%d connections were closed, want 1", len(ended))
		}
		if i := <-ended; i != 0 {
			t.Errorf("connection %d was closed, want the oldest", i)
		}
		finish := occupy(s.queue) // so that the answers wait
		for _, w := range bodies {
			_, _ = io.WriteString(w, "{}")
			_ = w.Close()
		}
		synctest.Wait()
		if n := s.connections.incomplete.Len(); n != 0 || len(ended) > 0 {
			t.Errorf("%d connections are incomplete although their bodies have arrived, %d are answered", n, len(ended))
		}
		finish()
		for range bodies[1:] {
			<-ended
		}
		s.stop()
		<-s.ended
	})
}

// openConn is a connection of an address. It knows when it was closed.
type openConn struct {
	net.Conn
	address string
	closed  atomic.Bool
}

func (c *openConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(c.address), 1000))
}

func (c *openConn) Close() error { c.closed.Store(true); return nil }

func TestOneAddressHasHalfOfThePlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newTestServer(t, keys.Settings{}, func(o *Options) {
			o.MaxConnections, o.BehindProxy = 10, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		})
		cs := srv.connections
		var open []*openConn
		connect := func(address string, state http.ConnState) *openConn {
			c := &openConn{address: address}
			open = append(open, c)
			cs.setState(c, http.StateNew)
			synctest.Wait()
			if !c.closed.Load() {
				cs.setState(c, state)
			}
			return c
		}
		for i, address := range []string{"192.0.2.1", "2001:db8::%d", "10.0.0.1"} {
			limit := []int{5, 5, 10}[i]
			for n := range limit + 1 {
				c := connect(strings.ReplaceAll(address, "%d", strconv.Itoa(n)), http.StateActive)
				if want := n == limit && limit < 10; c.closed.Load() != want {
					t.Errorf("%s: connection %d is closed: %v", address, n+1, !want)
				}
			}
		}
		for _, c := range open {
			cs.setState(c, http.StateClosed)
		}
		if len(cs.of) != 0 || len(cs.open) != 0 {
			t.Errorf("after all were closed: %v, %d open", cs.of, len(cs.open))
		}
		idle := connect("192.0.2.1", http.StateIdle)
		time.Sleep(time.Second)
		for range 5 { // the last one gets the place of the idle one
			if c := connect("192.0.2.1", http.StateIdle); c.closed.Load() {
				t.Error("a connection was closed, although another one is idle")
			}
		}
		if !idle.closed.Load() {
			t.Error("the idle connection was not closed")
		}
		if c := connect("192.0.2.1", http.StateIdle); !c.closed.Load() {
			t.Error("a connection was closed that had just been used")
		}
	})
}
