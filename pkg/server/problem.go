package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/jwksctl/jwksctl/pkg/audit"
	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/keys"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// problem is an error that determines the answer to its request.
type problem struct {
	status    int
	code      string // of RFC 6749, section 5.2, and its extensions; "" follows from the status
	detail    string // for the client to read
	retry     int    // seconds for Retry-After; 0 leaves it out
	allow     string // for Allow; "" leaves it out
	challenge bool   // whether WWW-Authenticate asks for HTTP Basic
}

// errorCode is what the token endpoint, the audit log and the metrics call the error. For
// an address or a client that is too fast, the closest code is that of RFC 8628.
func (p *problem) errorCode() string {
	switch {
	case p.code != "":
		return p.code
	case p.status == http.StatusTooManyRequests:
		return "slow_down"
	case p.status == http.StatusServiceUnavailable:
		return "temporarily_unavailable"
	case p.status >= http.StatusInternalServerError:
		return "server_error"
	}
	return "invalid_request"
}

func notFound() *problem {
	return &problem{status: http.StatusNotFound, detail: "there is nothing at this path"}
}

func (p *problem) Error() string { return p.detail }

// tooMany is the answer to a request that is over a limit.
func tooMany(detail string, wait time.Duration) error {
	seconds := int((wait + time.Second - 1) / time.Second)
	return &problem{status: http.StatusTooManyRequests, detail: detail + "; try again later", retry: seconds}
}

func badRequest(format string, args ...any) error {
	return &problem{status: http.StatusBadRequest, detail: fmt.Sprintf(format, args...)}
}

// problemRow is one row of the table from errors to answers.
type problemRow struct {
	matches func(error) bool
	problem problem // if its detail is empty, the text of the error is the detail
}

// problems is the table from errors to answers. An error that is not in it is a fault
// of this program.
func problems() []problemRow {
	unavailable := func(detail string, retry int) problem {
		return problem{status: http.StatusServiceUnavailable, detail: detail, retry: retry}
	}
	return []problemRow{
		{is[*token.TTLError], problem{status: http.StatusBadRequest}},
		{is[*token.RequestError], problem{status: http.StatusBadRequest}},
		{matches(keys.ErrNoSpecimen), problem{status: http.StatusForbidden, detail: "this server gives out no expired tokens (expired_tokens is false)"}},
		{matches(keys.ErrStale), unavailable("the keys have not been confirmed with the store within max_staleness; try again", 5)},
		{matches(keys.ErrUnreadable), unavailable("the signing key cannot be opened; the operator of this server must repair it", 30)},
		{matches(keys.ErrUnavailable), unavailable("no key is ready to sign; try again", 1)},
		{matches(audit.ErrUnavailable), unavailable("the audit log cannot be written, so no token is issued; the operator of this server must repair it", 30)},
		{matches(errChecksFull), unavailable("too many client assertions are being checked; try again", 1)},
		{matches(token.ErrKeysUnavailable), unavailable("the keys that the credentials are checked with cannot be fetched; try again", 5)},
		{matches(errQueueFull), unavailable("too many requests wait for a signature; try again", 1)},
		{matches(context.Canceled), unavailable("the client canceled the request", 1)},
		{matches(context.DeadlineExceeded), unavailable("the request took too long; try again", 1)},
	}
}

func matches(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// problemOf finds the answer to an error. known is false if the error is a
// fault of this program.
func problemOf(err error) (p problem, known bool) {
	if p, ok := errors.AsType[*problem](err); ok {
		return *p, true
	}
	for _, row := range problems() {
		if !row.matches(err) {
			continue
		}
		p := row.problem
		if p.detail == "" {
			p.detail = err.Error()
		}
		return p, true
	}
	return problem{status: http.StatusInternalServerError, detail: "internal error"}, false
}

// fail answers a request with a problem document (RFC 9457), at the token endpoint with
// the JSON of RFC 6749. The type of a problem is "about:blank", because a program needs
// only the status.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p, known := problemOf(err)
	id, _ := requestID(w, r)
	if !known {
		s.o.Log.ErrorContext(r.Context(), "request failed", "id", id, "error", err.Error())
	}
	if p.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.retry))
	}
	if p.allow != "" {
		w.Header().Set("Allow", p.allow)
	}
	if p.challenge {
		w.Header().Set("WWW-Authenticate", `Basic realm="jwksctl", charset="UTF-8"`)
	}
	answer, ok := w.(*response)
	if ok && p.retry > 0 && (answer.route == tokenEndpoint || answer.route == authRoute) && s.takesAssertions() {
		p.detail += "; sign a new assertion for that if you sent one"
	}
	if ok && answer.route == tokenEndpoint {
		writeTokenError(w, p)
		return
	}
	writeJSON(w, p.status, "application/problem+json", struct {
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Detail    string `json:"detail"`
		RequestID string `json:"request_id"`
	}{"about:blank", http.StatusText(p.status), p.status, p.detail, id})
}

// takesAssertions reports whether a client may have used up its assertion with a request that
// it is asked to send again.
func (s *Server) takesAssertions() bool {
	return s.o.Clients != nil && slices.Contains(s.o.Clients.AuthMethods(), string(client.PrivateKeyJWT))
}

// writeJSON answers with v as JSON and forbids caching. encoding/json must be able to
// encode v.
func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // if it fails, the client is gone
}
