package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// problem is an error with the answer that it gets.
type problem struct {
	status int
	detail string // for the caller to read
	retry  int    // seconds; 0 says nothing
}

func (p *problem) Error() string { return p.detail }

func badRequest(format string, args ...any) error {
	return &problem{status: http.StatusBadRequest, detail: fmt.Sprintf(format, args...)}
}

// answers is the table from error to answer. A row without a detail shows the
// text of the error itself, which was written for the caller.
func answers() []struct {
	match func(error) bool
	problem
} {
	const unavailable = http.StatusServiceUnavailable
	return []struct {
		match func(error) bool
		problem
	}{
		{as[*token.TTLError], problem{status: http.StatusBadRequest}},
		{as[*token.RequestError], problem{status: http.StatusBadRequest}},
		{is(keys.ErrNoSpecimen), problem{status: http.StatusForbidden, detail: "this server gives out no expired tokens (expired_tokens is false)"}},
		{is(keys.ErrStale), problem{unavailable, "the keys were not confirmed with their store for too long", 5}},
		{is(keys.ErrUnreadable), problem{unavailable, "the signing key cannot be opened; whoever runs this server must mend it", 30}},
		{is(keys.ErrUnavailable), problem{unavailable, "no key is ready to sign this; try again", 1}},
		{is(errOverload), problem{unavailable, "too many requests wait for a signature; try again", 1}},
		{is(context.Canceled), problem{unavailable, "the request was given up", 1}},
		{is(context.DeadlineExceeded), problem{unavailable, "the request took too long; try again", 1}},
	}
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// classify finds the answer to an error. known is false where it is our fault.
func classify(err error) (p problem, known bool) {
	if p, ok := errors.AsType[*problem](err); ok {
		return *p, true
	}
	for _, row := range answers() {
		if row.match(err) {
			if row.detail == "" {
				row.detail = err.Error()
			}
			return row.problem, true
		}
	}
	return problem{status: http.StatusInternalServerError, detail: "internal error"}, false
}

// fail answers a request with a problem document (RFC 9457), whose type is
// "about:blank": the status says it all to a program.
func (s *Server) fail(w *response, r *http.Request, err error) {
	p, known := classify(err)
	id := w.requestID()
	if !known {
		s.o.Log.ErrorContext(r.Context(), "a request failed", "id", id, "error", err.Error())
	}
	if p.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.retry))
	}
	_ = w.json(p.status, "application/problem+json", struct { // strings and a number: it encodes
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Detail    string `json:"detail"`
		RequestID string `json:"request_id"`
	}{"about:blank", http.StatusText(p.status), p.status, p.detail, id})
}
