package storetest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// largestMessage is the longest message in bytes that a Proxy forwards.
const largestMessage = 16 << 20

// Direction is the direction of a message.
type Direction int

// The directions.
const (
	ToServer Direction = iota
	ToClient
)

func (d Direction) String() string { return [...]string{"to the server", "to the client"}[d] }

// Action is what a Proxy does with a message and its connection.
type Action int

// The actions. A cut closes the connection on both sides.
const (
	CutBefore  Action = iota // cut instead of forwarding the message
	CutInside                // forward the first part of the message, then cut
	CutAfter                 // forward the message, then cut
	Delay                    // forward the message, and all that follow it in its direction, later
	Hang                     // forward nothing more in either direction, and keep the connection open
	HangInside               // forward the first part of the message, then hang
	Call                     // call a function, then forward the message
)

func (a Action) String() string {
	return [...]string{"cut before", "cut inside", "cut after", "delay", "hang", "hang inside", "call"}[a]
}

// Fault is done to one message.
type Fault struct {
	Direction Direction
	Message   int // counted from 1 since the fault was ordered, over all connections
	Action    Action
	Delay     time.Duration // of the action Delay

	// Call is the function of the action Call. It gets the address of the proxy's
	// connection, by which the server knows it.
	Call func(client net.Addr)

	// Match, if it is not nil, selects the messages that count.
	Match func(message []byte) bool
}

// Proxy forwards connections to a server, message by message, and does the faults that
// a test orders. Other connections, and all later messages, are forwarded.
type Proxy struct {
	t               testing.TB
	listener        net.Listener
	network, server string
	framing         Framing
	done            sync.WaitGroup // of the goroutines

	mu          sync.Mutex
	refusing    bool
	hanging     bool
	fault       Fault
	matched     int           // messages that the fault has counted
	fired       chan struct{} // closed when the fault is done; nil if no fault is ordered
	links       map[*link]struct{}
	messages    [2]int
	connections int
	closed      bool
}

// link is a connection of a client, and the one to the server that belongs to it.
type link struct {
	proxy          *Proxy
	client, server net.Conn // server is nil until it is connected
	ctx            context.Context
	cut            context.CancelFunc // ends ctx, which closes the connections
	hanging        bool               // it forwards nothing more; guarded by proxy.mu
}

// NewProxy starts a proxy on a loopback port, in front of the server at an address of
// package net. The test's cleanup closes it.
func NewProxy(t testing.TB, network, server string, framing Framing) *Proxy {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{
		t: t, listener: listener, network: network, server: server, framing: framing, links: map[*link]struct{}{},
	}
	p.done.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Addr is the address at which the proxy listens, HOST:PORT.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Order makes the proxy do a fault once, instead of the one that was ordered before. The
// channel is closed when the proxy does it.
func (p *Proxy) Order(f Fault) (fired <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.matched, p.fired = f, 0, make(chan struct{})
	return p.fired
}

// Refuse cuts every connection, and every new one at once, until Heal.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusing = true
	p.cutAll()
}

// Hang forwards nothing on any connection, and accepts new ones, until Heal.
func (p *Proxy) Hang() {
	p.mu.Lock()
	p.hanging = true
	p.mu.Unlock()
	p.HangOpen()
}

// HangOpen forwards nothing more on the connections that are open. New ones are
// forwarded.
func (p *Proxy) HangOpen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.hanging = true
	}
}

// Cut cuts every connection. New ones are forwarded.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutAll()
}

// Heal ends every fault. It cuts the connections that hang.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fired, p.refusing, p.hanging = nil, false, false
	for l := range p.links {
		if l.hanging {
			l.cut()
		}
	}
}

// Count returns how many messages arrived in each direction, and how many connections,
// since the proxy was started.
func (p *Proxy) Count() (toServer, toClient, connections int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.messages[ToServer], p.messages[ToClient], p.connections
}

func (p *Proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.cutAll()
	p.mu.Unlock()
	p.done.Wait()
}

// cutAll cuts every connection. The caller has locked mu.
func (p *Proxy) cutAll() {
	for l := range p.links {
		l.cut()
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		ctx, cut := context.WithCancel(context.Background()) // close ends it
		l := &link{proxy: p, client: client, ctx: ctx, cut: cut}
		p.mu.Lock()
		p.connections++
		p.links[l] = struct{}{}
		l.hanging = p.hanging
		if p.closed || p.refusing {
			cut()
		}
		p.mu.Unlock()
		p.done.Go(l.run)
	}
}

// run forwards until the link is cut, or one side closes its connection.
func (l *link) run() {
	defer l.end()
	if !l.mayForward() {
		return
	}
	server, err := (&net.Dialer{}).DialContext(l.ctx, l.proxy.network, l.proxy.server)
	if err != nil {
		return
	}
	l.server = server
	fromClient, fromServer := l.proxy.framing()
	var pumps sync.WaitGroup
	pumps.Go(func() { l.pump(ToServer, l.client, server, fromClient) })
	pumps.Go(func() { l.pump(ToClient, server, l.client, fromServer) })
	context.AfterFunc(l.ctx, func() {
		_ = l.client.Close()
		_ = server.Close()
	})
	pumps.Wait()
}

func (l *link) end() {
	l.cut()
	// Without lingering, the client gets a reset, which it would get from a closed port.
	if c, ok := l.client.(*net.TCPConn); ok && l.server == nil {
		_ = c.SetLinger(0)
	}
	_ = l.client.Close()
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	delete(l.proxy.links, l)
}

// pump forwards the messages of one direction. At the end it cuts the link, unless that
// hangs: then the other side does not hear of it.
func (l *link) pump(d Direction, from, to net.Conn, split bufio.SplitFunc) {
	defer l.cut()
	scanner := bufio.NewScanner(from)
	scanner.Buffer(nil, largestMessage)
	scanner.Split(split)
	for last := false; !last && scanner.Scan(); {
		var forward []byte
		forward, last = l.judge(d, scanner.Bytes(), to)
		if !l.mayForward() {
			return
		}
		if _, err := to.Write(forward); err != nil {
			return
		}
	}
	err := scanner.Err()
	if _, network := errors.AsType[net.Error](err); err != nil && !network && !errors.Is(err, io.ErrUnexpectedEOF) {
		l.proxy.t.Errorf("proxy: a message %v: %v", d, err)
	}
	l.mayForward()
}

// judge counts a message and does the fault that was ordered for it. It returns how much
// of the message to forward, and whether to cut the link after that.
func (l *link) judge(d Direction, message []byte, to net.Conn) (forward []byte, last bool) {
	f, ok := l.proxy.count(l, d, message)
	if !ok {
		return message, false
	}
	switch f.Action {
	case CutBefore:
		return nil, true
	case CutInside:
		return message[:len(message)/2], true
	case CutAfter:
		return message, true
	case Delay:
		select {
		case <-l.ctx.Done():
		case <-time.After(f.Delay):
		}
	case HangInside:
		_, _ = to.Write(message[:len(message)/2])
	case Call:
		f.Call(l.server.LocalAddr())
	}
	return message, false
}

// count counts a message of l, and reports whether the ordered fault is for this one.
func (p *Proxy) count(l *link, d Direction, message []byte) (Fault, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.messages[d]++
	f := p.fault
	if p.fired == nil || d != f.Direction || (f.Match != nil && !f.Match(message)) {
		return f, false
	}
	if p.matched++; p.matched != f.Message {
		return f, false
	}
	if f.Action == Hang || f.Action == HangInside {
		l.hanging = true
	}
	close(p.fired)
	p.fired = nil
	return f, true
}

// mayForward returns false if the link was cut. If the link hangs, it waits for that.
func (l *link) mayForward() bool {
	l.proxy.mu.Lock()
	hanging := l.hanging
	l.proxy.mu.Unlock()
	if hanging {
		<-l.ctx.Done()
	}
	return l.ctx.Err() == nil
}
