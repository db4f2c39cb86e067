package server

import (
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

const (
	kindValid   = "valid"
	kindExpired = "expired"

	otherRoute = "other" // every path that is not a route
)

// metrics are what a server counts.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	waits    prometheus.Histogram
	tokens   map[tokenLabels]prometheus.Counter // looked up once, like those of a meter
}

// meter counts the requests of a route. A lookup by labels takes its time, so the
// answers that are often given, those to the route's first method, need none.
type meter struct {
	route         string
	latency       prometheus.Observer
	ok, unchanged prometheus.Counter // 200 and 304; nil where there is no such answer
}

type tokenLabels struct {
	alg  jwk.Algorithm
	kind string
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jwksctl_http_requests_total", Help: "Requests answered.",
		}, []string{"route", "status", "method"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "jwksctl_http_request_duration_seconds", Help: "Time from a request's header to the end of its handler.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 4, 10), // 50 µs to 13 s
		}, []string{"route"}),
		waits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "jwksctl_sign_wait_seconds", Help: "Time that requests for a token waited for their turn, of those that had to wait.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 4, 10), // 50 µs to 13 s
		}),
		tokens: make(map[tokenLabels]prometheus.Counter),
	}
	tokens := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "jwksctl_tokens_total", Help: "Tokens given out.",
	}, []string{"alg", "kind"})
	for _, alg := range jwk.Algorithms() {
		for _, kind := range []string{kindValid, kindExpired} {
			m.tokens[tokenLabels{alg, kind}] = tokens.WithLabelValues(alg.String(), kind)
		}
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "jwksctl_build_info", Help: "1, with what the program is in the labels.",
		ConstLabels: prometheus.Labels{"version": s.o.Version, "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.seconds, tokens, m.waits, build, &ringCollector{s},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// meter prepares what is counted for a route.
func (m *metrics) meter(route string, e endpoint) meter {
	of := meter{route: route, latency: m.seconds.WithLabelValues(route)}
	if len(e.methods) > 0 {
		of.ok = m.requests.WithLabelValues(route, "200", e.methods[0])
	}
	if e.public {
		of.unchanged = m.requests.WithLabelValues(route, "304", e.methods[0])
	}
	return of
}

// count takes down one request.
func (m *metrics) count(e *endpoint, method string, status int, took time.Duration) {
	e.latency.Observe(took.Seconds())
	often := len(e.methods) > 0 && method == e.methods[0]
	switch {
	case often && status == http.StatusOK:
		e.ok.Inc()
	case often && status == http.StatusNotModified && e.public:
		e.unchanged.Inc()
	default:
		m.requests.WithLabelValues(e.route, strconv.Itoa(status), methodLabel(method)).Inc()
	}
}

// methodLabel bounds the values that anybody can make us remember or log.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return method
	}
	return "other"
}

func (m *metrics) serve() func(*response, *http.Request) error {
	h := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
	return func(w *response, r *http.Request) error {
		h.ServeHTTP(w, r)
		return nil
	}
}
