package remote

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"time"
)

// The errors that callers may match. Every error of this package is one of them.
var (
	// ErrAddress says that the URL or issuer itself is refused; nothing was sent.
	ErrAddress = errors.New("address refused")

	// ErrUnavailable says that keys could not be obtained: no response, or an
	// unusable one.
	ErrUnavailable = errors.New("unavailable")
)

// Options say how to fetch and how long to cache. The zero value is ready for use: a
// field that is zero, or negative where that has no meaning, gets its default.
type Options struct {
	// Transport sends the requests. This package itself handles redirects and
	// timeouts. Default: a transport that uses the proxies of the environment and
	// trusts RootCAs.
	Transport http.RoundTripper

	// RootCAs are the certificate authorities to trust instead of the system's. They
	// are not used with a Transport of the caller.
	RootCAs *x509.CertPool

	// Header is sent with each request for a JWK Set, such as one with Authorization. It
	// is not sent with requests for metadata, and redirects to another origin are refused.
	Header http.Header

	// InsecureHTTP allows plain http to any host. Without it, plain http is allowed to
	// loopback hosts only (a literal loopback address, or localhost).
	InsecureHTTP bool

	Timeout time.Duration // for a whole response, body and redirects included; default 5s
	MaxSize int64         // of a response, in bytes, after decompression; default 512 KiB

	Cooldown      time.Duration // between two refetches for an unknown kid; default 30s
	DefaultMaxAge time.Duration // how long a document is fresh if its headers do not say; default 5m
	MaxMaxAge     time.Duration // how long a document is fresh at most; default 24h

	// MaxStale is how long a document may be used after it was fresh while no newer
	// one can be fetched; default 1h, negative for not at all. The issuer can shorten
	// it: to zero by no-store, no-cache or must-revalidate, to a duration by
	// stale-if-error (RFC 5861).
	MaxStale time.Duration

	Now func() time.Time // default time.Now
}

const (
	// minFresh limits the requests for a document that may not be cached (no-store,
	// max-age=0). Without it each token would cause one.
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
			// There are minutes between two requests. An idle connection would hold
			// a goroutine and a socket, and nothing would close it.
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
