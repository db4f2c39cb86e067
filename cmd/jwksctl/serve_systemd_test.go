//go:build unix

package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// systemd (Type=notify and notify-reload) learns when the server is ready, when a SIGHUP
// is done, and when it drains. RELOADING needs the time, or systemd takes it for an
// older reload.
func TestServeNotifiesSystemd(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = manager.Close() }()
	t.Setenv("NOTIFY_SOCKET", socket)
	hears := func(pattern string) {
		t.Helper()
		message := make([]byte, 1<<10)
		n, err := manager.Read(message)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(message[:n]); !regexp.MustCompile("^" + pattern + "$").MatchString(got) {
			t.Errorf("systemd hears %q, want %s", got, pattern)
		}
	}

	p, _, stderr := newProcess(t, "")
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan int, 1)
	go func() {
		defer func() { _ = manager.Close() }() // so that nothing waits if it fails
		served <- execute(ctx, p, []string{"serve", "--port", "0", "--drain-delay", "500ms"})
	}()
	hears("READY=1")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	hears(`RELOADING=1\nMONOTONIC_USEC=\d+\n?`)
	hears("READY=1")
	stop()
	hears("STOPPING=1")
	// A reload during the drain must not look like a server that is ready again.
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if n, err := manager.Read(make([]byte, 1<<10)); err == nil {
		t.Errorf("systemd hears %d bytes after STOPPING", n)
	}
	if code := <-served; code != exitDone {
		t.Errorf("serve gives %d: %s", code, stderr)
	}
	if n := strings.Count(stderr.String(), "SIGHUP: there is nothing to reload"); n != 2 {
		t.Errorf("%d of 2 signals are in the log", n)
	}
}

func TestServeWithoutTheSocketOfSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "none"))
	p, _, _ := newProcess(t, "")
	ctx, stop := context.WithCancel(t.Context())
	log := &cancelOnText{text: `"msg":"systemd was not notified"`, cancel: stop}
	p.stderr = log
	if code := execute(ctx, p, []string{"serve", "--port", "0"}); code != exitDone {
		t.Errorf("serve gives %d: %s", code, log.written.String())
	}
}
