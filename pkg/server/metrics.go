package server

import (
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// The values of the label kind of jwksctl_tokens_total.
const (
	kindValid   = "valid"
	kindExpired = "expired"
)

const metricsRoute = "/metrics"

// metrics are the Prometheus metrics of a server.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	tokens   *prometheus.CounterVec
	clients  *prometheus.CounterVec
	refusals *prometheus.CounterVec
	waits    prometheus.Histogram
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
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jwksctl_tokens_total", Help: "Tokens issued.",
		}, []string{"alg", "kind"}),
		clients: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jwksctl_client_tokens_total", Help: "Tokens issued to each client of the list.",
		}, []string{"client"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jwksctl_token_refusals_total", Help: "Requests for a token that got none, by error code of OAuth 2.0.",
		}, []string{"error"}),
		waits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "jwksctl_sign_wait_seconds", Help: "Time that a request for a token waited until its signature could start; requests that did not wait are not counted.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 4, 10), // 50 µs to 13 s
		}),
	}
	for _, alg := range jwk.Algorithms() { // so that each series exists from the start, with the value 0
		for _, kind := range []string{kindValid, kindExpired} {
			m.tokens.WithLabelValues(alg.String(), kind)
		}
	}
	for _, code := range []string{
		"invalid_request", "invalid_client", "invalid_scope", "invalid_target", "unauthorized_client", "unsupported_grant_type",
		"slow_down", "temporarily_unavailable", "server_error",
	} {
		m.refusals.WithLabelValues(code)
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "jwksctl_build_info", Help: "1; the labels have the versions of the program and of Go.",
		ConstLabels: prometheus.Labels{"version": s.o.Version, "goversion": runtime.Version()},
	})
	build.Set(1)
	if !s.o.NoTokens {
		m.registry.MustRegister(m.tokens, m.refusals, m.waits)
	}
	if s.o.Clients != nil {
		m.registry.MustRegister(m.clients)
	}
	m.registry.MustRegister(m.requests, m.seconds, build, &ringCollector{s},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) count(route, method string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status), methodLabel(method)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}

// countToken counts the answer to a request for a token. The label client has the ids of
// the list only, because a client is authenticated before it is counted.
func (m *metrics) countToken(t *tokenRequest, err error) {
	if err != nil {
		p, _ := problemOf(err)
		m.refusals.WithLabelValues(p.errorCode()).Inc()
		return
	}
	kind := kindValid
	if t.expired {
		kind = kindExpired
	}
	m.tokens.WithLabelValues(t.minted.Algorithm.String(), kind).Inc()
	if t.client != nil {
		m.clients.WithLabelValues(t.client.ID).Inc()
	}
}

// methodLabel bounds the values that a client can put into metrics and logs.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return method
	}
	return "other"
}

// MetricsHandler answers GET /metrics and nothing else, for a listener of its own.
func (s *Server) MetricsHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.observe(w, r, s.only) })
}

// serve answers GET /metrics. It collects the metrics itself, because promhttp would
// answer an error with plain text.
func (m *metrics) serve(w http.ResponseWriter, r *http.Request) error {
	families, err := m.registry.Gather()
	if err != nil {
		return fmt.Errorf("collect the metrics: %w", err)
	}
	promhttp.HandlerFor(prometheus.GathererFunc(always(families)), promhttp.HandlerOpts{}).ServeHTTP(w, r)
	return nil
}

// always returns a function that returns v.
func always[T any](v T) func() (T, error) {
	return func() (T, error) { return v, nil }
}
