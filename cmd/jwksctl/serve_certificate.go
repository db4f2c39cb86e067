package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jwksctl/jwksctl/pkg/config"
)

// certificate is the server's certificate and its private key. Each handshake looks at
// the two files, so that a renewed pair is served at once. While the files have no
// valid pair, the last one stays.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	files             reloader
	pair              atomic.Pointer[tls.Certificate]
}

// loadCertificate loads the pair that the settings name. It returns nil if they name
// none.
func loadCertificate(cfg config.Config, log *slog.Logger) (*certificate, error) {
	if cfg.TLSCert == "" {
		return nil, nil //nolint:nilnil // no TLS is no certificate
	}
	c := &certificate{certFile: cfg.TLSCert, keyFile: cfg.TLSKey, log: log}
	c.files = reloader{files: []string{c.certFile, c.keyFile}, load: c.load, report: c.report}
	if err := c.files.start(); err != nil {
		return nil, badUsage("tls_cert, tls_key: %v", err)
	}
	return c, nil
}

// tlsConfig is the configuration of a server with this certificate, nil for HTTP.
func (c *certificate) tlsConfig() *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12}
}

func (c *certificate) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.files.ifChanged(hello.Context())
	return c.pair.Load(), nil
}

// reloadNow reloads the pair even if the files look the same.
func (c *certificate) reloadNow(ctx context.Context) { c.files.now(ctx) }

func (c *certificate) report(ctx context.Context, err error) {
	if err != nil {
		c.log.ErrorContext(ctx, "certificate reload failed; the last one stays", "error", err.Error())
		return
	}
	c.log.InfoContext(ctx, "certificate reloaded", "not_after", c.pair.Load().Leaf.NotAfter.UTC().Format(time.RFC3339))
}

func (c *certificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		if _, named := errors.AsType[*fs.PathError](err); !named {
			err = errors.New(c.certFile + ", " + c.keyFile + ": " + err.Error())
		}
		return err
	}
	c.pair.Store(&pair)
	return nil
}
