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

	// Looked up once, because a lookup by labels takes its time. Not changed after
	// New.
	latency map[string]prometheus.Observer
	often   map[requestLabels]prometheus.Counter
	tokens  map[tokenLabels]prometheus.Counter
}

type tokenLabels struct {
	alg  jwk.Algorithm
	kind string
}

type requestLabels struct {
	route, method string
	status        int
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
		latency: make(map[string]prometheus.Observer),
		often:   make(map[requestLabels]prometheus.Counter),
		tokens:  make(map[tokenLabels]prometheus.Counter),
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
	m.know(otherRoute, endpoint{})
	return m
}

// know prepares what is counted for a route: its good answers, without a lookup
// by labels.
func (m *metrics) know(route string, e endpoint) {
	m.latency[route] = m.seconds.WithLabelValues(route)
	good := []int{http.StatusOK}
	if e.public {
		good = append(good, http.StatusNotModified)
	}
	for _, method := range e.methods {
		for _, status := range good {
			m.often[requestLabels{route, method, status}] = m.requests.WithLabelValues(route, strconv.Itoa(status), method)
		}
	}
}

// count takes down one request and tells which route it took.
func (m *metrics) count(r *http.Request, status int, took time.Duration) (route string) {
	route = r.Pattern
	latency, ok := m.latency[route]
	if !ok {
		route = otherRoute
		latency = m.latency[route]
	}
	latency.Observe(took.Seconds())
	counter, ok := m.often[requestLabels{route, r.Method, status}]
	if !ok {
		counter = m.requests.WithLabelValues(route, strconv.Itoa(status), methodLabel(r.Method))
	}
	counter.Inc()
	return route
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
