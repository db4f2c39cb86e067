package server

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"net/netip"
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
//
// One address may have at most half of the places, because complete requests can hold a
// connection too: a client of HTTP/2 need not take the answers. If it opens one more, its
// connection that has been idle longest is closed, or the new one if none is idle.
type connections struct {
	places  int
	isProxy func(netip.Addr) bool // an address that may have every place

	mu         sync.Mutex
	open       map[net.Conn]*connection
	of         map[string]int // open, by address
	incomplete list.List      // of *connection, the oldest first
}

// connection is an open connection.
type connection struct {
	net.Conn
	address string        // that it counts for; "" if it is that of a proxy or a Unix socket
	since   time.Time     // when it became incomplete or idle
	element *list.Element // in incomplete; nil if it is not incomplete
	bodies  int           // that requests of HTTP/2 wait for
	idle    bool
}

func newConnections(places int, isProxy func(netip.Addr) bool) *connections {
	return &connections{places: places, isProxy: isProxy, open: make(map[net.Conn]*connection), of: make(map[string]int)}
}

// largestShare is what one address, and incomplete connections together, may take: every
// second place, and at least one.
func (cs *connections) largestShare() int { return max(cs.places/2, 1) }

// setState is the ConnState hook of http.Server. A connection stays in StateNew until the
// header of its first request is complete.
func (cs *connections) setState(c net.Conn, state http.ConnState) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if state == http.StateNew {
		cs.add(c)
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
		if cs.of[connection.address]--; cs.of[connection.address] == 0 {
			delete(cs.of, connection.address)
		}
	}
}

// add adds a new connection. It is called with mu locked.
func (cs *connections) add(c net.Conn) {
	added := &connection{Conn: c, address: cs.addressOf(c)}
	cs.open[c] = added
	cs.of[added.address]++
	if added.address != "" && cs.of[added.address] > cs.largestShare() {
		if oldest := cs.idlest(added.address); oldest != nil {
			oldest.idle = false
			oldest.close()
		} else {
			added.close()
			return
		}
	}
	cs.closeIdle()
	cs.addIncomplete(added)
}

// addressOf returns the address that a connection counts for, as the limits count it.
func (cs *connections) addressOf(c net.Conn) string {
	remote, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return ""
	}
	address := remote.AddrPort().Addr().Unmap().WithZone("")
	if cs.isProxy(address) {
		return ""
	}
	return limitKey(address.String())
}

// idlest returns the connection of an address that has been idle longest, nil if none has
// been idle for minIdle. It is called with mu locked.
func (cs *connections) idlest(address string) (oldest *connection) {
	for _, c := range cs.open {
		if c.address == address && c.idle && time.Since(c.since) >= minIdle && (oldest == nil || c.since.Before(oldest.since)) {
			oldest = c
		}
	}
	return oldest
}

// addIncomplete makes room and then adds a connection. It is called with mu locked.
func (cs *connections) addIncomplete(c *connection) {
	most := cs.largestShare()
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
	cs.removeIncomplete(c) // what happened while mu was not locked
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

// awaitBody counts a connection as one without a complete request, until the function that
// it returns is called. A connection of HTTP/2 counts for as long as one of its requests
// waits for its body. With HTTP/1, the end of the request also ends the wait.
func (cs *connections) awaitBody(r *http.Request) (complete func()) {
	c, ok := r.Context().Value(connectionKey{}).(net.Conn)
	if !ok {
		return func() {}
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	connection, ok := cs.open[c]
	switch {
	case !ok:
		return func() {}
	case r.ProtoMajor == 1:
		cs.addIncomplete(connection)
		return func() { cs.setState(c, http.StateActive) }
	}
	connection.bodies++
	if connection.element == nil {
		cs.addIncomplete(connection)
	}
	return sync.OnceFunc(func() {
		cs.mu.Lock()
		defer cs.mu.Unlock()
		if connection.bodies--; connection.bodies == 0 {
			cs.removeIncomplete(connection)
		}
	})
}
