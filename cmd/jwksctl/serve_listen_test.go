package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/programtest"
)

// serving runs a server in this process until the test ends, and returns its URL. It
// checks that the server drains then.
func serving(t *testing.T, args ...string) (url string, log *cancelOnText) {
	t.Helper()
	p, _, _ := newProcess(t, "")
	listening, isListening := context.WithCancel(t.Context())
	log = &cancelOnText{text: `"msg":"listening"`, cancel: isListening}
	p.stderr = log
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan int, 1)
	go func() {
		defer isListening() // if it fails
		served <- execute(ctx, p, append([]string{"serve"}, args...))
	}()
	t.Cleanup(func() {
		stop()
		if code := <-served; code != exitDone {
			t.Errorf("serve gives %d: %s", code, log.soFar())
		}
	})
	<-listening.Done()
	_, after, _ := strings.Cut(log.soFar(), `"msg":"listening","url":"`)
	url, _, ok := strings.Cut(after, `"`)
	if !ok {
		t.Fatalf("serve does not listen: %s", log.soFar())
	}
	return url, log
}

// soFar is what has been written.
func (w *cancelOnText) soFar() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written.String()
}

// /metrics is on the port for it, and nowhere else.
func TestMetricsPort(t *testing.T) {
	port := programtest.Port(t)
	url, log := serving(t, "--port", "0", "--metrics-port", fmt.Sprint(port))
	metrics := fmt.Sprintf("http://127.0.0.1:%d", port)
	for address, want := range map[string]int{
		metrics + "/metrics": 200, metrics + "/livez": 404, metrics + "/jwks": 404, metrics + "/auth": 404, metrics + "/": 404,
		url + "/metrics": 404, url + "/livez": 200,
	} {
		response, body, err := send(http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != want {
			t.Errorf("GET %s: status %d, want %d: %s", address, response.StatusCode, want, body)
		}
	}
	if want := `"msg":"serving metrics","url":"` + metrics + `/metrics"`; !strings.Contains(log.soFar(), want) {
		t.Errorf("the log lacks %s:\n%s", want, log.soFar())
	}
}

// resolveAs makes every name that is not in the hosts file stand for an IPv4 address.
func resolveAs(t *testing.T, ip net.IP) {
	t.Helper()
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = before
		_ = conn.Close()
	})
	go func() {
		query := make([]byte, 1<<10)
		for {
			n, client, err := conn.ReadFrom(query)
			if err != nil {
				return // closed
			}
			end := 12 + bytes.IndexByte(query[12:n], 0) + 5 // of the question, behind the header
			answer := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[12:end]...)
			if query[end-3] == 1 { // it asks for A
				answer[7] = 1
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
				answer = append(answer, ip.To4()...)
			}
			_, _ = conn.WriteTo(answer, client) // the client asks again
		}
	}()
}

// The address that a name had when the server began to listen counts, not one of an earlier
// lookup.
func TestNameOfTheHost(t *testing.T) {
	args := []string{"--host", "jwksctl.test", "--port", "0", "--issuer", "https://auth.example.com"}
	resolveAs(t, net.IPv4(127, 0, 0, 1))
	serving(t, args...)

	p, _, stderr := newProcess(t, "")
	if code := execute(t.Context(), p, []string{"serve", "--host", "no..name"}); code != exitUsage || !strings.Contains(stderr.String(), "no such host") {
		t.Errorf("serve on a host that is no name gives %d: %s", code, stderr)
	}

	resolveAs(t, net.IPv4zero)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p, _, _ = newProcess(t, "")
	log := &cancelOnText{text: `"msg":"listening"`, cancel: cancel} // if it starts although it must not
	p.stderr = log
	if code := execute(ctx, p, append([]string{"serve"}, args...)); code != exitUsage || !strings.Contains(log.soFar(), "host jwksctl.test is not a loopback address") {
		t.Errorf("serve gives %d: %s", code, log.soFar())
	}
}

// Others reach a server on loopback through its proxy, so it shows them no /metrics.
func TestNoMetricsThroughAProxy(t *testing.T) {
	url, _ := serving(t, "--port", "0", "--behind-proxy", "127.0.0.1", "--insecure-anonymous")
	for path, want := range map[string]int{"/metrics": 404, "/livez": 200} {
		response, body, err := send(http.MethodGet, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != want {
			t.Errorf("GET %s: status %d, want %d: %s", path, response.StatusCode, want, body)
		}
	}
}

// If the port for metrics is in use, nothing is created.
func TestMetricsPortInUse(t *testing.T) {
	url, _ := serving(t, "--port", "0")
	_, port, _ := strings.Cut(strings.TrimPrefix(url, "http://"), ":")
	p, _, stderr := newProcess(t, "")
	if code := execute(t.Context(), p, []string{"serve", "--port", "0", "--metrics-port", port}); code != exitUnavailable || !strings.Contains(stderr.String(), "cannot listen: metrics_port: ") {
		t.Errorf("serve gives %d: %s", code, stderr)
	}
	stderr.Reset()
	if code := execute(t.Context(), p, []string{"keys", "list"}); code != 4 {
		t.Errorf("keys list gives %d: %s", code, stderr)
	}
}
