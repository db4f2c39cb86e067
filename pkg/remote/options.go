package remote

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"time"
)

// What callers may match. Every error of this package is one of the two.
var (
	// ErrAddress says that the URL or issuer itself is refused; nothing was sent.
	ErrAddress = errors.New("address refused")

	// ErrUnavailable says that keys could not be obtained: no answer, or none
	// that can be used.
	ErrUnavailable = errors.New("unavailable")
)

// Options say how to fetch and for how long to believe. The zero value is ready
// for use: every field that is zero, or negative where that makes no sense,
// stands for its default.
type Options struct {
	// Transport sends the requests; redirects and timeouts are this package's
	// own business. Default: a transport that takes proxies from the
	// environment and trusts RootCAs.
	Transport http.RoundTripper

	// RootCAs are the authorities to trust in place of the system's. A Transport
	// that is given has its own.
	RootCAs *x509.CertPool

	// InsecureHTTP allows plain http to any host. Without it only loopback
	// hosts (a literal loopback address, or localhost) may be asked that way.
	InsecureHTTP bool

	Timeout time.Duration // for a whole answer, body and redirects included; default 5s
	MaxSize int64         // of an answer, in bytes, after decompression; default 512 KiB

	Cooldown      time.Duration // between two refetches for an unknown kid; default 30s
	DefaultMaxAge time.Duration // how long a document is fresh whose headers do not say; default 5m
	MaxMaxAge     time.Duration // how long it is fresh at most, whatever they say; default 24h

	// MaxStale is how long a document may serve past its freshness while no
	// better one can be had; default 1h, negative for not at all. The issuer
	// can shorten it: to nothing by no-store, no-cache or must-revalidate, to a
	// span by stale-if-error (RFC 5861).
	MaxStale time.Duration

	Now func() time.Time // default time.Now
}

const (
	// minFresh keeps a document that may not be cached (no-store, max-age=0)
	// from costing its issuer a request per token.
	minFresh = time.Second

	minBackoff = 2 * time.Second
	maxBackoff = time.Minute

	maxRedirects = 3
	maxHeader    = 64 << 10 // bytes
)

// complete fills in the defaults.
func (o Options) complete() Options {
	if o.Transport == nil {
		o.Transport = &http.Transport{
			Proxy:             http.ProxyFromEnvironment,
			TLSClientConfig:   &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: true,
			// Minutes lie between two requests: an idle connection would be
			// a goroutine and a socket for nothing, and nobody to close it.
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: maxHeader,
		}
	}
	o.Timeout = positive(o.Timeout, 5*time.Second)
	o.MaxSize = positive(o.MaxSize, 512<<10)
	o.Cooldown = positive(o.Cooldown, 30*time.Second)
	o.DefaultMaxAge = positive(o.DefaultMaxAge, 5*time.Minute)
	o.MaxMaxAge = positive(o.MaxMaxAge, 24*time.Hour)
	if o.MaxStale == 0 {
		o.MaxStale = time.Hour
	}
	o.MaxStale = max(o.MaxStale, 0)
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func positive[T ~int64](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}
