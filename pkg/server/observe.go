package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

const requestIDHeader = "X-Request-Id"

// response records the status of an answer, and has the route of its request.
type response struct {
	http.ResponseWriter
	route        string
	bodyComplete func() // ends the wait of the connection for the body
	status       int    // 0 until the header is written
}

func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the wrapped writer.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Handler answers every request.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.observe(w, r, s.mux) })
}

// observe handles every request: it calls the route's handler, updates the
// metrics, writes the log line, and recovers from panics.
func (s *Server) observe(writer http.ResponseWriter, r *http.Request, routes *http.ServeMux) {
	start := s.o.Now()
	// A request that arrives during the drain must not prolong it.
	if !s.draining.Load() && s.inFlight.TryAcquire(1) {
		defer s.inFlight.Release(1)
	}
	bodyComplete := func() {}
	if r.ContentLength != 0 {
		bodyComplete = s.connections.awaitBody(r)
		if r.ProtoMajor > 1 { // with HTTP/1, the server reads the rest of the body afterwards
			defer bodyComplete()
		}
	}
	header := writer.Header()
	if len(r.TransferEncoding) > 0 {
		// The request may have had a Content-Length too, which net/http has removed. A proxy
		// that reads that one takes what follows for another request (RFC 9112, section 6.1).
		header.Set("Connection", "close")
	}
	header.Set("X-Content-Type-Options", "nosniff")
	if given := r.Header.Values(requestIDHeader); len(given) == 1 && isRequestID(given[0]) {
		header.Set(requestIDHeader, given[0])
	}
	h, route := s.find(routes, r)
	if s.public[route] {
		header.Set("Access-Control-Allow-Origin", "*")
	}
	w := &response{ResponseWriter: writer, route: route, bodyComplete: bodyComplete}
	defer s.finish(w, r, route, start)
	h.ServeHTTP(w, r)
}

// requestID returns the id of a request and puts it into the header of the answer. The
// second result says whether this server generated it.
func requestID(w http.ResponseWriter, r *http.Request) (id string, generated bool) {
	id = w.Header().Get(requestIDHeader)
	if id == "" {
		id = rand.Text()
		w.Header().Set(requestIDHeader, id)
	}
	return id, id != r.Header.Get(requestIDHeader)
}

// isRequestID reports whether an id may be echoed and logged. The limit of 64 bytes
// excludes a token that a client put into the wrong header.
func isRequestID(id string) bool {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/+="
	return id != "" && len(id) <= 64 && strings.Trim(id, alphabet) == ""
}

// finish records the request and recovers from a panic of its handler. Because it calls
// recover, it must be deferred directly and not called by a deferred function.
func (s *Server) finish(w *response, r *http.Request, route string, start time.Time) {
	cause := recover()
	abort := false
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		abort = true
	} else if cause != nil {
		abort = s.answerPanic(w, r, cause)
	}
	took := s.o.Now().Sub(start)
	s.metrics.count(route, r.Method, w.status, took)
	s.log(w, r, route, took)
	if abort {
		panic(http.ErrAbortHandler) // net/http cuts the connection, so that the client does not mistake a part of the answer for the whole
	}
}

// answerPanic logs a panic and answers the request, unless the answer has begun.
func (s *Server) answerPanic(w *response, r *http.Request, cause any) (begun bool) {
	id, _ := requestID(w, r)
	s.o.Log.ErrorContext(r.Context(), "handler panicked", "id", id, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	if w.status != 0 {
		return true
	}
	for _, name := range []string{"Content-Length", "Etag"} { // they describe the answer that failed
		w.Header().Del(name)
	}
	s.fail(w, r, &problem{status: http.StatusInternalServerError, detail: "internal error"})
	return false
}

// log writes the log line of a request. 429 and 503 can be very frequent, so they are
// logged at the level of successful answers. The metrics count them, and the ring logs
// when the keyset becomes stale.
func (s *Server) log(w *response, r *http.Request, route string, took time.Duration) {
	level := slog.LevelDebug
	switch {
	case w.status >= http.StatusInternalServerError && w.status != http.StatusServiceUnavailable:
		level = slog.LevelWarn
	case route == authRoute, route == tokenEndpoint:
		level = slog.LevelInfo
	}
	if !s.o.Log.Enabled(r.Context(), level) {
		return
	}
	s.o.Log.LogAttrs(r.Context(), level, "request",
		slog.String("id", w.Header().Get(requestIDHeader)),
		slog.String("method", methodLabel(r.Method)),
		slog.String("route", route),
		slog.Int("status", w.status),
		slog.Float64("seconds", took.Seconds()),
		slog.String("client", s.clientAddress(r)))
}
