package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/server"
)

// listen opens the server's port. This comes before anything is created, so that
// nothing is left behind if the port is in use, and so that the server's URL, port
// included, is known when it becomes the issuer.
func listen(ctx context.Context, cfg config.Config) (net.Listener, error) {
	if err := checkAnonymous(ctx, cfg); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
	if err != nil {
		return nil, fmt.Errorf("%w: %v; take another with --port, or --port 0 for any free one", errListen, err)
	}
	return l, nil
}

// portOf is the port that the system chose or was asked for.
func portOf(l net.Listener) int {
	address, _ := l.Addr().(*net.TCPAddr) // listen asked for TCP
	return address.Port
}

// errListen matches the error for an address that cannot be listened on.
var errListen = errors.New("cannot listen")

// checkServe refuses settings with which serve would refuse to create a keyset. It looks
// up no name, opens nothing and reads no file.
func checkServe(ctx context.Context, cfg config.Config) error {
	if cfg.Auth == config.AuthOff {
		return nil // it creates none, and every address is allowed
	}
	var problems []error
	if net.ParseIP(cfg.Host) != nil {
		problems = append(problems, checkAnonymous(ctx, cfg))
	}
	_, err := newKeyset{issuer: ownIssuer(cfg, cfg.Port), check: func(keys.Policy) error { return nil }}.policy(cfg)
	return errors.Join(append(problems, err)...)
}

// checkAnonymous refuses an address that others on the network can reach, because
// /auth issues tokens without asking who the client is.
func checkAnonymous(ctx context.Context, cfg config.Config) error {
	if cfg.InsecureAnonymous || cfg.Auth != config.AuthAnonymous {
		return nil
	}
	addresses, err := net.DefaultResolver.LookupIPAddr(ctx, cfg.Host)
	if err != nil {
		return badUsage("host: %v", err)
	}
	for _, address := range addresses {
		if !address.IP.IsLoopback() {
			return badUsage("host %s is not a loopback address, and every client that reaches /auth gets a token; "+
				"use 127.0.0.1, or --insecure-anonymous if a proxy in front controls access", cfg.Host)
		}
	}
	return nil
}

// servePprof serves profiles on a loopback port if pprof_port is set.
func servePprof(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	if cfg.PprofPort == 0 {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.PprofPort)))
	if err != nil {
		return fmt.Errorf("%w: pprof_port: %v", errListen, err)
	}
	srv := &http.Server{Handler: server.PprofHandler(), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	go func() { _ = srv.Serve(l) }() // it ends with the process
	log.InfoContext(ctx, "serving profiles", "url", "http://"+l.Addr().String()+"/debug/pprof/")
	return nil
}

// baseURL is the URL of a server that listens on a port with these settings. If it
// listens on every address, the URL has the loopback one.
func baseURL(c config.Config, port int) string {
	scheme, host := "http", c.Host
	if c.TLSCert != "" {
		scheme = "https"
	}
	if isEveryAddress(host) {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(port))
}

// ownIssuer is the issuer of a keyset if none is given: the server's URL. It is "" for a
// server that listens on every address, because others do not reach it by the loopback
// one.
func ownIssuer(c config.Config, port int) string {
	if isEveryAddress(c.Host) {
		return ""
	}
	return baseURL(c, port)
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
