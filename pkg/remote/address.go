package remote

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// parseAddress holds a URL to the rules of this package: absolute, https unless
// its host is a loopback one or the caller insists, and without userinfo.
func parseAddress(raw string, insecureHTTP bool) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// url.Error repeats the input, password and all; its cause does not.
		return nil, fmt.Errorf("%w: not a URL: want https://HOST/PATH", ErrAddress)
	}
	switch {
	case u.User != nil:
		return nil, fmt.Errorf("%w: %s: a URL must not carry a user name or password", ErrAddress, display(u))
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return nil, fmt.Errorf("%w: %s: want https://HOST/PATH", ErrAddress, display(u))
	case u.Scheme == "http" && !insecureHTTP && !loopback(u.Hostname()):
		return nil, fmt.Errorf("%w: %s: use https, or, if you trust the network between, insecure HTTP (InsecureHTTP, --insecure-http)", ErrAddress, display(u))
	}
	return u, nil
}

// loopback reports whether a host can only be this machine. Names other than
// localhost do not count: what they resolve to is the network's say.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// display is what errors may show of a URL.
func display(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// origin is scheme, host and port (RFC 6454), the port always spelled out.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// checkRedirect lets a server move a document about, never hand the question to
// another one: what answers in the issuer's name must be the issuer.
func checkRedirect(req *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("more than %d redirects", maxRedirects)
	case origin(req.URL) != origin(via[0].URL):
		return fmt.Errorf("redirect to another origin (%s) refused", origin(req.URL))
	case req.URL.User != nil:
		return errors.New("redirect to a URL with a user name or password refused")
	}
	return nil
}
