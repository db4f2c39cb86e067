package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/freeport"
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
	port := freeport.Port(t)
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
