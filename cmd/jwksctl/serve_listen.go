package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// listeners are where a server accepts connections.
type listeners struct {
	main    net.Listener
	metrics net.Listener // nil if /metrics has no listener of its own
}

// listen opens the server's listeners, unless systemd has passed them. This comes before
// anything is created, so that nothing is left behind if the port is in use, and so that
// the server's URL, port included, is known when it becomes the issuer. If systemd has
// passed a socket, the settings that it returns have its address in host and port.
func listen(ctx context.Context, cfg config.Config, log *slog.Logger) (l listeners, _ config.Config, err error) {
	l, err = passedListeners()
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if err != nil {
		return l, cfg, err
	}
	place := "host " + cfg.Host
	if l.main != nil {
		warnUnused(ctx, cfg, log, "systemd has passed the socket", "host", "port")
		cfg.Host, cfg.Port = hostOf(l.main), portOf(l.main)
		place = "systemd's socket at " + l.main.Addr().String()
	} else if l.main, err = listenMain(ctx, cfg, log); err != nil {
		return l, cfg, err
	}
	// A name may have another address at each lookup, so the real one is checked.
	actual := cfg
	actual.Host = hostOf(l.main)
	if err = checkReach(actual, place); err != nil {
		return l, cfg, err
	}
	if l.metrics != nil {
		warnUnused(ctx, cfg, log, "systemd has passed the socket", "metrics_port")
	} else if cfg.MetricsPort != 0 {
		l.metrics, err = listenMetrics(ctx, actual)
	}
	return l, cfg, err
}

func (l listeners) close() {
	for _, one := range []net.Listener{l.main, l.metrics} {
		if one != nil {
			_ = one.Close() // closed already, unless the start failed
		}
	}
}

// hideMetrics reports whether the main listener has no /metrics: if there is one for that,
// or if others on the network reach it, directly or through a proxy.
func (l listeners) hideMetrics(cfg config.Config) bool {
	return l.metrics != nil || !isLocal(l.main) || len(cfg.BehindProxy) > 0
}

func listenMain(ctx context.Context, cfg config.Config, log *slog.Logger) (net.Listener, error) {
	if err := checkReachOfHost(cfg); err != nil {
		return nil, err
	}
	if path, ok := socketPath(cfg); ok {
		warnUnused(ctx, cfg, log, "a Unix socket has no port", "port")
		return listenUnix(ctx, path)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
	if _, unknown := errors.AsType[*net.DNSError](err); unknown {
		return nil, badUsage("host: %v", err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %v; take another with --port, or --port 0 for any free one", errListen, err)
	}
	return l, nil
}

// warnUnused logs that settings have no effect, those that were given.
func warnUnused(ctx context.Context, cfg config.Config, log *slog.Logger, reason string, names ...string) {
	for _, name := range names {
		if cfg.Given(name) {
			log.WarnContext(ctx, "a setting is not used", "setting", name, "reason", reason)
		}
	}
}

// networks are those of behind_proxy.
func networks(texts []string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		network, _ := config.ParseNetwork(text) // config.Load has checked it
		all = append(all, network)
	}
	return all
}

// portOf is the port that the system chose or was asked for, 0 for a Unix socket.
func portOf(l net.Listener) int {
	if address, ok := l.Addr().(*net.TCPAddr); ok {
		return address.Port
	}
	return 0
}

// hostOf is what host would have to be for a listener like this one.
func hostOf(l net.Listener) string {
	if address, ok := l.Addr().(*net.TCPAddr); ok {
		return (&net.IPAddr{IP: address.IP, Zone: address.Zone}).String()
	}
	return config.UnixPrefix + l.Addr().String()
}

// isLocal reports whether only this machine can reach a listener.
func isLocal(l net.Listener) bool {
	address, ok := l.Addr().(*net.TCPAddr)
	return !ok || address.IP.IsLoopback()
}

// errListen matches the error for an address that cannot be listened on.
var errListen = errors.New("cannot listen")

// checkServe refuses settings with which serve would refuse to start, or to create a
// keyset. It looks up no name, opens nothing and reads no file.
func checkServe(cfg config.Config) error {
	problems := []error{checkReachOfHost(cfg)}
	if cfg.Auth != config.AuthOff { // such a server creates no keyset
		_, err := newKeyset{issuer: ownIssuer(cfg), check: func(keys.Policy) error { return nil }}.policy(cfg)
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// checkReachOfHost is checkReach before anything listens, unless host is a name.
func checkReachOfHost(cfg config.Config) error {
	if _, unix := socketPath(cfg); unix || net.ParseIP(cfg.Host) != nil {
		return checkReach(cfg, "host "+cfg.Host)
	}
	return nil
}

// checkReach refuses an address that others on the network can reach, if /auth would issue
// tokens without asking who the client is, or if others could read and replace on the way
// what the server sends and receives. They reach any address through the proxies of
// behind_proxy. insecure_anonymous accepts both. host is an address or a Unix socket.
func checkReach(cfg config.Config, place string) error {
	_, unix := socketPath(cfg)
	anonymous := cfg.Auth == config.AuthAnonymous
	encrypted := cfg.TLSCert != "" || len(cfg.BehindProxy) > 0
	switch {
	case anonymous && cfg.InsecureAnonymous || !anonymous && encrypted:
		return nil
	case len(cfg.BehindProxy) > 0:
		return badUsage("behind_proxy: others on the network reach %s through the proxy, and every client that reaches /auth gets a token; "+
			"use --auth clients, or --insecure-anonymous if the proxy controls access", place)
	case unix:
		return nil
	}
	if ip := net.ParseIP(cfg.Host); ip != nil && ip.IsLoopback() {
		return nil
	}
	if anonymous {
		return badUsage("%s is not a loopback address, and every client that reaches /auth gets a token; "+
			"use 127.0.0.1, or --auth clients, or --insecure-anonymous if a proxy in front controls access", place)
	}
	return badUsage("%s is not a loopback address, and without TLS others on the network can read and replace what the server sends; "+
		"set --tls-cert and --tls-key, or --behind-proxy to the addresses of the proxies that end TLS, or use 127.0.0.1", place)
}

// baseURL is the URL of a server with these settings. If it listens on every address, the
// URL has the loopback one. That of a Unix socket is its host.
func baseURL(c config.Config) string {
	if _, unix := socketPath(c); unix {
		return c.Host
	}
	scheme, host := "http", c.Host
	if c.TLSCert != "" {
		scheme = "https"
	}
	if isEveryAddress(host) {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(c.Port))
}

// ownIssuer is the issuer of a keyset if none is given: the server's URL. It is "" for a
// server that listens on every address, because others do not reach it by the loopback
// one, and on a Unix socket, which has no URL.
func ownIssuer(c config.Config) string {
	if _, unix := socketPath(c); unix || isEveryAddress(c.Host) {
		return ""
	}
	return baseURL(c)
}

func isEveryAddress(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsUnspecified()
}

// isLoopback tells whether only this machine can reach a URL.
func isLoopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || (ip != nil && ip.IsLoopback())
}
