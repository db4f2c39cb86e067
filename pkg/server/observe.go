package server

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

const requestIDHeader = "X-Request-Id"

// maxKept is how long a body may have been whose response is used again, in bytes:
// four times that of a usual token, and little beside what a server needs anyway.
const maxKept = 8 << 10

// response notes what became of a request.
type response struct {
	http.ResponseWriter
	status int    // 0 until the header is written
	id     string // that we gave the request; empty if we gave none

	// What /auth works with, used again by the next response.
	minting       minting
	compact, body []byte
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

// Unwrap serves http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// requestID is the id of the request, made now if it has none. Call it before
// the header is written.
func (w *response) requestID() string {
	h := w.Header()
	if given := h[requestIDHeader]; len(given) > 0 {
		return given[0]
	}
	w.id = rand.Text()
	h[requestIDHeader] = []string{w.id}
	return w.id
}

// json answers with v, which no cache may keep.
func (w *response) json(status int, contentType string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %v", err)
	}
	w.uncached(status, contentType, append(body, '\n'))
	return nil
}

func (w *response) uncached(status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // whoever asked is gone: nobody is left to tell
}

// observe is around every request: it gives ids, counts, logs, and recovers.
func (s *Server) observe(w http.ResponseWriter, r *http.Request) {
	rec, ok := s.responses.Get().(*response)
	if !ok {
		rec = new(response)
	}
	rec.ResponseWriter, rec.status, rec.id = w, 0, ""
	start := s.o.Now()
	if !s.draining.Load() { // later ones must not put off the end for ever
		s.inFlight.add()
		defer s.inFlight.done()
	}
	e := s.find(r.URL.Path)
	defer s.finish(rec, r, e, start)

	h := w.Header()
	h["X-Content-Type-Options"] = s.noSniff
	if s.full.Load() && s.full.CompareAndSwap(true, false) {
		h.Set("Connection", "close") // HTTP/2 says GOAWAY
	}
	if given := r.Header[requestIDHeader]; len(given) == 1 && saneID(given[0]) {
		h[requestIDHeader] = given
	} else if s.o.Log.Enabled(r.Context(), slog.LevelDebug) {
		rec.requestID() // it will be logged
	}
	s.answer(rec, r, e)
}

// saneID tells whether an id may be echoed and logged. It is too short for a
// token that somebody put into the wrong header.
func saneID(id string) bool {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/+="
	return id != "" && len(id) <= 64 && strings.Trim(id, alphabet) == ""
}

// finish must be deferred itself, because it recovers.
func (s *Server) finish(w *response, r *http.Request, e *endpoint, start time.Time) {
	cause := recover()
	abort := false
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		abort = true
	} else if cause != nil {
		abort = s.panicked(w, r, cause)
	}
	took := s.o.Now().Sub(start)
	s.metrics.count(e, r.Method, w.status, took)
	s.log(w, r, e.route, took)
	if abort {
		panic(http.ErrAbortHandler) // net/http cuts the connection, so that nobody takes a half for the whole
	}
	if cause == nil && cap(w.body) <= maxKept {
		w.ResponseWriter = nil
		s.responses.Put(w)
	}
}

// panicked reports a panic and answers it, unless the answer has already begun.
func (s *Server) panicked(w *response, r *http.Request, cause any) (begun bool) {
	s.o.Log.ErrorContext(r.Context(), "a handler panicked",
		"id", w.requestID(), "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	if w.status != 0 {
		return true
	}
	for _, meant := range []string{"Content-Length", "Etag"} { // for another answer
		w.Header().Del(meant)
	}
	s.fail(w, r, &problem{status: http.StatusInternalServerError, detail: "internal error"})
	return false
}

// log writes the one line of a request. Refusals that come in floods (429, 503)
// are no louder than answers: the metrics count them, and the ring logs when it
// turns stale.
func (s *Server) log(w *response, r *http.Request, route string, took time.Duration) {
	level := slog.LevelDebug
	switch {
	case w.status >= http.StatusInternalServerError && w.status != http.StatusServiceUnavailable:
		level = slog.LevelWarn
	case route == authRoute:
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
		slog.String("client", clientAddress(r)))
}

// clientAddress is the host part of the peer's address. Headers that say
// otherwise are anybody's to write.
func clientAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
