package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
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
exits with 0. --drain-delay has it go on answering for as long as a load balancer
takes to notice that it is not ready.`,
		Example: `  jwksctl serve
  jwksctl serve --port 0 --ready-file /run/jwksctl.url     # any free port
  jwksctl serve --rotation-interval 10s                    # watch keys rotate
  jwksctl serve --algorithm ES256 --issuer https://auth.example.com
  curl -s http://127.0.0.1:8080/.well-known/jwks.json
  curl -s -X POST http://127.0.0.1:8080/auth -d username=alice`,
		Args: cobra.NoArgs,
	}
	config.Flags(c.Flags(), append(policyKeys(), "host", "port", "tls_cert", "tls_key", "insecure_anonymous", "ready_file",
		"audience", "log_format", "log_level", "rate_limit", "max_connections", "drain_delay", "drain_timeout", "pprof_port")...)
	o.flags = c.Flags()
	completeAlgorithms(c, "algorithm")
	complete(c, "log-format", "text", "json")
	complete(c, "log-level", "debug", "info", "warn", "error")
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
	ready := readyFile(cfg.ReadyFile)
	if err := ready.check(); err != nil {
		return err
	}
	listener, err := listen(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }() // Serve has closed it, unless the start failed
	if err := ready.clear(); err != nil {
		return err
	}
	url := baseURL(cfg, portOf(listener))

	ring, err := foundRing(ctx, cfg, log, founding{issuer: url, fits: func(keys.Policy) error { return nil }})
	if err != nil {
		return err
	}
	defer func() { _ = ring.Close() }() // every write was committed by itself
	if err := adopt(ctx, ring, cfg, log, url); err != nil {
		return err
	}
	s := server.New(server.Options{
		Ring: ring.Ring, Audience: cfg.Audience, RateLimit: cfg.RateLimit, MaxConnections: cfg.MaxConnections,
		DrainDelay: cfg.DrainDelay, DrainTimeout: cfg.DrainTimeout, TLS: tlsConfig, Log: log, Version: version(), Crowded: reserveThreads(),
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

// reserveThreads has Go run twice as many threads as before while requests for
// tokens crowd. A signature does not yield: were there no thread beside those that
// sign, a request for the JWK Set would wait behind all requests for tokens that
// came before it. So it waits for the system's scheduler only, which prefers a
// thread that does not sign. The rest of the time, more threads than processors
// only look for work that others have, and Go follows what the system allows.
func reserveThreads() (crowded func(bool)) {
	fixed, _ := strconv.Atoi(os.Getenv("GOMAXPROCS")) // as Go reads it
	var before int
	return func(yes bool) {
		switch {
		case yes:
			before = runtime.GOMAXPROCS(0)
			runtime.GOMAXPROCS(2 * before)
		case fixed > 0:
			runtime.GOMAXPROCS(before)
		default:
			runtime.SetDefaultGOMAXPROCS()
		}
	}
}

// answer serves until ctx ends, and tells everybody that it does.
func (a *app) answer(ctx context.Context, s *server.Server, l net.Listener, cfg config.Config, url string, ring *keys.Ring, log *slog.Logger) error {
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	if a.terminal(a.stderr) && cfg.LogFormat == "" {
		a.greet(url, ring)
	}
	log.InfoContext(ctx, "listening", "url", url, "issuer", ring.Policy().Issuer, "kid", ring.Keyset().Active().KeyID())
	ready := readyFile(cfg.ReadyFile)
	if err := ready.announce(url); err != nil {
		return err
	}
	defer ready.withdraw(url)
	if err := <-served; err != nil {
		return err
	}
	log.InfoContext(context.WithoutCancel(ctx), "drained")
	return nil
}

// logger writes to standard error as the settings say.
func (a *app) logger(c config.Config) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // config has checked it
	o := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "text" || (c.LogFormat == "" && a.terminal(a.stderr)) {
		return slog.New(slog.NewTextHandler(a.stderr, o))
	}
	return slog.New(slog.NewJSONHandler(a.stderr, o))
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

// adopt brings the policy of the keyset, which another process may have made, in
// line with what was stated, and says what that changes.
func adopt(ctx context.Context, ring opened, cfg config.Config, log *slog.Logger, url string) error {
	stated, err := policySettings(cfg)
	if err != nil {
		return err
	}
	if _, err := ring.Policy().With(stated); err != nil {
		return usageError{err}
	}
	leeway := ring.Policy().Leeway
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
			"leeway", ks.Policy.Leeway.String(), "from", ks.LeewayValidFrom(time.Now()).UTC().Format(time.RFC3339))
	}
	if issuer := ks.Policy.Issuer; cfg.Issuer == "" && issuer != url {
		log.WarnContext(ctx, "the keyset records another issuer than this server's URL; tokens and discovery carry the recorded one; --issuer changes it",
			"issuer", issuer, "url", url)
	}
	return nil
}
