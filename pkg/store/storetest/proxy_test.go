package storetest_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/store/storetest"
)

// message is a message of PostgreSQL's protocol.
func message(kind byte, text string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(text)+4)), text...)
}

// startup is the first message of a client of PostgreSQL, which has no type.
func startup(code uint32, text string) []byte {
	m := binary.BigEndian.AppendUint32(nil, uint32(len(text)+8))
	return append(binary.BigEndian.AppendUint32(m, code), text...)
}

// frame is a frame of HTTP/2.
func frame(kind byte, text string) []byte {
	return append([]byte{0, byte(len(text) >> 8), byte(len(text)), kind, 0, 0, 0, 0, 1}, text...)
}

// peers are both ends of a connection through a proxy.
type peers struct {
	t              *testing.T
	proxy          *storetest.Proxy
	servers        <-chan net.Conn
	client, server net.Conn
}

func newPeers(t *testing.T, framing storetest.Framing) *peers {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	servers := make(chan net.Conn, 8)
	go func() {
		defer close(servers)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			servers <- c
		}
	}()
	proxy := storetest.NewProxy(t, "tcp", listener.Addr().String(), framing)
	t.Cleanup(func() {
		_ = listener.Close()
		for c := range servers {
			_ = c.Close()
		}
	})
	p := &peers{t: t, proxy: proxy, servers: servers}
	p.connect()
	return p
}

// connect makes a new connection.
func (p *peers) connect() {
	p.t.Helper()
	p.client = p.dial()
	select {
	case p.server = <-p.servers:
	case <-time.After(10 * time.Second):
		p.t.Fatal("the proxy does not connect to the server")
	}
	p.t.Cleanup(func() { _ = p.server.Close() })
}

func (p *peers) dial() net.Conn {
	p.t.Helper()
	c, err := (&net.Dialer{}).DialContext(p.t.Context(), "tcp", p.proxy.Addr())
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (p *peers) send(from net.Conn, messages ...[]byte) {
	p.t.Helper()
	if _, err := from.Write(bytes.Join(messages, nil)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peers) want(at net.Conn, messages ...[]byte) {
	p.t.Helper()
	want := bytes.Join(messages, nil)
	got := make([]byte, len(want))
	_ = at.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := io.ReadFull(at, got); err != nil || !bytes.Equal(got, want) {
		p.t.Fatalf("received %q, %v, want %q", got[:n], err, want)
	}
}

// wantEnd checks that exactly these bytes arrive before the connection ends.
func (p *peers) wantEnd(at net.Conn, messages ...[]byte) {
	p.t.Helper()
	want := bytes.Join(messages, nil)
	_ = at.SetReadDeadline(time.Now().Add(10 * time.Second))
	got, err := io.ReadAll(at)
	if errors.Is(err, syscall.ECONNRESET) {
		err = nil
	}
	if err != nil || !bytes.Equal(got, want) {
		p.t.Fatalf("received %q, %v, want %q and the end of the connection", got, err, want)
	}
}

// wantSilence checks that nothing arrives, and that the connection does not end.
func (p *peers) wantSilence(at net.Conn) {
	p.t.Helper()
	_ = at.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	if n, err := at.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("read %d bytes, %v, want nothing", n, err)
	}
}

// wantFlow checks that a new connection carries messages in both directions.
func (p *peers) wantFlow() {
	p.t.Helper()
	p.connect()
	p.send(p.client, startup(196608, "user"), message('Q', "select 1"))
	p.want(p.server, startup(196608, "user"), message('Q', "select 1"))
	p.send(p.server, message('D', "1"))
	p.want(p.client, message('D', "1"))
}

func TestProxyActions(t *testing.T) {
	one, two, three := message('Q', "one"), message('Q', "two, which is cut"), message('Q', "three")
	for _, tt := range []struct {
		name   string
		action storetest.Action
		passes []byte // of message two
	}{
		{"before", storetest.CutBefore, nil},
		{"inside", storetest.CutInside, two[:len(two)/2]},
		{"after", storetest.CutAfter, two},
	} {
		t.Run(tt.name+", to the server", func(t *testing.T) {
			p := newPeers(t, storetest.PostgreSQL)
			fired := p.proxy.Order(storetest.Fault{Direction: storetest.ToServer, Message: 3, Action: tt.action})
			p.send(p.client, startup(196608, "user"), one, two, three)
			p.wantEnd(p.server, startup(196608, "user"), one, tt.passes)
			p.wantEnd(p.client)
			<-fired
			p.wantFlow()
		})
		t.Run(tt.name+", to the client", func(t *testing.T) {
			p := newPeers(t, storetest.PostgreSQL)
			p.send(p.client, startup(196608, "user"))
			p.want(p.server, startup(196608, "user"))
			fired := p.proxy.Order(storetest.Fault{Direction: storetest.ToClient, Message: 2, Action: tt.action})
			p.send(p.server, one, two, three)
			p.wantEnd(p.client, one, tt.passes)
			p.wantEnd(p.server)
			<-fired
			p.wantFlow()
		})
	}
}

func TestProxyMatch(t *testing.T) {
	p := newPeers(t, storetest.PostgreSQL)
	p.proxy.Order(storetest.Fault{Message: 2, Action: storetest.CutBefore, Match: func(m []byte) bool { return m[0] == 'C' }})
	p.send(p.client, startup(196608, "user"), message('C', "1"), message('Q', "2"), message('C', "3"))
	p.wantEnd(p.server, startup(196608, "user"), message('C', "1"), message('Q', "2"))
}

func TestProxyDelay(t *testing.T) {
	p := newPeers(t, storetest.PostgreSQL)
	const delay = 100 * time.Millisecond
	start := time.Now()
	fired := p.proxy.Order(storetest.Fault{Message: 2, Action: storetest.Delay, Delay: delay})
	p.send(p.client, startup(196608, "user"), message('Q', "late"), message('Q', "after it"))
	p.want(p.server, startup(196608, "user"))
	<-fired
	p.send(p.server, message('D', "in time"))
	p.want(p.client, message('D', "in time"))
	p.want(p.server, message('Q', "late"), message('Q', "after it"))
	if took := time.Since(start); took < delay {
		t.Errorf("the message arrived after %v, want at least %v", took, delay)
	}
}

func TestProxyHangsInsideAMessage(t *testing.T) {
	p := newPeers(t, storetest.PostgreSQL)
	two := message('Q', "two")
	fired := p.proxy.Order(storetest.Fault{Message: 2, Action: storetest.HangInside})
	p.send(p.client, startup(196608, "user"), two)
	p.want(p.server, startup(196608, "user"), two[:len(two)/2])
	<-fired
	p.wantSilence(p.server)
	p.proxy.Heal()
	p.wantEnd(p.server)
}

// A connection that hangs carries nothing in either direction, not even its end.
func TestProxyHangsAtAMessage(t *testing.T) {
	p := newPeers(t, storetest.PostgreSQL)
	fired := p.proxy.Order(storetest.Fault{Message: 2, Action: storetest.Hang})
	p.send(p.client, startup(196608, "user"), message('Q', "never"))
	p.want(p.server, startup(196608, "user"))
	<-fired
	p.send(p.server, message('D', "never"))
	p.wantSilence(p.client)
	_ = p.client.Close()
	server := p.server
	p.wantSilence(server)
	p.wantFlow() // on another connection
	p.proxy.Heal()
	p.wantEnd(server)
}

func TestProxyHangs(t *testing.T) {
	p := newPeers(t, storetest.PostgreSQL)
	p.proxy.Hang()
	p.send(p.client, startup(196608, "user"))
	p.send(p.server, message('D', "never"))
	p.wantSilence(p.client)
	p.wantSilence(p.server)
	other := p.dial()
	p.send(other, startup(196608, "user"))
	p.wantSilence(other)
	p.proxy.Heal()
	p.wantEnd(p.client)
	p.wantEnd(p.server)
	p.wantEnd(other)
	p.wantFlow()
}

func TestProxyHangsOpenConnections(t *testing.T) {
	p := newPeers(t, storetest.PostgreSQL)
	p.proxy.HangOpen()
	client, server := p.client, p.server
	p.send(client, startup(196608, "user"))
	p.wantSilence(server)
	p.wantFlow()
	p.proxy.Heal()
	p.wantEnd(client)
	p.wantEnd(server)
}

// The function is called before the message is forwarded.
func TestProxyCalls(t *testing.T) {
	p := newPeers(t, storetest.PostgreSQL)
	called := make(chan struct{})
	p.proxy.Order(storetest.Fault{Message: 2, Action: storetest.Call, Call: func(client net.Addr) {
		defer close(called)
		if client.String() != p.server.RemoteAddr().String() {
			t.Errorf("called with address %v, the server has %v", client, p.server.RemoteAddr())
		}
		p.want(p.server, startup(196608, "user"))
		p.wantSilence(p.server)
	}})
	p.send(p.client, startup(196608, "user"), message('Q', "one"), message('Q', "two"))
	<-called
	p.want(p.server, message('Q', "one"), message('Q', "two"))
}

func TestProxyRefuses(t *testing.T) {
	p := newPeers(t, storetest.PostgreSQL)
	p.proxy.Refuse()
	p.wantEnd(p.client)
	p.wantEnd(p.server)
	for range 20 { // the reset may come before or after Dial returns
		c, err := (&net.Dialer{}).DialContext(p.t.Context(), "tcp", p.proxy.Addr())
		if err == nil {
			p.wantEnd(c)
			_ = c.Close()
		} else if !errors.Is(err, syscall.ECONNRESET) {
			t.Fatal(err)
		}
	}
	p.proxy.Heal()
	p.wantFlow()
}

func TestProxyCutsAndCounts(t *testing.T) {
	p := newPeers(t, storetest.PostgreSQL)
	p.wantFlow()
	p.proxy.Cut()
	p.wantEnd(p.client)
	p.wantFlow()
	toServer, toClient, connections := p.proxy.Count()
	if toServer != 4 || toClient != 2 || connections != 3 {
		t.Errorf("counted %d messages to the server, %d to the client, %d connections, want 4, 2, 3", toServer, toClient, connections)
	}
}

// The answer to a request for encryption is one byte, and another startup message follows.
func TestPostgreSQLEncryptionRequest(t *testing.T) {
	p := newPeers(t, storetest.PostgreSQL)
	for _, code := range []uint32{80877103, 80877104} {
		p.send(p.client, startup(code, ""))
		p.want(p.server, startup(code, ""))
		p.send(p.server, []byte("N"))
		p.want(p.client, []byte("N"))
	}
	p.proxy.Order(storetest.Fault{Direction: storetest.ToClient, Message: 2, Action: storetest.CutBefore})
	p.send(p.client, startup(196608, "user"), message('Q', "select 1"))
	p.want(p.server, startup(196608, "user"), message('Q', "select 1"))
	p.send(p.server, message('N', "a notice begins with N too"), message('D', "1"))
	p.wantEnd(p.client, message('N', "a notice begins with N too"))
}

func TestHTTP2Framing(t *testing.T) {
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	p := newPeers(t, storetest.HTTP2)
	long := frame(0, strings.Repeat("x", 1000))
	fired := p.proxy.Order(storetest.Fault{Message: 4, Action: storetest.CutBefore})
	for _, part := range bytes.SplitAfter(append([]byte(preface), frame(4, "")...), []byte("\n")) {
		p.send(p.client, part)
	}
	p.want(p.server, []byte(preface), frame(4, ""))
	p.send(p.server, frame(4, ""), frame(1, "headers"))
	p.want(p.client, frame(4, ""), frame(1, "headers"))
	p.send(p.client, long, frame(0, "cut"))
	p.wantEnd(p.server, long)
	<-fired
}
