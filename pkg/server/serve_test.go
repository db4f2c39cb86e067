package server

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// pipeListener is a listener in memory. Its connections belong to the synctest bubble of
// a test, so they use its fake clock.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipeListener) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// client returns an HTTP client that connects to the listener.
func (p *pipeListener) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx) },
	}}
}

// runningServer is a server whose Serve runs in the synctest bubble of a test.
type runningServer struct {
	*Server
	listener *pipeListener
	stop     context.CancelFunc
	ended    chan error
}

func serve(t *testing.T, change ...func(*Options)) *runningServer {
	t.Helper()
	o := Options{Ring: newRing(t, time.Now, keys.Settings{})}
	for _, f := range change {
		f(&o)
	}
	ctx, stop := context.WithCancel(t.Context())
	s := &runningServer{Server: New(o), listener: newPipeListener(), stop: stop, ended: make(chan error, 1)}
	go func() { s.ended <- s.Serve(ctx, s.listener) }()
	t.Cleanup(stop)
	return s
}

// block adds a route whose requests stay in flight until release is called.
func (s *runningServer) addBlockingRoute() (release func()) {
	released := make(chan struct{})
	s.route("GET /block", func(w http.ResponseWriter, r *http.Request) error {
		select {
		case <-released:
			writeJSON(w, http.StatusOK, "application/json", "done")
			return nil
		case <-r.Context().Done():
			return r.Context().Err()
		}
	})
	return sync.OnceFunc(func() { close(released) })
}

func get(t *testing.T, c *http.Client, path string) (int, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://server"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

func TestDrainLetsRequestsFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t)
		release := s.addBlockingRoute()
		client := s.listener.client()
		answered := make(chan int, 1)
		go func() {
			status, err := get(t, client, "/block")
			if err != nil {
				t.Error(err)
			}
			answered <- status
		}()
		synctest.Wait()
		s.stop()
		synctest.Wait()
		if status, err := get(t, s.listener.client(), "/readyz"); status != http.StatusServiceUnavailable {
			t.Errorf("/readyz while draining: %d, %v", status, err)
		}
		time.Sleep(5 * time.Second)
		release()
		if status := <-answered; status != http.StatusOK {
			t.Errorf("the request in flight got %d", status)
		}
		if err := <-s.ended; err != nil {
			t.Errorf("Serve = %v", err)
		}
		client.CloseIdleConnections()
	})
}

// A client that polls /readyz must receive a 503 before the port closes.
func TestDrainDelay(t *testing.T) {
	for _, delay := range []time.Duration{0, 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, func(o *Options) { o.DrainDelay, o.DrainTimeout = delay, time.Second })
			client := s.listener.client()
			defer client.CloseIdleConnections()
			if status, err := get(t, client, "/readyz"); status != http.StatusOK {
				t.Fatalf("/readyz: %d, %v", status, err)
			}
			start := time.Now()
			s.stop()
			if delay > 0 {
				time.Sleep(delay - time.Millisecond)
				for path, want := range map[string]int{"/readyz": http.StatusServiceUnavailable, "/jwks": http.StatusOK} {
					if status, err := get(t, s.listener.client(), path); status != want {
						t.Errorf("%s while draining: %d, %v", path, status, err)
					}
				}
			}
			if err := <-s.ended; err != nil || time.Since(start).Round(100*time.Millisecond) != delay {
				t.Errorf("Serve = %v after %v, want %v", err, time.Since(start), delay)
			}
			if _, err := s.listener.dial(t.Context()); err == nil {
				t.Error("a connection is accepted after Serve returned")
			}
		})
	}
}

// The server answers requests that arrive during the drain, but they do not prolong it.
func TestDrainDoesNotWaitForLateRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, func(o *Options) { o.DrainDelay, o.DrainTimeout = time.Second, time.Hour })
		s.route("GET /slow", func(w http.ResponseWriter, _ *http.Request) error {
			time.Sleep(10 * time.Second)
			writeJSON(w, http.StatusOK, "application/json", "done")
			return nil
		})
		synctest.Wait()
		s.stop()
		var late sync.WaitGroup
		for range 2 {
			time.Sleep(500*time.Millisecond - time.Microsecond)
			late.Go(func() {
				if status, err := get(t, s.listener.client(), "/slow"); status != http.StatusOK {
					t.Errorf("a late request got %d, %v", status, err)
				}
			})
		}
		time.Sleep(time.Second)
		if _, err := s.listener.dial(t.Context()); err == nil {
			t.Error("the port is still open: the drain waited for a late request")
		}
		late.Wait()
		if err := <-s.ended; err != nil {
			t.Error(err)
		}
	})
}

func TestDrainTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, func(o *Options) { o.DrainTimeout = 3 * time.Second })
		defer s.addBlockingRoute()()
		client := s.listener.client()
		failed := make(chan error, 1)
		go func() {
			_, err := get(t, client, "/block")
			failed <- err
		}()
		synctest.Wait()
		start := time.Now()
		s.stop()
		if err := <-s.ended; err != nil || time.Since(start) < 3*time.Second || time.Since(start) > 4*time.Second {
			t.Errorf("Serve = %v after %v", err, time.Since(start))
		}
		if err := <-failed; err == nil {
			t.Error("the request that did not end was not cut off")
		}
	})
}

func TestServeReturnsListenerError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t)
		synctest.Wait()
		_ = s.listener.Close()
		if err := <-s.ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve = %v", err)
		}
	})
}

func TestSlowClientsAreCutOff(t *testing.T) {
	for name, tt := range map[string]struct {
		send    string
		within  time.Duration
		answer  string // how the bytes start that the client reads before the server closes
		reading bool   // the client reads the answer at once
	}{
		"nothing":       {"", headerTimeout, "", true},
		"half a header": {"GET /jwks HTTP/1.1\r\nHost: a\r\nX: ", headerTimeout, "", true},
		"half a body":   {"POST /auth HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{", readTimeout, "HTTP/1.1 408", true},
		"then idle":     {"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", idleTimeout, "HTTP/1.1 200", true},
		"never reads":   {"GET /jwks HTTP/1.1\r\nHost: a\r\n\r\n", writeTimeout, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t)
				conn, err := s.listener.dial(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				if _, err := io.WriteString(conn, tt.send); err != nil {
					t.Fatal(err)
				}
				if !tt.reading {
					time.Sleep(tt.within + time.Second)
					synctest.Wait()
				}
				answer, _ := io.ReadAll(conn)
				if took := time.Since(start); took < tt.within || took > tt.within+time.Second {
					t.Errorf("the connection was open for %v, want %v", took, tt.within)
				}
				if !strings.HasPrefix(string(answer), tt.answer) || (tt.answer == "" && strings.Contains(string(answer), "200 OK")) {
					t.Errorf("answer = %.60q", answer)
				}
				_ = conn.Close()
				s.stop()
				<-s.ended
			})
		})
	}
}

func TestHeadersAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t)
		conn, err := s.listener.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		go func() { // net/http stops reading before the end of this header
			_, _ = io.WriteString(conn, "GET /jwks HTTP/1.1\r\nHost: a\r\nX: "+strings.Repeat("x", 2*maxHeaderBytes)+"\r\n\r\n")
		}()
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || r.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%v, %v", r, err)
		}
		_ = conn.Close()
		s.stop()
		<-s.ended
	})
}

func TestConnectionsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, func(o *Options) { o.MaxConnections = 2 })
		release := s.addBlockingRoute()
		dial := func() (net.Conn, error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			conn, err := s.listener.dial(ctx)
			if err != nil {
				return nil, err
			}
			_, err = io.WriteString(conn, "GET /block HTTP/1.1\r\nHost: a\r\n\r\n")
			return conn, err
		}
		first, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		second, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := dial(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a third connection: %v", err)
		}
		_ = first.Close()
		synctest.Wait()
		third, err := dial()
		if err != nil {
			t.Errorf("after one was closed: %v", err)
		}
		s.stop() // now Accept waits until a connection ends
		release()
		for _, conn := range []net.Conn{second, third} {
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
		if err := <-s.ended; err != nil {
			t.Error(err)
		}
	})
}

// serveTLS is serve with a certificate. It returns the settings of a client that trusts it.
func serveTLS(t *testing.T, change ...func(*Options)) (*runningServer, *tls.Config) {
	t.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"server"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	s := serve(t, append(change, func(o *Options) {
		o.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	})...)
	return s, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// http2Client returns a client with a connection of its own.
func (s *runningServer) http2Client(config *tls.Config) *http.Client {
	client := s.listener.client()
	transport := client.Transport.(*http.Transport)
	transport.TLSClientConfig = config
	transport.ForceAttemptHTTP2 = true
	return client
}

func TestTLSServesHTTP2(t *testing.T) {
	s, trust := serveTLS(t)
	client := s.http2Client(trust)
	defer client.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://server/jwks", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.ProtoMajor != 2 || response.StatusCode != http.StatusOK {
		t.Errorf("%s %s", response.Proto, response.Status)
	}
	config := trust.Clone()
	config.ServerName, config.NextProtos = "server", []string{"h2"}
	conn, err := s.listener.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := streamLimit(t, tls.Client(conn, config)); got != maxStreams {
		t.Errorf("a client may open %d streams on a connection, want %d", got, maxStreams)
	}
	s.stop()
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
}

// A client makes the server hold a body on each stream of each connection.
func TestBodiesOfAConnectionAreBounded(t *testing.T) {
	const most = 512 << 10
	if maxStreams*maxBody > most {
		t.Errorf("one connection may hold %d bytes of bodies, want %d at most", maxStreams*maxBody, most)
	}
}

// streamLimit returns the SETTINGS_MAX_CONCURRENT_STREAMS of a server (RFC 9113, section
// 6.5.2).
func streamLimit(t *testing.T, conn net.Conn) uint32 {
	t.Helper()
	defer func() { _ = conn.Close() }() // the server may have closed it
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	frame, err := http2.NewFramer(conn, conn).ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	settings, ok := frame.(*http2.SettingsFrame)
	if !ok {
		t.Fatalf("the first frame is %v", frame.Header())
	}
	limit, _ := settings.Value(http2.SettingMaxConcurrentStreams)
	return limit
}

func TestReadersDuringRotations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t)
		done, reading := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		for range 4 {
			client := s.listener.client()
			readers.Go(func() {
				defer client.CloseIdleConnections()
				for done.Err() == nil {
					s.readOnce(t, client)
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		for range 10 {
			time.Sleep(time.Second)
			if err := s.o.Ring.Rotate(t.Context(), keys.StepRequest{Force: true}); err != nil {
				t.Fatal(err)
			}
		}
		reading()
		readers.Wait()
		s.stop()
		if err := <-s.ended; err != nil {
			t.Error(err)
		}
	})
}

// readOnce checks that the JWK Set is complete and contains the key that was active
// before the request.
func (s *runningServer) readOnce(t *testing.T, client *http.Client) {
	before := s.o.Ring.Keyset().Active().KeyID()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://server/jwks", nil)
	if err != nil {
		t.Error(err)
		return
	}
	response, err := client.Do(r)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	set, problems, err := jwk.ParseSet(body)
	if err != nil || len(problems) > 0 || len(set.ByKeyID(before)) != 1 {
		t.Errorf("the set lacks kid %s: %v %v", before, problems, err)
	}
}
