package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/jwksctl/jwksctl/pkg/config"
)

// certificate is the server's certificate and its private key. Each handshake looks at
// the two files, so that a renewed pair is served at once. While the files have no
// valid pair, the last one stays.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	files   []fs.FileInfo // at the last attempt to load them; nil if one could not be found
	failing bool          // the last attempt failed
}

// loadCertificate loads the pair that the settings name. It returns nil if they name
// none.
func loadCertificate(cfg config.Config, log *slog.Logger) (*certificate, error) {
	if cfg.TLSCert == "" {
		return nil, nil //nolint:nilnil // no TLS is no certificate
	}
	c := &certificate{certFile: cfg.TLSCert, keyFile: cfg.TLSKey, log: log}
	c.files = c.stat()
	if err := c.load(); err != nil {
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
	c.mu.Lock()
	defer c.mu.Unlock()
	if files := c.stat(); !slices.EqualFunc(files, c.files, isSameVersion) {
		c.files = files
		c.reload(hello.Context())
	}
	return c.pair, nil
}

// reloadNow reloads the pair even if the files look the same.
func (c *certificate) reloadNow(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failing = false // so that the answer to SIGHUP is always in the log
	c.files = c.stat()
	c.reload(ctx)
}

// reload logs the first of several failures only. The caller has locked mu.
func (c *certificate) reload(ctx context.Context) {
	failing := c.failing
	err := c.load()
	c.failing = err != nil
	switch {
	case err == nil:
		c.log.InfoContext(ctx, "certificate reloaded", "not_after", c.pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	case !failing:
		c.log.ErrorContext(ctx, "certificate reload failed; the last one stays", "error", err.Error())
	}
}

func (c *certificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		if _, named := errors.AsType[*fs.PathError](err); !named {
			err = errors.New(c.certFile + ", " + c.keyFile + ": " + err.Error())
		}
		return err
	}
	c.pair = &pair
	return nil
}

func (c *certificate) stat() []fs.FileInfo {
	var files []fs.FileInfo
	for _, path := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(path)
		if err != nil {
			return nil
		}
		files = append(files, info)
	}
	return files
}

func isSameVersion(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
