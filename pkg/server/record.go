package server

import (
	"net/http"

	"github.com/jwksctl/jwksctl/pkg/audit"
)

// record writes the line of the audit log, before the answer, and counts the answer. It
// returns the error that the client gets: err, or that the line could not be written
// although the log is required.
func (s *Server) record(t *tokenRequest, err error) error {
	if event, logged := t.line(err); logged {
		if failed := s.o.Audit.Write(event); failed != nil {
			err = failed
		}
		s.logReason(event)
	}
	s.metrics.countToken(t, err)
	return err
}

// logReason logs why a client was not authenticated, if no audit log has it. The answer
// does not say it, so that it would be nowhere.
func (s *Server) logReason(e audit.Event) {
	if s.o.Audit == nil && e.Error == codeInvalidClient {
		s.o.Log.Warn("client refused", "id", e.RequestID, "client_id", e.Client, "method", e.Method, "reason", e.Reason)
	}
}

// line is the line of the audit log about a request. The log has no line for an answer
// that says nothing about the client: it was too fast or the server too busy (429, 503),
// or the server has a fault (500). Otherwise a flood could fill the disk. The metrics
// count those answers, and the log of the server has the faults.
func (t *tokenRequest) line(err error) (event audit.Event, logged bool) {
	event = t.event
	if err == nil {
		event.Kind = audit.TokenIssued
		event.ID, event.KeyID = t.request.ID, t.minted.KeyID
		event.Subject, event.Audience, event.Scope = t.request.Subject, t.request.Audience, t.request.Scope
		event.ExpiresAt, event.Expired = t.minted.ExpiresAt.Unix(), t.expired
		return event, true
	}
	p, _ := problemOf(err)
	event.Kind, event.Error = audit.TokenRefused, p.errorCode()
	if event.Reason == "" {
		event.Reason = p.detail
	}
	return event, p.isRefusal()
}

// isRefusal reports whether an answer says something about the request, and not about the
// load or the state of the server.
func (p *problem) isRefusal() bool {
	return p.status < http.StatusInternalServerError && p.status != http.StatusTooManyRequests
}
