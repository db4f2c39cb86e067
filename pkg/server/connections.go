package server

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// timeToRead is how long a busy server may take until it has read a request that has
// arrived.
const timeToRead = time.Millisecond / 2

// minIdle is how long a connection may be idle although every place is taken. A client
// that sends one request after another is not idle for that long.
const minIdle = time.Second

// connections are the open connections of a server. At most half of the places that
// MaxConnections allows are taken by connections without a complete request: if there is
// one more, the oldest of them is closed. A client that opens connections and sends
// nothing therefore cannot keep others out.
//
// The request of a connection may have arrived while the server is still reading those of
// others. A connection is therefore not closed before the server had the time to read from
// all of them; until then, no other is accepted.
//
// While every place is taken, connections that have been idle for minIdle are closed.
type connections struct {
	places int

	mu         sync.Mutex
	open       map[net.Conn]*connection
	incomplete list.List // of *connection, the oldest first
}

// connection is an open connection.
type connection struct {
	net.Conn
	since   time.Time     // when it became incomplete or idle
	element *list.Element // in incomplete; nil if it is not incomplete
	idle    bool
}

func newConnections(places int) *connections {
	return &connections{places: places, open: make(map[net.Conn]*connection)}
}

// setState is the ConnState hook of http.Server. A connection stays in StateNew until the
// header of its first request is complete.
func (cs *connections) setState(c net.Conn, state http.ConnState) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if state == http.StateNew {
		cs.open[c] = &connection{Conn: c}
		cs.closeIdle()
		cs.addIncomplete(cs.open[c])
		return
	}
	connection, ok := cs.open[c]
	if !ok {
		return
	}
	cs.removeIncomplete(connection)
	if connection.idle = state == http.StateIdle; connection.idle {
		connection.since = time.Now()
	}
	if state == http.StateClosed {
		delete(cs.open, c)
	}
}

// addIncomplete makes room and then adds a connection. It is called with mu locked.
func (cs *connections) addIncomplete(c *connection) {
	most := max(cs.places/2, 1)
	for cs.incomplete.Len() >= most {
		oldest, _ := cs.incomplete.Front().Value.(*connection)
		if time.Since(oldest.since) < time.Duration(most)*timeToRead {
			cs.mu.Unlock()
			<-time.After(timeToRead)
			cs.mu.Lock()
			continue
		}
		cs.removeIncomplete(oldest)
		oldest.close()
	}
	c.since = time.Now()
	c.element = cs.incomplete.PushBack(c)
}

func (cs *connections) removeIncomplete(c *connection) {
	if c.element != nil {
		cs.incomplete.Remove(c.element)
		c.element = nil
	}
}

// closeIdle closes idle connections if every place is taken. It is called with mu locked.
func (cs *connections) closeIdle() {
	if len(cs.open) < cs.places {
		return
	}
	for _, c := range cs.open {
		if c.idle && time.Since(c.since) >= minIdle {
			c.idle = false
			c.close()
		}
	}
}

// tick closes idle connections again, because none may have been idle for minIdle when the
// last place was taken.
func (cs *connections) tick() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.closeIdle()
}

// close does not wait, because TLS sends an alert first.
func (c *connection) close() { go func() { _ = c.Close() }() }

// connectionKey is the key of a request's connection in its context.
type connectionKey struct{}

// withConnection is the ConnContext hook of http.Server.
func withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// awaitBody counts a connection as one without a complete request until bodyComplete is
// called or the request has been answered. It ignores HTTP/2, where other requests of the
// same connection may be complete.
func (cs *connections) awaitBody(r *http.Request) {
	c, ok := r.Context().Value(connectionKey{}).(net.Conn)
	if !ok || r.ProtoMajor != 1 {
		return
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if connection, ok := cs.open[c]; ok {
		cs.addIncomplete(connection)
	}
}

// bodyComplete undoes awaitBody.
func (cs *connections) bodyComplete(r *http.Request) {
	if c, ok := r.Context().Value(connectionKey{}).(net.Conn); ok {
		cs.setState(c, http.StateActive)
	}
}
