package remote

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// parseAddress checks a URL: it must be absolute, have no userinfo, and use https unless
// its host is loopback or the caller allows plain http.
func parseAddress(raw string, insecureHTTP bool) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// url.Error shows the input with its password; its cause does not.
		return nil, fmt.Errorf("%w: not a URL: use https://HOST/PATH", ErrAddress)
	}
	switch {
	case u.User != nil:
		return nil, fmt.Errorf("%w: %s: a URL must not have a user name or password", ErrAddress, display(u))
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return nil, fmt.Errorf("%w: %s: use https://HOST/PATH", ErrAddress, display(u))
	case u.Scheme == "http" && !insecureHTTP && !isLoopback(u.Hostname()):
		return nil, fmt.Errorf("%w: %s: use https, or allow plain http if you trust the network (InsecureHTTP, --insecure-http)", ErrAddress, display(u))
	}
	return u, nil
}

// isLoopback reports whether a host is certainly this machine. Other names than
// localhost are not, because the network decides to which address they resolve.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// display returns the parts of a URL that errors may show.
func display(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// origin is scheme, host and port (RFC 6454); the port is always included.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// checkRedirect allows redirects within one origin. A redirect to another origin would
// let another server answer for the issuer.
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
