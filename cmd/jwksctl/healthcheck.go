package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jwksctl/jwksctl/pkg/config"
)

func (a *app) newHealthcheck() *cobra.Command {
	timeout := durationFlag{2 * time.Second}
	c := &cobra.Command{
		Use:   "healthcheck [URL]",
		Short: "Ask a server whether it is ready; for images without a shell",
		Long: `Ask a server whether it is ready. URL is its base URL; the default is what the
settings host, port and tls_cert say. It exits with 0 or 1 and nothing else, as
container health checks want it.`,
		Example: `  jwksctl healthcheck
  jwksctl healthcheck https://auth.example.com --timeout 5s
  HEALTHCHECK CMD ["/jwksctl", "healthcheck"]        # in a Dockerfile`,
		Args: func(c *cobra.Command, args []string) error {
			if err := cobra.MaximumNArgs(1)(c, args); err != nil {
				a.started = true // 2 is no exit code of this command
				return err
			}
			return nil
		},
	}
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		a.started = true
		return flagError(c, err)
	})
	c.Flags().Var(&timeout, "timeout", "how long to wait for the answer (default 2s)")
	config.Flags(c.Flags(), "host", "port")
	c.RunE = a.run(func(ctx context.Context, args []string) error {
		if err := a.healthcheck(ctx, c, timeout.d, args); err != nil {
			return plainError{err}
		}
		return nil
	})
	return c
}

// plainError hides the kind of an error, so that its exit code is 1.
type plainError struct{ error }

func (a *app) healthcheck(ctx context.Context, c *cobra.Command, timeout time.Duration, args []string) error {
	cfg, err := a.settings(c.Flags())
	if err != nil {
		return err
	}
	url := baseURL(cfg, cfg.Port)
	if len(args) == 1 {
		url = strings.TrimSuffix(args[0], "/")
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // only read
	body, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if response.StatusCode != http.StatusOK {
		return errors.Join(fmt.Errorf("%s is not ready: %s %s", url, response.Status, strings.TrimSpace(string(body))), err)
	}
	a.print("ready\n")
	return nil
}
