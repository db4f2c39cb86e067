//go:build unix

package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// staleSocket is one that a killed server has left behind.
func staleSocket(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// A server that is between removing a stale socket and listening keeps others away.
func TestSocketIsLocked(t *testing.T) {
	path := staleSocket(t)
	lock, err := lockSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := listenUnix(t.Context(), path); !errors.Is(err, errListen) {
		t.Errorf("got %v, %v", l, err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error("the socket was removed: ", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // closing it unlocks it
		l, err := listenUnix(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); err == nil {
			t.Error("the socket is still there")
		}
	}
}

// Of several servers that find a stale socket, one listens, and clients reach it.
func TestServersThatFindAStaleSocket(t *testing.T) {
	path := staleSocket(t)
	const servers = 8
	var starts sync.WaitGroup
	listening := make(chan net.Listener, servers)
	for range servers {
		starts.Go(func() {
			switch l, err := listenUnix(t.Context(), path); {
			case err == nil:
				listening <- l
			case !errors.Is(err, errListen):
				t.Error(err)
			}
		})
	}
	starts.Wait()
	close(listening)
	if n := len(listening); n != 1 {
		t.Errorf("%d servers listen", n)
	}
	for l := range listening {
		var d net.Dialer
		conn, err := d.DialContext(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(conn.Close(), l.Close()); err != nil {
			t.Error(err)
		}
	}
}
