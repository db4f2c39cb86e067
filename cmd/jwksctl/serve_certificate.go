package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
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
	if err == nil {
		err = checkCertificateKey(pair.Leaf)
	}
	if err != nil {
		if _, named := errors.AsType[*fs.PathError](err); !named {
			err = errors.New(c.certFile + ", " + c.keyFile + ": " + err.Error())
		}
		return err
	}
	c.pair.Store(&pair)
	return nil
}

// checkCertificateKey refuses a key with which every handshake would fail: one on a curve
// that TLS does not have, and in a mode of FIPS 140-3 a short RSA key.
func checkCertificateKey(c *x509.Certificate) error {
	switch key := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() && key.Curve != elliptic.P521() {
			return fmt.Errorf("the key is on the curve %s, which TLS does not have: use one on P-256, P-384 or P-521", key.Curve.Params().Name)
		}
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); fips140.Enabled() && bits < 2048 {
			return fmt.Errorf("the RSA key has %d bits, and FIPS 140-3 mode needs at least 2048", bits)
		}
	}
	return nil
}
