package server

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// patience is how long a connection must have been idle to be closed for another.
// HTTP/2 calls a connection idle before it has written the last answer.
const patience = 50 * time.Millisecond

// limitListener has at most so many connections open at once. Others wait in
// the system's backlog. An idle connection gives way to one that wants in, and
// where all are busy, one that is answered is told to end, so that nobody locks
// others out by holding connections open.
type limitListener struct {
	net.Listener
	slots chan struct{}
	full  *atomic.Bool  // the next answer shall end its connection
	last  atomic.Uint64 // counts how often a connection became idle

	mu   sync.Mutex
	open map[*limitedConn]struct{}
}

func newLimitListener(l net.Listener, limit int, full *atomic.Bool) *limitListener {
	return &limitListener{Listener: l, slots: make(chan struct{}, limit), full: full, open: map[*limitedConn]struct{}{}}
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

// enter takes a slot. If none is free, it looks for connections that end for it
// until there is one.
func (l *limitListener) enter() {
	select {
	case l.slots <- struct{}{}:
		return
	default:
	}
	defer l.full.Store(false)
	var idle *limitedConn
	var since uint64
	for {
		l.full.Store(true)
		c, now := l.longestIdle()
		if c != nil && c == idle && now == since {
			_ = c.Close() // the server hears of it when it reads
		}
		idle, since = c, now
		select {
		case l.slots <- struct{}{}:
			return
		case <-time.After(patience):
		}
	}
}

// longestIdle also tells since when, as a count.
func (l *limitListener) longestIdle() (longest *limitedConn, least uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		if since := c.idle.Load(); since != 0 && (longest == nil || since < least) {
			longest, least = c, since
		}
	}
	return longest, least
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
		conn = secure.NetConn()
	}
	c, ok := conn.(*limitedConn)
	if !ok {
		return
	}
	if s == http.StateIdle {
		c.idle.Store(l.last.Add(1))
	} else {
		c.idle.Store(0)
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
