package server

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
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
