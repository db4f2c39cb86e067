package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/config"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/server"
)

const serveHelp = `Publish the JWK Set and issue tokens over HTTP. If the store is empty, serve creates the
keys first. Keys rotate by themselves; several servers may share one store. If a setting
of the policy is given and differs from what the keyset records, the policy changes for
every process that uses the store.

The issuer of new keys is the server's own URL unless --issuer is given. A server that
listens on every address, as in a container, or on a Unix socket does not know the URL by
which others reach it, so it does not create a keyset without --issuer. With --import-key
the first key that signs is one of yours, so that several stores, such as those of CI jobs,
begin with the same key.

With --auth off the server only publishes: it issues no tokens and takes no step of the
lifecycle. It needs no sealing key, and the right to read the public part of the store is
enough. Other servers on the store have to do the rest.

On SIGTERM and SIGINT the server stops being ready, finishes the requests in flight and
exits with 0. With --drain-delay it goes on answering for that long, so that a load
balancer notices that it is not ready before the port closes.

An address that is not loopback needs TLS (--tls-cert and --tls-key) or a proxy that ends it
(--behind-proxy). The client's address comes from the headers of that proxy, and of no other
peer. /metrics is then on --metrics-port only. --host unix:/PATH listens on a Unix socket that
the user and the group of the server may use. If systemd passes a socket, --host and --port
are not used; a second socket with FileDescriptorName=metrics is for /metrics.

SIGHUP reloads the certificate and the list of clients, which are also reloaded when their
files change, and opens the audit log again. A pair that is broken or does not match, or a
settings file that is broken, is reported in the log, and what was loaded last stays. Other
settings need a restart.`

func (a *app) newServe() *cobra.Command {
	var first newKeyset
	var importKey string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Publish the JWK Set and issue tokens over HTTP",
		Long:  serveHelp,
		Example: `  jwksctl serve
  jwksctl serve --port 0 --ready-file /run/jwksctl.url     # any free port
  jwksctl serve --rotation-interval 10s                    # watch keys rotate
  jwksctl serve --algorithm ES256 --issuer https://auth.example.com
  jwksctl serve --auth off --host 0.0.0.0 --tls-cert tls.crt --tls-key tls.key    # only publish
  jwksctl serve --host unix:/run/jwksctl/http.sock --issuer https://auth.example.com
  curl -s http://127.0.0.1:8080/.well-known/jwks.json
  curl -s -X POST http://127.0.0.1:8080/auth -d username=alice`,
		Args: cobra.NoArgs,
	}
	settingsFlags(c.Flags())
	newKeysetFlag(c, &first.confirmed)
	importKeyFlag(c.Flags(), &importKey)
	completeAlgorithms(c, "algorithm")
	complete(c, "auth", config.AuthAnonymous, config.AuthClients, config.AuthOff)
	complete(c, "log-format", "text", "json")
	complete(c, "log-level", "debug", "info", "warn", "error")
	return a.withSettings(c, func(ctx context.Context, cfg settings, _ []string) error {
		if cfg.Auth == config.AuthOff && (first.confirmed || c.Flags().Changed("import-key")) {
			return badUsage("--new-keyset and --import-key are for a server that creates keys: with auth %s it only publishes those of the store", cfg.Auth)
		}
		if err := a.importKey(c.Flags(), importKey, cfg.Config, &first); err != nil {
			return err
		}
		return a.serveAudited(ctx, cfg, first)
	})
}

// serveAudited serves with the audit log of the settings. A server that only publishes has
// nothing to record.
func (a *app) serveAudited(ctx context.Context, cfg settings, first newKeyset) error {
	cfg.log = a.logger(cfg.Config)
	if cfg.Auth != config.AuthOff {
		if err := a.openAudit(ctx, &cfg, "serve"); err != nil {
			return err
		}
		defer cfg.audit.close()
	}
	return a.serve(ctx, cfg, first)
}

// serve builds the parts and runs them until ctx ends. If the store is empty, it creates
// the keyset that first describes.
func (a *app) serve(ctx context.Context, cfg settings, first newKeyset) error {
	hangups := surviveSignals()
	log := cfg.log
	certificate, err := loadCertificate(cfg.Config, log)
	if err != nil {
		return err
	}
	ready := readyFile(cfg.ReadyFile)
	if err := ready.check(); err != nil {
		return err
	}
	given := cfg // what a reload compares with
	var on listeners
	if on, cfg.Config, err = listen(ctx, cfg.Config, log); err != nil {
		return err
	}
	defer on.close()
	if err := ready.removeOld(); err != nil {
		return err
	}
	actual := cfg.Config
	actual.Port = portOf(on.main)
	url := baseURL(actual)

	first.issuer = ownIssuer(actual)
	ring, err := a.openServed(ctx, cfg, first)
	if err != nil {
		return err
	}
	defer func() { _ = ring.Close() }() // each write is committed when it is made
	clients, err := a.loadClients(given, func() string { return ring.Policy().Issuer }, log)
	if err != nil {
		return err
	}
	warnOfIssuer(ctx, ring.Policy().Issuer, cfg.Config, log, url)
	o := serverOptions(cfg.Config, log)
	o.Ring, o.Clients, o.Audit = ring.Ring, clients.list(), cfg.audit.serverLog()
	o.TLS, o.NoMetrics = certificate.tlsConfig(), on.hideMetrics(cfg.Config)
	s := server.New(o)
	// The ring runs on while requests in flight are drained, because they need signatures.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		ring.Run(running)
	}()
	if clients != nil {
		go clients.run(ctx)
	}
	defer func() {
		stop()
		<-done
	}()
	if err := servePprof(ctx, cfg.Config, log); err != nil {
		return err
	}
	serveMetrics(running, cfg.Config, on, s, certificate.tlsConfig(), log)
	return a.serveHTTP(ctx, service{s, on.main, certificate, clients, hangups, cfg.Config, url, ring.Ring, log, cfg.audit})
}

// serverOptions are those that follow from the settings alone.
func serverOptions(cfg config.Config, log *slog.Logger) server.Options {
	return server.Options{
		Audience: cfg.Audience, NoTokens: cfg.Auth == config.AuthOff, BehindProxy: networks(cfg.BehindProxy),
		RateLimit: cfg.RateLimit, MaxConnections: cfg.MaxConnections, DrainDelay: cfg.DrainDelay, DrainTimeout: cfg.DrainTimeout,
		Log: log, Version: version(),
	}
}

// openServed opens the keyset that serve serves. A server that issues tokens creates the
// keyset if the store is empty, and sets its policy.
func (a *app) openServed(ctx context.Context, cfg settings, first newKeyset) (openedRing, error) {
	if cfg.Auth == config.AuthOff {
		return openReader(ctx, cfg)
	}
	first.check = func(keys.Policy) error { return nil }
	ring, err := openOrCreateRing(ctx, cfg, first)
	if err != nil {
		return ring, err
	}
	if err := a.applyPolicySettings(ctx, ring.Ring, cfg.Config, cfg.log); err != nil {
		return openedRing{}, errors.Join(err, ring.Close())
	}
	return ring, nil
}

// service is a server that is ready to serve, and what its command needs meanwhile.
type service struct {
	server      *server.Server
	listener    net.Listener
	certificate *certificate
	clients     *clients
	hangups     <-chan os.Signal
	cfg         config.Config
	url         string
	ring        *keys.Ring
	log         *slog.Logger
	audit       *auditor
}

// serveHTTP serves until ctx ends. It announces the server on the terminal, in the log
// and in the ready file.
func (a *app) serveHTTP(ctx context.Context, s service) error {
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(ctx, s.listener) }()
	if a.terminal(a.stderr) && s.cfg.LogFormat == "" {
		a.printBanner(s.url, s.ring, s.cfg.Auth)
	}
	s.log.InfoContext(ctx, "listening", "url", s.url, "issuer", s.ring.Policy().Issuer, "kid", s.ring.Keyset().Active().KeyID())
	ready := readyFile(s.cfg.ReadyFile)
	if err := ready.write(s.url); err != nil {
		return err
	}
	defer ready.remove(s.url)
	s.notify(ctx, daemon.SdNotifyReady)
	notifyStopping := sync.OnceFunc(func() { s.notify(ctx, daemon.SdNotifyStopping) })
	for stopping := ctx.Done(); ; {
		select {
		case <-stopping:
			stopping = nil
			notifyStopping()
		case err := <-served:
			notifyStopping()
			if err == nil {
				s.log.InfoContext(context.WithoutCancel(ctx), "drained")
			}
			return err
		case <-s.hangups:
			if ctx.Err() != nil {
				s.reload(ctx) // systemd would take READY for the end of the drain
				continue
			}
			s.notify(ctx, daemon.SdNotifyReloading+"\n"+daemon.SdNotifyMonotonicUsec())
			s.reload(ctx)
			s.notify(ctx, daemon.SdNotifyReady)
		}
	}
}

// reload is the answer to SIGHUP.
func (s service) reload(ctx context.Context) {
	reopened := s.audit.reopen(ctx)
	if s.certificate == nil && s.clients == nil && !reopened {
		s.log.InfoContext(ctx, "SIGHUP: there is nothing to reload")
	}
	if s.certificate != nil {
		s.certificate.reloadNow(ctx)
	}
	if s.clients != nil {
		s.clients.files.now(ctx)
	}
}

// notify tells systemd the state of the server, if systemd asked for that with
// Type=notify: see sd_notify(3).
func (s service) notify(ctx context.Context, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.WarnContext(ctx, "systemd was not notified", "error", err.Error())
	}
}

// logger returns a log on standard error, in the format and from the level of the settings.
func (a *app) logger(c config.Config) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // config.Load has checked it
	o := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "text" || (c.LogFormat == "" && a.terminal(a.stderr)) {
		return slog.New(slog.NewTextHandler(a.stderr, o))
	}
	return slog.New(slog.NewJSONHandler(a.stderr, o))
}

// printBanner shows the server's URLs and its key on a terminal.
func (a *app) printBanner(url string, ring *keys.Ring, auth string) {
	ks := ring.Keyset()
	active := ks.Active()
	a.printMessage("%s %s", a.paint(a.stderr, bold, "jwksctl"), version())
	curl := "curl -s"
	if path, unix := strings.CutPrefix(url, config.UnixPrefix); unix {
		a.printMessage("  socket     %s", path)
		curl, url = curl+" --unix-socket "+path, "http://localhost"
	}
	a.printMessage("  JWK Set    %s", a.paint(a.stderr, bold, url+"/.well-known/jwks.json"))
	switch auth {
	case config.AuthAnonymous:
		a.printMessage("  tokens     %s -X POST %s/auth", curl, url)
	case config.AuthClients:
		a.printMessage("  tokens     %s/oauth2/token, for clients", url)
	}
	a.printMessage("  discovery  %s/.well-known/openid-configuration", url)
	a.printMessage("  issuer     %s", ks.Policy.Issuer)
	a.printMessage("  key        %s (%s)", active.KeyID(), active.JWK.Algorithm())
	a.printMessage("  rotation   %s, in %s", ks.NextRotation().Local().Format(time.RFC3339), roughly(ks.NextRotation().Sub(a.now())))
}
