package server

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/jwksctl/jwksctl/pkg/audit"
	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// Options are the dependencies and limits of a Server. Only Ring is required.
type Options struct {
	Ring     *keys.Ring
	Audience []string // the aud of a token if its request names none
	NoTokens bool     // /auth answers 404: the server only publishes

	Clients *client.Registry // who gets tokens, and from which route; nil: every request to /auth
	Audit   *audit.Log       // gets a line for each token and refusal; nil: none

	// BehindProxy are the networks of the proxies in front of the server, without zones and
	// with IPv4 as IPv4. What they say about the client in Forwarded, X-Forwarded-For and
	// X-Forwarded-Proto is believed. Unless it is empty, that also holds for every peer on
	// a Unix socket. nil believes nobody.
	BehindProxy []netip.Prefix
	NoMetrics   bool // /metrics answers 404, except in MetricsHandler

	RateLimit      float64       // requests for tokens per second from each client address, from 0.001 to 10000; 0 is no limit
	MaxConnections int           // open at the same time; 0 means 1024
	DrainDelay     time.Duration // how long Serve continues to answer, with /readyz at 503, after its context has ended
	DrainTimeout   time.Duration // how long requests in flight may take after DrainDelay; 0 means 10s
	TLS            *tls.Config   // with its certificates, to serve HTTPS; nil serves HTTP

	Log     *slog.Logger     // nil discards
	Now     func() time.Time // nil means time.Now
	Version string           // the version of the program, for the build info metric
}

// Server answers requests. It is safe for concurrent use.
type Server struct {
	o       Options
	mux     *http.ServeMux
	only    *http.ServeMux  // /metrics alone
	public  map[string]bool // the paths of documents that scripts of any origin may read
	metrics *metrics
	limiter *rateLimiter // nil: no limit
	queue   *signQueue

	failures        *rateLimiter // of requests without valid credentials; nil without Clients
	clientLimiter   *clientLimiter
	checks          checks // of client assertions
	checkQueue      *signQueue
	keysUnavailable *rate.Sometimes // for the log line, which would be very frequent

	draining atomic.Bool
	inFlight *semaphore.Weighted // held by each request that arrived before draining

	connections *connections
}

// maxInFlight is the size of Server.inFlight, more than the requests that can be in
// flight. To wait until no request is in flight, drain acquires all of it.
const maxInFlight = 1 << 30

// New returns a server. It starts no goroutine.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxConnections <= 0 {
		o.MaxConnections = 1024
	}
	if o.NoTokens {
		o.Clients = nil
	}
	if o.DrainTimeout <= 0 {
		o.DrainTimeout = 10 * time.Second
	}
	s := &Server{o: o, mux: http.NewServeMux(), only: http.NewServeMux(), public: make(map[string]bool), inFlight: semaphore.NewWeighted(maxInFlight)}
	s.connections = newConnections(o.MaxConnections, s.isProxy)
	s.metrics = newMetrics(s)
	s.queue = newSignQueue(runtime.GOMAXPROCS(0), func(d time.Duration) { s.metrics.waits.Observe(d.Seconds()) })
	if o.RateLimit > 0 {
		s.limiter = newRateLimiter(o.RateLimit, burstOf(o.RateLimit))
	}
	if o.Clients != nil {
		s.failures = newRateLimiter(failureRate, failureBurst)
	}
	s.clientLimiter = newClientLimiter()
	s.checks.of = make(map[string]int)
	s.checkQueue = newCheckQueue()
	s.keysUnavailable = &rate.Sometimes{Interval: unavailableLog}
	s.addRoutes()
	return s
}

func (s *Server) addRoutes() {
	jwks := &document{ring: s.o.Ring, contentType: "application/jwk-set+json", render: renderSet}
	discovery := &document{ring: s.o.Ring, contentType: "application/json", render: s.renderDiscovery}
	if s.o.Clients != nil {
		discovery.revision = s.o.Clients.Revision
	}
	s.publicRoute("/jwks", jwks)
	s.publicRoute("/.well-known/jwks.json", jwks)
	s.publicRoute("/.well-known/openid-configuration", discovery)
	s.publicRoute("/.well-known/oauth-authorization-server", discovery)

	if s.o.NoTokens {
		s.mux.Handle(authRoute, s.problemHandler(&problem{status: http.StatusNotFound, detail: "this server issues no tokens, it only publishes keys (auth is off)"}))
	} else {
		s.route("POST "+authRoute, s.answerToken(tokenRoute{authRoute, s.readAuth, writeAuth}))
	}
	if s.o.Clients != nil {
		s.route("POST "+tokenEndpoint, s.answerToken(tokenRoute{tokenEndpoint, s.readTokenRequest, writeTokenResponse}))
	}
	s.route("GET /livez", s.livez)
	s.route("GET /readyz", s.readyz)
	s.routeOf(s.only, "GET "+metricsRoute, s.metrics.serve)
	if s.o.NoMetrics {
		s.mux.Handle(metricsRoute, s.problemHandler(&problem{status: http.StatusNotFound, detail: "the metrics of this server are not here; its setting metrics_port opens a port for them"}))
	} else {
		s.route("GET "+metricsRoute, s.metrics.serve)
	}
}

// handler answers a request, or returns an error that becomes a problem document.
type handler func(w http.ResponseWriter, r *http.Request) error

func (s *Server) route(pattern string, h handler) { s.routeOf(s.mux, pattern, h) }

func (s *Server) routeOf(mux *http.ServeMux, pattern string, h handler) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	})
}

// publicRoute adds a document that scripts of any origin may read.
func (s *Server) publicRoute(path string, d *document) {
	s.public[path] = true
	s.route("GET "+path, d.serve)
	s.mux.HandleFunc("OPTIONS "+path, func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Allow", "GET, HEAD, OPTIONS")
		h.Set("Access-Control-Allow-Methods", "GET, HEAD")
		h.Set("Access-Control-Allow-Headers", "*, Authorization")
		h.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
	})
}

// otherRoute is what metrics and logs say for every path that is not a route.
const otherRoute = "other"

// find returns the handler for a request among routes, and the path of its route.
//
// http.ServeMux answers an unknown path and a wrong method with plain text, and
// redirects a path that is not in its shortest form. find turns the first two into
// problem documents. It never redirects, because a client that follows a redirect may
// turn a POST into a GET.
func (s *Server) find(routes *http.ServeMux, r *http.Request) (h http.Handler, route string) {
	if p := s.routePath(r.URL); p != r.URL.Path {
		r = r.Clone(r.Context())
		r.URL.Path = p
	}
	if path.Clean(r.URL.Path) != r.URL.Path {
		return s.problemHandler(notFound()), otherRoute
	}
	h, pattern := routes.Handler(r)
	if pattern != "" {
		_, route, _ = strings.Cut(pattern, " ")
		return h, route
	}
	var answer headerOnly
	h.ServeHTTP(&answer, r)
	if allow := answer.Header().Get("Allow"); allow != "" {
		return s.problemHandler(&problem{
			status: http.StatusMethodNotAllowed, detail: "this path accepts the methods " + allow, allow: allow,
		}), r.URL.Path
	}
	return s.problemHandler(notFound()), otherRoute
}

// routePath returns the path that ServeMux should look up. It removes one final slash. The
// issuer's path may precede a public document and a route for tokens, unless a proxy
// removes it (OpenID Connect Discovery 1.0, section 4.1). A public document has further
// paths, because clients derive its URL from the issuer:
//
//   - The issuer's path follows it (RFC 8414, section 3.1).
//   - It starts with two slashes if the issuer ends with one.
func (s *Server) routePath(u *url.URL) string {
	p := u.Path
	if s.public[p] {
		return p
	}
	if len(p) > 1 && strings.HasSuffix(p, "/") && strings.HasSuffix(u.EscapedPath(), "/") {
		p = strings.TrimSuffix(p, "/")
	}
	base := strings.TrimSuffix(s.issuer().Path, "/")
	for _, document := range []string{p, strings.TrimPrefix(p, base), strings.TrimSuffix(p, base)} {
		if strings.HasPrefix(document, "//") {
			document = document[1:]
		}
		if s.public[document] {
			return document
		}
	}
	if inner := strings.TrimPrefix(p, base); inner == authRoute || inner == tokenEndpoint {
		return inner
	}
	return p
}

// issuer returns the issuer of the policy, which has made sure that it is a URL.
func (s *Server) issuer() *url.URL {
	u, err := url.Parse(s.o.Ring.Policy().Issuer)
	if err != nil {
		return &url.URL{}
	}
	return u
}

func (s *Server) problemHandler(p *problem) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, p) })
}

// headerOnly is a ResponseWriter that keeps the header and discards the rest.
type headerOnly struct{ header http.Header }

func (h *headerOnly) Header() http.Header {
	if h.header == nil {
		h.header = make(http.Header)
	}
	return h.header
}

func (*headerOnly) WriteHeader(int) {}

func (*headerOnly) Write(b []byte) (int, error) { return len(b), nil }
