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

// connections are the open connections of a server. At most half of the places that
// MaxConnections allows are taken by connections without a complete request: if there is
// one more, the oldest of them is closed. A client that opens connections and sends
// nothing therefore cannot keep others out.
//
// The request of a connection may have arrived while the server is still reading those of
// others. A connection is therefore not closed before the server had the time to read from
// all of them; until then, no other is accepted.
type connections struct {
	places int

	mu         sync.Mutex
	incomplete list.List // of incomplete, the oldest first
	elements   map[net.Conn]*list.Element
}

// incomplete is a connection without a complete request.
type incomplete struct {
	net.Conn
	since time.Time
}

func newConnections(places int) *connections {
	return &connections{places: places, elements: make(map[net.Conn]*list.Element)}
}

// setState is the ConnState hook of http.Server. A connection stays in StateNew until the
// header of its first request is complete.
func (cs *connections) setState(c net.Conn, state http.ConnState) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if state != http.StateNew {
		cs.remove(c)
		return
	}
	most := max(cs.places/2, 1)
	for cs.incomplete.Len() >= most {
		oldest, _ := cs.incomplete.Front().Value.(incomplete)
		if time.Since(oldest.since) < time.Duration(most)*timeToRead {
			cs.mu.Unlock()
			time.Sleep(timeToRead)
			cs.mu.Lock()
			continue
		}
		cs.remove(oldest.Conn)
		go func() { _ = oldest.Close() }() // TLS sends an alert first, which may take time
	}
	cs.elements[c] = cs.incomplete.PushBack(incomplete{c, time.Now()})
}

func (cs *connections) remove(c net.Conn) {
	if element, ok := cs.elements[c]; ok {
		cs.incomplete.Remove(element)
		delete(cs.elements, c)
	}
}

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
	if c, ok := r.Context().Value(connectionKey{}).(net.Conn); ok && r.ProtoMajor == 1 {
		cs.setState(c, http.StateNew)
	}
}

// bodyComplete undoes awaitBody.
func (cs *connections) bodyComplete(r *http.Request) {
	if c, ok := r.Context().Value(connectionKey{}).(net.Conn); ok {
		cs.setState(c, http.StateActive)
	}
}
