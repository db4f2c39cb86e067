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

	"golang.org/x/net/netutil"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/server"
)

// listenMetrics opens the port for /metrics, on the host of the server. A Unix socket has
// no host: then it is the loopback address.
func listenMetrics(ctx context.Context, cfg config.Config) (net.Listener, error) {
	host := cfg.Host
	if _, unix := socketPath(cfg); unix {
		host = "127.0.0.1"
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(cfg.MetricsPort)))
	if err != nil {
		return nil, fmt.Errorf("%w: metrics_port: %v", errListen, err)
	}
	return l, nil
}

// metricsClients is how many scrapers may be connected at the same time.
const metricsClients = 32

// serveMetrics serves /metrics on a listener of its own, if there is one, until ctx ends.
// It uses the certificate of the server, if that has one.
func serveMetrics(ctx context.Context, cfg config.Config, on listeners, s *server.Server, certificate *tls.Config, log *slog.Logger) {
	if on.metrics == nil {
		if on.hideMetrics(cfg) {
			log.InfoContext(ctx, "metrics are not served, because other machines reach this server; metrics_port opens a port for them")
		}
		return
	}
	srv := &http.Server{
		Handler: s.MetricsHandler(), TLSConfig: certificate, MaxHeaderBytes: 32 << 10,
		ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, // a scraper asks each minute or more often
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	limited, scheme, serve := netutil.LimitListener(on.metrics, metricsClients), "http", srv.Serve
	if certificate != nil {
		scheme, serve = "https", func(l net.Listener) error { return srv.ServeTLS(l, "", "") }
	}
	log.InfoContext(ctx, "serving metrics", "url", scheme+"://"+on.metrics.Addr().String()+"/metrics")
	go func() {
		if err := serve(limited); !errors.Is(err, http.ErrServerClosed) {
			log.ErrorContext(ctx, "metrics are no longer served", "error", err.Error())
		}
	}()
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
