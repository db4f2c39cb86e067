package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/jwksctl/jwksctl/pkg/config"
)

type healthcheckOptions struct {
	flags   *pflag.FlagSet
	timeout durationFlag
	caFile  string
	out     output
}

func (a *app) newHealthcheck() *cobra.Command {
	o := healthcheckOptions{timeout: durationFlag{2 * time.Second}}
	c := &cobra.Command{
		Use:   "healthcheck [URL]",
		Short: "Ask a server whether it is ready; for images without a shell",
		Long: `Ask a server whether it is ready. URL is the server's base URL. Without it, the URL
comes from the settings host, port and tls_cert, and the certificate in tls_cert is
trusted under any name that it has. A server on a Unix socket has the URL unix:/PATH. The exit code is always 0 or 1, because container
health checks reserve the others.`,
		Example: `  jwksctl healthcheck
  jwksctl healthcheck https://auth.example.com --timeout 5s
  HEALTHCHECK CMD ["/jwksctl", "healthcheck"]        # in a Dockerfile`,
		Args: func(c *cobra.Command, args []string) error {
			if err := cobra.MaximumNArgs(1)(c, args); err != nil {
				a.started = true // so that the exit code is not 2
				return err
			}
			return nil
		},
	}
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		a.started = true
		return flagError(c, err)
	})
	o.flags = c.Flags()
	o.flags.Var(&o.timeout, "timeout", "how long to wait for the answer")
	o.flags.StringVar(&o.caFile, "ca-file", "", "trust the authorities in this PEM file instead of the system's")
	outputFlag(c, &o.out, "text")
	config.Flags(o.flags, "host", "port", "tls_cert", "tls_key")
	c.RunE = a.run(func(ctx context.Context, args []string) error {
		if err := a.healthcheck(ctx, o, args); err != nil {
			return plainError{err}
		}
		return nil
	})
	return c
}

// plainError hides the type of an error, so that the exit code is 1.
type plainError struct{ error }

func (a *app) healthcheck(ctx context.Context, o healthcheckOptions, args []string) error {
	cfg, err := a.settings(o.flags)
	if err != nil {
		return err
	}
	url, certificate := baseURL(cfg.Config), cfg.TLSCert
	if len(args) == 1 {
		url, certificate = strings.TrimSuffix(args[0], "/"), ""
	}
	trust, err := clientTLS(o.caFile, certificate)
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: trust, Proxy: http.ProxyFromEnvironment}
	base := url
	if path, unix := strings.CutPrefix(url, config.UnixPrefix); unix {
		base, transport.Proxy = "http://localhost", nil
		if certificate != "" {
			base = "https://localhost"
		}
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}
	}
	// A page to which /readyz redirects, such as the login of a proxy, is not the server.
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ctx, cancel := context.WithTimeout(ctx, o.timeout.d)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // only read
	body, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if response.StatusCode != http.StatusOK {
		return errors.Join(fmt.Errorf("%s is not ready: %s %s", url, response.Status, strings.TrimSpace(string(body))), err)
	}
	if o.out.json {
		return a.printJSON(map[string]any{"ready": true, "url": url})
	}
	a.print("ready\n")
	return nil
}

// clientTLS trusts the authorities in caFile, or the server's own certificate, or, if
// both paths are empty, the system's authorities. The server's certificate need not
// have the address at which the server is asked.
func clientTLS(caFile, certificate string) (trust *tls.Config, err error) {
	trust = &tls.Config{MinVersion: tls.VersionTLS12}
	if certificate != "" {
		chain, err := os.ReadFile(certificate)
		if err != nil {
			return nil, badUsage("tls_cert: %v", err)
		}
		block, _ := pem.Decode(chain)
		if block == nil {
			return nil, badUsage("tls_cert: %s contains no certificate in PEM", certificate)
		}
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, badUsage("tls_cert: %s: %v", certificate, err)
		}
		trust.ServerName = serverName(leaf)
		trust.RootCAs = x509.NewCertPool()
		trust.RootCAs.AppendCertsFromPEM(chain)
	}
	if caFile != "" {
		trust.RootCAs, err = authorities(caFile)
	}
	return trust, err
}

// serverName is a name that a certificate is valid for, "" if it has none.
func serverName(leaf *x509.Certificate) string {
	switch {
	case len(leaf.DNSNames) > 0:
		return strings.Replace(leaf.DNSNames[0], "*", "any", 1)
	case len(leaf.IPAddresses) > 0:
		return leaf.IPAddresses[0].String()
	}
	return ""
}
