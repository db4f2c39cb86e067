package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Validate joins all problems with the values of settings, each an *Error that names
// the key and, if known, the source of the value. It does not check whether the
// algorithm exists or whether the policy's durations fit together.
func (c Config) Validate() error {
	var problems []error
	for _, s := range table() {
		if err := s.check(c); err != nil {
			problems = append(problems, c.problem(s.key, err))
		}
	}
	return errors.Join(problems...)
}

func (s setting) check(c Config) error {
	if d, ok := s.field(&c).(*time.Duration); ok && *d < 0 {
		return fmt.Errorf("%s is negative: give 0s or more", *d)
	}
	if path, ok := s.path(&c); ok {
		if err := CheckPath(path, c.environ); err != nil {
			return err
		}
	}
	if err := s.checkListener(c); err != nil {
		return err
	}
	switch s.key {
	case "auth":
		return c.checkAuth()
	case "clients":
		return c.checkClients()
	case "store":
		return c.checkStore()
	case "issuer":
		if c.Issuer != "" {
			return checkName(c.Issuer)
		}
	case "audience":
		return checkNames(c.Audience)
	case "algorithm":
		if c.Algorithm == "" {
			return errors.New("is empty: name one, such as RS256")
		}
	case "rotation_interval":
		return atLeast(1, c.RotationInterval)
	case "key_size":
		return atLeast(0, c.KeySize)
	case "max_connections":
		return atLeast(1, c.MaxConnections)
	case "rate_limit":
		const least, most = 0.001, 10000 // less is a request in a quarter of an hour; more is no limit that one client reaches
		if c.RateLimit != 0 && !(least <= c.RateLimit && c.RateLimit <= most) {
			return fmt.Errorf("%v is out of range: give 0 for no limit, or %v to %v", c.RateLimit, least, most)
		}
	case "drain_delay":
		return atMost(maxDrain, c.DrainDelay)
	case "drain_timeout":
		return atMost(maxDrain, c.DrainTimeout)
	case "audit_required":
		if c.AuditLog == "" && c.RequiresAudit() {
			return errors.New("is true, but there is no log: name one with audit_log")
		}
	case "log_format":
		return oneOf(c.LogFormat, "", "text", "json")
	case "log_level":
		return oneOf(c.LogLevel, "debug", "info", "warn", "error")
	}
	return nil
}

// checkListener checks the settings that say where a server listens, and how.
func (s setting) checkListener(c Config) error {
	switch s.key {
	case "host":
		return checkHost(c.Host)
	case "port":
		return checkPort(c.Port)
	case "metrics_port":
		return checkMetricsPort(c)
	case "behind_proxy":
		for _, text := range c.BehindProxy {
			if _, err := ParseNetwork(text); err != nil {
				return err
			}
		}
	case "pprof_port":
		return checkPort(c.PprofPort)
	case "tls_cert":
		return checkPair(c.TLSCert, c.TLSKey)
	case "tls_key":
		return checkPair(c.TLSKey, c.TLSCert)
	}
	return nil
}

func (c Config) checkAuth() error {
	if c.Auth == AuthClients && len(c.Clients) == 0 {
		return errors.New("is clients, but there are none: list them under clients in the settings file")
	}
	return oneOf(c.Auth, AuthAnonymous, AuthClients, AuthOff)
}

// checkClients refuses a list that nothing uses. A server that only publishes may share the
// file of those that issue tokens.
func (c Config) checkClients() error {
	if c.Auth == AuthAnonymous && len(c.Clients) > 0 {
		return errors.New("are listed, but auth is anonymous, so that anyone gets tokens without being one of them: set auth to clients")
	}
	return nil
}

func (c Config) checkStore() error {
	if strings.HasPrefix(string(c.sources["store"]), "flag ") && HasPassword(c.Store) {
		return errors.New("has a password, or what looks like one, which every user of this machine can read in the list of processes: " +
			"put the URL into JWKSCTL_STORE or the settings file, or the password into a file that password_file in the URL or PGPASSFILE names")
	}
	return nil
}

func checkHost(host string) error {
	if host == "" {
		return errors.New("is empty: give 0.0.0.0 or :: to listen on every address")
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	if path, ok := strings.CutPrefix(host, UnixPrefix); ok {
		return checkSocketPath(path)
	}
	if strings.ContainsAny(host, ":/[]@ \t\r\n") {
		return fmt.Errorf("%q is not an address or a name: give it without port, scheme or brackets", host)
	}
	return nil
}

// checkSocketPath checks the path of a Unix socket. A relative one would depend on where
// the server and its clients are started, and on Linux a name with @ in front is no file,
// so that no permissions guard it.
func checkSocketPath(path string) error {
	const longest = 103 // bytes; the least of the systems that we build for
	switch {
	case !strings.HasPrefix(path, "/") && !filepath.IsAbs(path):
		return fmt.Errorf("%q is not an absolute path: give a socket as unix:/run/jwksctl/jwksctl.sock", path)
	case strings.ContainsAny(path, " \t\r\n"):
		return fmt.Errorf("%q has white space: name another path", path)
	case len(path) > longest:
		return fmt.Errorf("the path has %d bytes: the path of a socket has at most %d", len(path), longest)
	}
	return nil
}

func checkMetricsPort(c Config) error {
	if c.MetricsPort != 0 && c.MetricsPort == c.Port && !strings.HasPrefix(c.Host, UnixPrefix) {
		return fmt.Errorf("%d is the port of the server itself: give another", c.MetricsPort)
	}
	return checkPort(c.MetricsPort)
}

func checkPort(port int) error {
	if port < 0 || port > math.MaxUint16 {
		return fmt.Errorf("%d is not a port: give 0 to %d", port, math.MaxUint16)
	}
	return nil
}

func checkPair(this, other string) error {
	if this == "" && other != "" {
		return errors.New("is missing: give both tls_cert and tls_key, or neither")
	}
	return nil
}

func checkNames(names []string) error {
	for _, name := range names {
		if err := checkName(name); err != nil {
			return err
		}
	}
	return nil
}

// checkName checks that a name is a StringOrURI of RFC 7519 section 2: text, which
// must be a URI if it contains a colon.
func checkName(name string) error {
	if name == "" || strings.TrimSpace(name) != name {
		return fmt.Errorf("%q is empty or has a space before or after it", name)
	}
	if !strings.Contains(name, ":") {
		return nil
	}
	if u, err := url.Parse(name); err != nil || u.Scheme == "" {
		return fmt.Errorf("%q contains a colon but is not a URI (RFC 7519 section 2)", name)
	}
	return nil
}

func atLeast[T int | time.Duration](least, value T) error {
	if value < least {
		return fmt.Errorf("%v is too small: give at least %v", value, least)
	}
	return nil
}

// maxDrain is the longest phase of a shutdown. Load balancers notice within minutes, and
// no request takes longer than one.
const maxDrain = time.Hour

func atMost(most, value time.Duration) error {
	if value > most {
		return fmt.Errorf("%v is too long: give at most %v", value, most)
	}
	return nil
}

func oneOf(value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%q is unknown: give one of %s", value, strings.TrimPrefix(strings.Join(allowed, ", "), ", "))
}
