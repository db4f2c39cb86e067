package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/config"
)

// parseClients parses the list of clients of the settings.
func parseClients(c config.Config) ([]client.Client, error) {
	clients, err := client.Parse(c.Clients)
	return clients, clientErrors(c, err)
}

// clientErrors adds the setting and the file to each problem of a list of clients.
func clientErrors(c config.Config, err error) error {
	if err == nil {
		return nil
	}
	all := []error{err}
	if joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err); ok {
		all = joined.Unwrap()
	}
	for i := range all {
		all[i] = &config.Error{Key: "clients", Source: c.Source("clients"), Err: all[i]}
	}
	return errors.Join(all...)
}

// newRegistry makes the registry of a server with this issuer.
func newRegistry(issuer func() string) *client.Registry {
	return client.New(client.Options{
		Issuer:        issuer,
		TokenEndpoint: func() string { return strings.TrimSuffix(issuer(), "/") + "/oauth2/token" },
	})
}

// clients is the list of the clients of a running server, which follows the settings file.
type clients struct {
	registry *client.Registry
	settings func() (settings, error) // loads the settings again
	running  config.Config
	log      *slog.Logger
	files    reloader

	// changed is called when a list has replaced another one. The first one replaces none.
	changed func(before, after []client.Client)
}

// loadClients makes the registry of a server with these settings. It returns nil if auth is
// not clients.
func (a *app) loadClients(cfg settings, issuer func() string, log *slog.Logger) (*clients, error) {
	if cfg.Auth != config.AuthClients {
		return nil, nil //nolint:nilnil // a server without clients has no list of them
	}
	c := &clients{
		registry: newRegistry(issuer),
		settings: func() (settings, error) { return a.settings(cfg.flags) },
		running:  cfg.Config,
		log:      log,
		changed:  cfg.audit.clientsChanged,
	}
	c.files = reloader{files: []string{cfg.File()}, load: c.load, report: c.report, wait: true}
	return c, c.files.start()
}

// list is the list for a server, nil if there is none.
func (c *clients) list() *client.Registry {
	if c == nil {
		return nil
	}
	return c.registry
}

// load reads the settings file and replaces the list.
func (c *clients) load() error {
	next, err := c.settings()
	if err != nil {
		return err
	}
	list, err := parseClients(next.Config)
	if err != nil {
		return err
	}
	if next.Auth != config.AuthClients {
		return fmt.Errorf("auth is %s now: restart the server if that is meant", next.Auth)
	}
	before := c.registry.Clients()
	if err := c.registry.Set(list); err != nil {
		return clientErrors(next.Config, err)
	}
	c.changed(before, list)
	var restart []string
	for _, key := range c.running.Differences(next.Config) {
		if key != "clients" {
			restart = append(restart, key)
		}
	}
	if len(restart) > 0 {
		c.log.Warn("settings have changed that need a restart", "settings", strings.Join(restart, ","))
	}
	return nil
}

func (c *clients) report(ctx context.Context, err error) {
	if err != nil {
		c.log.ErrorContext(ctx, "clients reload failed; the last list stays", "error", err.Error())
		return
	}
	var ids []string
	for _, one := range c.registry.Clients() {
		ids = append(ids, one.ID)
	}
	c.log.InfoContext(ctx, "clients reloaded", "count", len(ids), "clients", strings.Join(ids, ","))
}

// run looks at the settings file each second until ctx ends.
func (c *clients) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.files.ifChanged(ctx)
		case <-ctx.Done():
			return
		}
	}
}
