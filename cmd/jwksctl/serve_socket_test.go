//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// passable is what systemd passes for a socket.
type passable interface{ File() (*os.File, error) }

// activate starts a server as systemd does: with sockets from descriptor 3 on, and with
// their names, separated by colons.
func activate(t *testing.T, names string, sockets []passable, args ...string) *activated {
	t.Helper()
	dir := t.TempDir()
	a := &activated{ready: filepath.Join(dir, "ready"), log: new(bytes.Buffer)}
	// LISTEN_PID is the process of the shell, which becomes jwksctl.
	a.cmd = exec.CommandContext(t.Context(), "sh", append([]string{"-c", `LISTEN_PID=$$ exec jwksctl serve "$@"`, "sh", "--ready-file", a.ready}, args...)...)
	a.cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_STATE_HOME="+dir, "JWKSCTL_ALGORITHM=ES256", "GORACE=atexit_sleep_ms=0",
		"LISTEN_FDS="+string(rune('0'+len(sockets))), "LISTEN_FDNAMES="+names)
	a.cmd.Stderr = a.log
	for _, socket := range sockets {
		f, err := socket.File()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }() // the child has it
		a.cmd.ExtraFiles = append(a.cmd.ExtraFiles, f)
	}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return a
}

// activated is a server that systemd has started.
type activated struct {
	cmd   *exec.Cmd
	ready string
	log   *bytes.Buffer // to be read when the server has ended
}

// url waits until the server answers.
func (a *activated) url(t *testing.T) string {
	t.Helper()
	var url []byte
	waitFor(t, "the server to be ready", func() bool {
		text, err := os.ReadFile(a.ready)
		url = text
		return err == nil
	})
	return strings.TrimSpace(string(url))
}

// end stops the server, and returns its log.
func (a *activated) end(t *testing.T) string {
	t.Helper()
	if err := errors.Join(a.cmd.Process.Signal(syscall.SIGTERM), a.cmd.Wait()); err != nil {
		t.Errorf("serve: %v: %s", err, a.log)
	}
	return a.log.String()
}

func listenTCP(t *testing.T, address string) *net.TCPListener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.(*net.TCPListener)
}

// ask returns the status of a request and the body of the answer. network is tcp, or unix
// with the path of a socket.
func ask(t *testing.T, network, address, method, path string) (status int, body string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}}}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://localhost"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// The server uses the socket of systemd, and says that host and port are not used. The
// socket stays open for the next start.
func TestServeOnTheSocketOfSystemd(t *testing.T) {
	l := listenTCP(t, "127.0.0.1:0")
	a := activate(t, "jwksctl.socket", []passable{l}, "--host", "192.0.2.1", "--port", "1")
	if got, want := a.url(t), "http://"+l.Addr().String(); got != want {
		t.Errorf("the URL is %s, want %s", got, want)
	}
	for _, request := range [][2]string{{"GET", "/jwks"}, {"POST", "/auth"}, {"GET", "/metrics"}} {
		if status, body := ask(t, "tcp", l.Addr().String(), request[0], request[1]); status != http.StatusOK {
			t.Errorf("%s: %d %s", request, status, body)
		}
	}
	log := a.end(t)
	for _, setting := range []string{"host", "port"} {
		if want := `"msg":"a setting is not used","setting":"` + setting + `","reason":"systemd has passed the socket"`; !strings.Contains(log, want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	if want := `"issuer":"http://` + l.Addr().String() + `"`; !strings.Contains(log, want) {
		t.Errorf("the log lacks %s:\n%s", want, log)
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal("the socket is closed: ", err)
	}
	_ = conn.Close()
}

// The address of the socket is not taken for a setting that the file has changed.
func TestClientsOnTheSocketOfSystemd(t *testing.T) {
	l := listenTCP(t, "127.0.0.1:0")
	file := filepath.Join(t.TempDir(), "s.yaml")
	const text = "auth: clients\nclients: [{id: a, audiences: [b], jwks_uri: https://c.example/jwks}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a := activate(t, "", []passable{l}, "--config", file)
	a.url(t)
	if log := a.end(t); strings.Contains(log, "need a restart") {
		t.Errorf("nothing has changed, but the log says\n%s", log)
	}
}

func TestServeOnAUnixSocketOfSystemd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	a := activate(t, "", []passable{l}, "--issuer", "https://auth.example.com")
	if got := a.url(t); got != "unix:"+path {
		t.Errorf("the URL is %s", got)
	}
	if status, body := ask(t, "unix", path, "POST", "/auth"); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	if log := a.end(t); strings.Contains(log, "not used") {
		t.Errorf("nothing was given, but the log says\n%s", log)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error("the socket of systemd was removed: ", err)
	}
}

func TestServeMetricsOnASocketOfSystemd(t *testing.T) {
	metrics, l := listenTCP(t, "127.0.0.1:0"), listenTCP(t, "127.0.0.1:0")
	a := activate(t, "metrics:main", []passable{metrics, l}, "--metrics-port", "1")
	a.url(t)
	if status, body := ask(t, "tcp", metrics.Addr().String(), "GET", "/metrics"); status != http.StatusOK || !strings.Contains(body, "jwksctl_ready 1") {
		t.Errorf("metrics: %d %s", status, body)
	}
	if status, _ := ask(t, "tcp", metrics.Addr().String(), "GET", "/jwks"); status != http.StatusNotFound {
		t.Errorf("/jwks on the socket for metrics: %d", status)
	}
	if status, _ := ask(t, "tcp", l.Addr().String(), "GET", "/metrics"); status != http.StatusNotFound {
		t.Errorf("/metrics on the other socket: %d", status)
	}
	if log := a.end(t); !strings.Contains(log, `"msg":"a setting is not used","setting":"metrics_port"`) {
		t.Errorf("the log does not say that metrics_port is not used:\n%s", log)
	}
}

func TestSocketsOfSystemdThatAreRefused(t *testing.T) {
	local, other, open := listenTCP(t, "127.0.0.1:0"), listenTCP(t, "127.0.0.1:0"), listenTCP(t, "0.0.0.0:0")
	datagrams, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = datagrams.Close() }()
	unixgrams, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unixgrams.Close() }()
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", local.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	for name, tt := range map[string]struct {
		names   string
		sockets []passable
		args    []string
		want    string
	}{
		"two":            {"a:b", []passable{local, other}, nil, "systemd has passed 2 sockets, want one, and at most one more with FileDescriptorName=metrics"},
		"two for one":    {"metrics:metrics", []passable{local, other}, nil, "systemd has passed 2 sockets"},
		"metrics only":   {"metrics", []passable{local}, nil, "a socket for metrics only"},
		"datagrams":      {"a", []passable{datagrams}, nil, "systemd's socket a: "},
		"Unix datagrams": {"a", []passable{unixgrams}, nil, "systemd's socket a: is for unixgram: want a stream socket"},
		"bound":          {"a", []passable{boundSocket{t}}, nil, "systemd's socket a: does not listen: want a stream socket, with Accept=no"},
		"connected":      {"a", []passable{connection.(*net.TCPConn)}, nil, "systemd's socket a: does not listen"},
		"bound, metrics": {"b:metrics", []passable{local, boundSocket{t}}, nil, "systemd's socket metrics: does not listen"},
		"not loopback":   {"a", []passable{open}, []string{"--host", "127.0.0.1"}, "systemd's socket at 0.0.0.0:"},
		"without TLS":    {"a", []passable{open}, []string{"--auth", "off"}, "without TLS"},
		"no issuer":      {"a", []passable{open}, []string{"--insecure-anonymous"}, "set --issuer"},
	} {
		t.Run(name, func(t *testing.T) {
			a := activate(t, tt.names, tt.sockets, tt.args...)
			_ = a.cmd.Wait()
			if code := a.cmd.ProcessState.ExitCode(); code != exitUsage || !strings.Contains(a.log.String(), tt.want) {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, exitUsage, tt.want, a.log)
			}
		})
	}
}

// boundSocket is a socket that has an address and does not listen.
type boundSocket struct{ t *testing.T }

func (b boundSocket) File() (*os.File, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "bound")
	b.t.Cleanup(func() { _ = f.Close() }) // closed already when it was passed
	return f, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
}

// Sockets that were passed to another process, such as the parent, are not used.
func TestSocketsOfAnotherProcessAreNotUsed(t *testing.T) {
	t.Setenv("LISTEN_PID", "1")
	t.Setenv("LISTEN_FDS", "1")
	l, err := passedListeners()
	if err != nil || l.main != nil || l.metrics != nil {
		t.Errorf("got %+v, %v", l, err)
	}
}
