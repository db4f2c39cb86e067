package server

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jwksctl/jwksctl/pkg/keys"
)

// Options are the parts and limits of a Server. Only Ring is required.
type Options struct {
	Ring     *keys.Ring
	Audience []string // aud of tokens whose request names none

	RateLimit      float64       // requests to /auth a second and client address, from 0.001 to 10000; 0 is no limit
	MaxConnections int           // open at once; 0 means 1024
	DrainDelay     time.Duration // how long Serve goes on answering, no longer ready, once it is told to end
	DrainTimeout   time.Duration // how long requests in flight may take after that; 0 means 10s
	TLS            *tls.Config   // with its certificates, to serve HTTPS; nil serves HTTP

	// Crowded is told when requests begin to wait for a signature, and when none
	// has waited for a minute. nil tells nobody.
	Crowded func(bool)

	Log     *slog.Logger     // nil discards
	Now     func() time.Time // nil means time.Now
	Version string           // of the program, for the build info metric
}

// Server answers requests. It may be used by many goroutines.
type Server struct {
	o         Options
	routes    map[string]*endpoint // by path
	nowhere   *endpoint            // what stands behind every other path
	metrics   *metrics
	limiter   *limiter // nil: no limit
	crew      *crew
	responses sync.Pool // of *response, so that a request does not allocate one
	draining  atomic.Bool
	full      atomic.Bool // somebody waits until a connection ends
	inFlight  tally       // requests that came before draining

	// Header values that are the same in each response, made once.
	anyOrigin, noSniff, noStore, typeJSON, typeJWT []string
}

// queueLength is how many requests may wait for each signature that can be made
// at once. It bounds the wait: the last in the queue is served after as many
// signatures.
const queueLength = 64

// New makes a server. It starts nothing.
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
	if o.DrainTimeout <= 0 {
		o.DrainTimeout = 10 * time.Second
	}
	s := &Server{
		o: o, routes: make(map[string]*endpoint),
		anyOrigin: []string{"*"}, noSniff: []string{"nosniff"}, noStore: []string{"no-store"},
		typeJSON: []string{"application/json"}, typeJWT: []string{"application/jwt"}, inFlight: newTally(),
	}
	signatures := runtime.GOMAXPROCS(0)
	s.crew = newCrew(signatures, queueLength*signatures)
	s.crew.crowd.tell = o.Crowded
	if o.RateLimit > 0 {
		s.limiter = newLimiter(o.RateLimit)
	}
	s.route()
	return s
}

// Handler is the whole tree of routes.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.observe) }

// endpoint is what stands behind a path.
type endpoint struct {
	meter
	methods []string
	public  bool // scripts of any origin may read it
	serve   func(w *response, r *http.Request) error
}

// route fills the routes. They are whole paths, so a map finds them, and each
// answers other methods with a problem document of its own. That leaves nothing for
// http.ServeMux to do but to take its time.
func (s *Server) route() {
	read := []string{http.MethodGet, http.MethodHead}
	jwks := &published{ring: s.o.Ring, contentType: "application/jwk-set+json", render: renderSet}
	discovery := &published{ring: s.o.Ring, contentType: "application/json", render: s.renderDiscovery}
	s.metrics = newMetrics(s)
	s.crew.waited = func(d time.Duration) { s.metrics.waits.Observe(d.Seconds()) }
	for path, e := range map[string]endpoint{
		"/jwks":                                   {methods: read, public: true, serve: jwks.serve},
		"/.well-known/jwks.json":                  {methods: read, public: true, serve: jwks.serve},
		"/.well-known/openid-configuration":       {methods: read, public: true, serve: discovery.serve},
		"/.well-known/oauth-authorization-server": {methods: read, public: true, serve: discovery.serve},

		authRoute:  {methods: []string{http.MethodPost}, serve: s.auth},
		"/livez":   {methods: read, serve: s.livez},
		"/readyz":  {methods: read, serve: s.readyz},
		"/metrics": {methods: read, serve: s.metrics.serve()},
	} {
		s.handle(path, e)
	}
	s.nowhere = &endpoint{meter: s.metrics.meter(otherRoute, endpoint{})}
}

// handle adds a route.
func (s *Server) handle(path string, e endpoint) {
	e.meter = s.metrics.meter(path, e)
	s.routes[path] = &e
}

// find tells what stands behind a path.
func (s *Server) find(path string) *endpoint {
	if e, ok := s.routes[path]; ok {
		return e
	}
	// Who appends to an issuer with a final slash asks with two of them. What is
	// not public stays under its one name, by which a proxy may guard it.
	if e, ok := s.routes[strings.TrimPrefix(path, "/")]; ok && e.public {
		return e
	}
	return s.nowhere
}

// answer has an endpoint answer, and answers for it if it cannot.
func (s *Server) answer(w *response, r *http.Request, e *endpoint) {
	if e.public {
		w.Header()["Access-Control-Allow-Origin"] = s.anyOrigin
	}
	if err := e.answer(w, r); err != nil {
		s.fail(w, r, err)
	}
}

func (e *endpoint) answer(w *response, r *http.Request) error {
	if e.serve == nil {
		return &problem{status: http.StatusNotFound, detail: "there is nothing at this path"}
	}
	if slices.Contains(e.methods, r.Method) {
		return e.serve(w, r)
	}
	allow := strings.Join(e.methods, ", ")
	if e.public {
		allow += ", OPTIONS"
	}
	w.Header().Set("Allow", allow)
	if !e.public || r.Method != http.MethodOptions {
		return &problem{status: http.StatusMethodNotAllowed, detail: "this path takes " + allow}
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", strings.Join(e.methods, ", "))
	h.Set("Access-Control-Allow-Headers", "*, Authorization")
	h.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
	return nil
}
