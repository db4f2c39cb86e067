package remote_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/remote"
)

// address is where inMemory servers are; plain http is fine for this machine.
const address = "http://localhost/jwks.json"

// origin is a server whose answer can be changed while it runs. It remembers
// the header of each request.
type origin struct {
	mu     sync.Mutex
	answer http.HandlerFunc
	asked  []http.Header
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.asked = append(o.asked, r.Header.Clone())
	answer := o.answer
	o.mu.Unlock()
	answer(w, r)
}

func (o *origin) answers(h http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answer = h
}

func (o *origin) requests() []http.Header {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked
}

// says answers with this body and these header lines, name and value by turns.
func says(body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Add(header[i], header[i+1])
		}
		_, _ = w.Write([]byte(body))
	}
}

func fails(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

// hangs never answers.
func hangs(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// newOrigin starts a real HTTP server on in-memory connections, so that it can
// live in a synctest bubble, and returns a Source of it.
func newOrigin(t *testing.T, answer http.HandlerFunc, o remote.Options) (*origin, *remote.Source) {
	t.Helper()
	server := &origin{answer: answer}
	o.Transport = inMemory(t, server)
	source, err := remote.New(address, o)
	if err != nil {
		t.Fatal(err)
	}
	return server, source
}

func inMemory(t *testing.T, h http.Handler) http.RoundTripper {
	t.Helper()
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	// Shutdown, since a bubble ends only when the last handler has returned.
	t.Cleanup(func() { _ = server.Shutdown(context.WithoutCancel(t.Context())) })
	return &http.Transport{DialContext: l.dial, DisableKeepAlives: true}
}

type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "pipe"} }

func newKey(tb testing.TB) jwk.PublicKey {
	tb.Helper()
	key, err := jwk.Generate(jwk.EdDSA, 0)
	if err != nil {
		tb.Fatal(err)
	}
	return key.Public()
}

func setOf(tb testing.TB, keys ...jwk.PublicKey) string {
	tb.Helper()
	data, err := json.Marshal(jwk.Set{Keys: keys})
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}
