package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/server"
)

// listen takes the address before anything is made, so that a port in use costs
// nothing and an issuer that was not stated can be the real URL.
func listen(ctx context.Context, cfg config.Config) (net.Listener, error) {
	if err := mayListen(ctx, cfg); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
	if err != nil {
		return nil, fmt.Errorf("%w: %v; take another with --port, or --port 0 for any free one", errListen, err)
	}
	return l, nil
}

// portOf is the port that the system gave.
func portOf(l net.Listener) int {
	address, _ := l.Addr().(*net.TCPAddr) // listen asked for TCP
	return address.Port
}

// errListen says that the server's address cannot be had.
var errListen = errors.New("cannot listen")

// mayListen refuses to hand tokens to a whole network by oversight.
func mayListen(ctx context.Context, cfg config.Config) error {
	if cfg.InsecureAnonymous {
		return nil
	}
	addresses, err := net.DefaultResolver.LookupIPAddr(ctx, cfg.Host)
	if err != nil {
		return badUsage("host: %v", err)
	}
	for _, address := range addresses {
		if !address.IP.IsLoopback() {
			return badUsage("host %s is not a loopback address, and whoever reaches /auth gets a token; "+
				"use 127.0.0.1, or say --insecure-anonymous if a proxy in front decides who may", cfg.Host)
		}
	}
	return nil
}

func tlsOf(cfg config.Config) (*tls.Config, error) {
	if cfg.TLSCert == "" {
		return nil, nil //nolint:nilnil // no TLS is no configuration
	}
	pair, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
	if err != nil {
		return nil, badUsage("tls_cert, tls_key: %v", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// servePprof answers profiles on a loopback port of their own, if asked to.
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
	log.InfoContext(ctx, "profiles", "url", "http://"+l.Addr().String()+"/debug/pprof/")
	return nil
}
