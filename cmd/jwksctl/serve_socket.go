package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/jwksctl/jwksctl/pkg/config"
)

// socketPath is the path of the Unix socket that the settings name, if host is one.
func socketPath(c config.Config) (path string, ok bool) {
	return strings.CutPrefix(c.Host, config.UnixPrefix)
}

// socketMode lets the owner and the group of the server connect, so that a proxy needs to
// be in that group, and other users of the machine get no tokens. Until the mode is set, the
// umask decides, and the rights of the folder.
const socketMode = 0o660

// lockedListener is a Unix socket that no other server removes or replaces.
type lockedListener struct {
	net.Listener
	lock *os.File
}

// Close removes the file of the socket before the next server may create it.
func (l lockedListener) Close() error { return errors.Join(l.Listener.Close(), l.lock.Close()) }

// listenUnix opens a Unix socket, whose file is removed when the listener is closed.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	lock, err := lockSocket(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, badUsage("host: %v: create the folder first", err)
	case errors.Is(err, errListen):
		return nil, err
	case err != nil:
		return nil, badUsage("host: %v", err)
	}
	l, err := listenLocked(ctx, path)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lockedListener{l, lock}, nil
}

// listenLocked is listenUnix for the one process that has locked the path.
func listenLocked(ctx context.Context, path string) (net.Listener, error) {
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errListen, err)
	}
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %v", errListen, err), l.Close())
	}
	return l, nil
}

// removeStale removes the socket that a killed server has left behind: one that refuses
// connections.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return badUsage("host: %v", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return badUsage("host: %s exists and is no socket: name another path, or move it away", path)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close() // nothing was sent
		return fmt.Errorf("%w: %s is in use by another process: name another path", errListen, path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w: %v; if no server uses the socket, remove it", errListen, err)
	}
	if err := os.Remove(path); err != nil {
		return badUsage("host: %v", err)
	}
	return nil
}

// metricsSocket is the FileDescriptorName of the socket for /metrics: see systemd.socket(5).
const metricsSocket = "metrics"

// passedListeners returns the sockets that systemd has passed to this process, if any: see
// sd_listen_fds(3). One may be for /metrics, and one, of any name, must be for the rest.
func passedListeners() (l listeners, err error) {
	files := activation.Files(true)
	for _, f := range files {
		to := &l.main
		if f.Name() == metricsSocket {
			to = &l.metrics
		}
		if *to != nil {
			err = errors.Join(err, badUsage("systemd has passed %d sockets, want one, and at most one more with FileDescriptorName=%s", len(files), metricsSocket))
		} else if *to, err = listenerOf(f); err != nil {
			err = badUsage("systemd's socket %s: %v: want a stream socket, with Accept=no", f.Name(), err)
		}
		_ = f.Close() // the listener has a copy
		if err != nil {
			return l, err
		}
	}
	if l.metrics != nil && l.main == nil {
		return l, badUsage("systemd has passed a socket for metrics only")
	}
	return l, nil
}

func listenerOf(f *os.File) (net.Listener, error) {
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	if network := l.Addr().Network(); network != "tcp" && network != "unix" {
		return nil, errors.Join(fmt.Errorf("is for %s", network), l.Close())
	}
	listening, err := isListening(f)
	if err == nil && !listening {
		err = errors.New("does not listen")
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}
