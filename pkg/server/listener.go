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
	last  atomic.Uint64 // counts how often a connection became idle
	full  atomic.Bool   // Accept waits for a slot, and takes that of the next idle connection

	mu   sync.Mutex
	open map[*limitedConn]struct{}
}

func newLimitListener(l net.Listener, limit int) *limitListener {
	return &limitListener{Listener: l, slots: make(chan struct{}, limit), open: map[*limitedConn]struct{}{}}
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
	c := &limitedConn{Conn: conn}
	c.free = sync.OnceFunc(func() { l.leave(c) })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c] = struct{}{}
	return c, nil
}

// enter takes a slot, that of the longest idle connection if no other is free.
func (l *limitListener) enter() {
	select {
	case l.slots <- struct{}{}:
		return
	default:
	}
	l.full.Store(true) // first, so that whoever is not found idle sees it
	if c := l.longestIdle(); c != nil && l.full.CompareAndSwap(true, false) {
		_ = c.Close() // the server hears of it when it reads
	}
	l.slots <- struct{}{}
	l.full.Store(false)
}

func (l *limitListener) longestIdle() (longest *limitedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var least uint64
	for c := range l.open {
		if since := c.idle.Load(); since != 0 && (longest == nil || since < least) {
			longest, least = c, since
		}
	}
	return longest
}

func (l *limitListener) leave(c *limitedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
	<-l.slots
}

// state follows which connections are idle, as the ConnState of a server. It is
// called twice for each request, and so takes no lock.
func (l *limitListener) state(conn net.Conn, s http.ConnState) {
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn() // and TLS would take its time to say goodbye
	}
	c, ok := conn.(*limitedConn)
	if !ok {
		return
	}
	if s != http.StateIdle {
		c.idle.Store(0)
		return
	}
	c.idle.Store(l.last.Add(1))
	if l.full.CompareAndSwap(true, false) {
		_ = c.Close()
	}
}

// limitedConn gives its slot back when it is closed.
type limitedConn struct {
	net.Conn
	idle atomic.Uint64 // when it became so, as a count; 0 while it is not
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
