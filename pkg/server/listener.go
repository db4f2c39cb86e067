package server

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// limitListener has at most so many connections open at once. Others wait in
// the system's backlog. An idle connection gives way to one that wants in, so
// that nobody locks others out by holding connections open.
type limitListener struct {
	net.Listener
	slots chan struct{}

	mu   sync.Mutex
	idle map[net.Conn]uint64 // when each became idle, as a count
	last uint64              // of that count
	full bool                // Accept waits for a slot
}

func newLimitListener(l net.Listener, limit int) *limitListener {
	return &limitListener{Listener: l, slots: make(chan struct{}, limit), idle: map[net.Conn]uint64{}}
}

// Accept waits for a slot, also on a closed listener: whoever closes it closes
// the connections too.
func (l *limitListener) Accept() (net.Conn, error) {
	l.enter()
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: conn, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

// enter takes a slot, that of the longest idle connection if no other is free.
func (l *limitListener) enter() {
	select {
	case l.slots <- struct{}{}:
		return
	default:
	}
	l.mu.Lock()
	var longest net.Conn
	for c, since := range l.idle {
		if longest == nil || since < l.idle[longest] {
			longest = c
		}
	}
	l.full = longest == nil
	delete(l.idle, longest)
	l.mu.Unlock()
	if longest != nil {
		hangUp(longest)
	}
	l.slots <- struct{}{}
	l.mu.Lock()
	l.full = false
	l.mu.Unlock()
}

// state follows which connections are idle, as the ConnState of a server.
func (l *limitListener) state(c net.Conn, s http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s != http.StateIdle {
		delete(l.idle, c)
		return
	}
	if l.full {
		l.full = false
		hangUp(c)
		return
	}
	l.last++
	l.idle[c] = l.last
}

// hangUp closes a connection below its TLS, which would take its time to say
// goodbye.
func hangUp(c net.Conn) {
	if secure, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = secure.NetConn()
	}
	_ = c.Close() // the server hears of it when it reads
}

// limitedConn gives its slot back when it is closed.
type limitedConn struct {
	net.Conn
	free func()
}

func (c *limitedConn) Close() error {
	defer c.free()
	return c.Conn.Close()
}

// tally counts what is under way and lets one wait for the end of it.
type tally struct {
	n    *atomic.Int64
	none chan struct{} // holds something when n has come to 0 since it was last looked at
}

func newTally() tally { return tally{new(atomic.Int64), make(chan struct{}, 1)} }

func (t tally) add() { t.n.Add(1) }

func (t tally) done() {
	if t.n.Add(-1) > 0 {
		return
	}
	select {
	case t.none <- struct{}{}:
	default:
	}
}

// wait returns when nothing is under way, or ctx is done.
func (t tally) wait(ctx context.Context) {
	for t.n.Load() > 0 {
		select {
		case <-t.none:
		case <-ctx.Done():
			return
		}
	}
}
