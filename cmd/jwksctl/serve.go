package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/server"
)

type serveOptions struct {
	flags *pflag.FlagSet
}

func (a *app) newServe() *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:   "serve",
		Short: "Publish the JWK Set and give out tokens over HTTP",
		Long: `Publish the JWK Set and give out tokens over HTTP. On an empty store it makes the
keys first. Keys rotate by themselves; several servers may share one store.
A setting of the policy that is stated and differs from what the keyset records
changes the policy for every process that uses the store.

On SIGTERM and SIGINT it stops being ready, finishes the requests in flight and
exits with 0.`,
		Example: `  jwksctl serve
  jwksctl serve --port 0 --ready-file /run/jwksctl.url     # any free port
  jwksctl serve --rotation-interval 10s                    # watch keys rotate
  jwksctl serve --algorithm ES256 --issuer https://auth.example.com
  curl -s http://127.0.0.1:8080/.well-known/jwks.json
  curl -s -X POST http://127.0.0.1:8080/auth -d username=alice`,
		Args: cobra.NoArgs,
	}
	config.Flags(c.Flags(), append(policyKeys(), "host", "port", "tls_cert", "tls_key", "insecure_anonymous", "ready_file",
		"audience", "log_format", "log_level", "rate_limit", "max_connections", "drain_timeout", "pprof_port")...)
	o.flags = c.Flags()
	completeAlgorithms(c, "algorithm")
	c.RunE = a.run(func(ctx context.Context, _ []string) error { return a.serve(ctx, o) })
	return c
}

// serve builds the parts and runs them until ctx ends.
func (a *app) serve(ctx context.Context, o serveOptions) error {
	cfg, err := a.settings(o.flags)
	if err != nil {
		return err
	}
	log := a.logger(cfg)
	tlsConfig, err := tlsOf(cfg)
	if err != nil {
		return err
	}
	listener, err := listen(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }() // Serve has closed it, unless the start failed
	if cfg.ReadyFile != "" {
		_ = os.Remove(cfg.ReadyFile) // of a server that was killed
	}
	url := baseURL(cfg, portOf(listener))

	ring, err := a.openRing(ctx, cfg, log, url)
	if err != nil {
		return err
	}
	defer func() { _ = ring.Close() }() // every write was committed by itself
	if err := adopt(ctx, ring, cfg, log, url); err != nil {
		return err
	}
	s := server.New(server.Options{
		Ring: ring.Ring, Audience: cfg.Audience, RateLimit: cfg.RateLimit, MaxConnections: cfg.MaxConnections,
		DrainTimeout: cfg.DrainTimeout, TLS: tlsConfig, Log: log, Version: version(), Signatures: reserveThreads(),
	})
	// The ring outlives the context, so that requests in flight are still signed.
	rotating, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		ring.Run(rotating)
	}()
	defer func() {
		stop()
		<-done
	}()
	if err := servePprof(ctx, cfg, log); err != nil {
		return err
	}
	return a.answer(ctx, s, listener, cfg, url, ring.Ring, log)
}

// reserveThreads has Go run twice as many threads as there are processors, and
// returns how many of them may sign. A signature does not yield: were there no
// thread beside those that sign, a request for the JWK Set would wait behind all
// requests for tokens that came before it. So it waits for the system's
// scheduler only, which prefers a thread that has slept.
func reserveThreads() (signing int) {
	signing = runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(2 * signing)
	return signing
}

// answer serves until ctx ends, and tells everybody that it does.
func (a *app) answer(ctx context.Context, s *server.Server, l net.Listener, cfg config.Config, url string, ring *keys.Ring, log *slog.Logger) error {
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	if a.terminal(a.stderr) && cfg.LogFormat == "" {
		a.greet(url, ring)
	}
	log.InfoContext(ctx, "listening", "url", url, "issuer", ring.Keyset().Policy.Issuer, "kid", ring.Keyset().Active().KeyID())
	if cfg.ReadyFile != "" {
		if err := writeReadyFile(cfg.ReadyFile, url); err != nil {
			return err
		}
		defer func() { _ = os.Remove(cfg.ReadyFile) }() // it would name a server that is gone
	}
	if err := <-served; err != nil {
		return err
	}
	log.InfoContext(context.WithoutCancel(ctx), "drained")
	return nil
}

// greet shows a person where things are.
func (a *app) greet(url string, ring *keys.Ring) {
	ks := ring.Keyset()
	active := ks.Active()
	a.say("%s %s", a.paint(a.stderr, bold, "jwksctl"), version())
	a.say("  JWK Set    %s", a.paint(a.stderr, bold, url+"/.well-known/jwks.json"))
	a.say("  tokens     curl -s -X POST %s/auth", url)
	a.say("  discovery  %s/.well-known/openid-configuration", url)
	a.say("  issuer     %s", ks.Policy.Issuer)
	a.say("  key        %s (%s)", active.KeyID(), active.JWK.Algorithm())
	a.say("  rotation   %s, in %s", ks.NextRotation().Local().Format(time.RFC3339), roughly(ks.NextRotation().Sub(a.now())))
}

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

// adopt brings the policy of the keyset, which another process may have made, in
// line with what was stated, and says what that changes.
func adopt(ctx context.Context, ring opened, cfg config.Config, log *slog.Logger, url string) error {
	stated, err := policySettings(cfg)
	if err != nil {
		return err
	}
	if _, err := ring.Keyset().Policy.With(stated); err != nil {
		return usageError{err}
	}
	leeway := ring.Keyset().Policy.Leeway
	changed, err := ring.SetPolicy(ctx, stated)
	if err != nil {
		return fmt.Errorf("the policy was not changed: %w", err)
	}
	for _, d := range changed {
		log.WarnContext(ctx, "policy changed", "setting", d.Setting, "old", d.Old, "new", d.New)
	}
	ks := ring.Keyset()
	if ks.Policy.Leeway > leeway {
		log.WarnContext(ctx, "verifiers may allow the longer leeway from this time on",
			"leeway", ks.Policy.Leeway.String(), "from", ks.LeewayFrom(time.Now()).UTC().Format(time.RFC3339))
	}
	if issuer := ks.Policy.Issuer; cfg.Issuer == "" && issuer != url {
		log.WarnContext(ctx, "the keyset records another issuer than this server's URL; tokens and discovery carry the recorded one; --issuer changes it",
			"issuer", issuer, "url", url)
	}
	return nil
}

// writeReadyFile appears whole or not at all, so that whoever waits for it can
// read it at once.
func writeReadyFile(path, url string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("ready_file: %w", err)
	}
	_, err = f.WriteString(url + "\n")
	if err := errors.Join(err, f.Chmod(0o644), f.Close(), os.Rename(f.Name(), path)); err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("ready_file: %w", err)
	}
	return nil
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
