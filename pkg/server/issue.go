package server

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/jwksctl/jwksctl/pkg/audit"
	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// tokenRoute is a route that answers with tokens. What the routes have in common is in
// this file: a request is admitted, read, authenticated, granted, signed and recorded in
// the audit log, in this order, and only then answered.
type tokenRoute struct {
	path  string
	read  func(http.ResponseWriter, *http.Request) (wanted, error)
	write func(http.ResponseWriter, *http.Request, *tokenRequest)
}

// wanted is what a request for a token asks for, as its route reads it.
type wanted struct {
	anonymous   token.Request      // if the server has no clients
	credentials client.Credentials // if it has
	grant       client.Request     // likewise
	expired     bool
}

// tokenRequest is a request for a token on its way to the answer.
type tokenRequest struct {
	address string         // as the limits count it
	client  *client.Client // nil until it is authenticated
	request token.Request
	expired bool
	minted  token.Token
	event   audit.Event // what the audit log will say
}

func (s *Server) answerToken(route tokenRoute) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		id, _ := requestID(w, r)
		address := s.clientAddress(r)
		t := &tokenRequest{
			address: limitKey(address),
			event:   audit.Event{Time: s.o.Now().UTC(), RequestID: id, Route: route.path, Address: address},
		}
		err := s.admit(r, t)
		if err == nil {
			err = s.authorize(w, r, route, t)
		}
		if err == nil {
			t.minted, err = s.mint(r.Context(), t.request, t.expired)
		}
		s.countFailure(t, err)
		if err = s.record(t, err); err != nil {
			return err
		}
		route.write(w, r, t)
		return nil
	}
}

// admit refuses a request because of where it comes from, before its body is read.
func (s *Server) admit(r *http.Request, t *tokenRequest) error {
	foreign := s.checkBrowser(r)
	if foreign != nil {
		t.address += " web page" // it must not slow down the clients at the address of its reader
	}
	if err := s.checkFailures(t); err != nil {
		return err
	}
	if err := s.checkForwarded(r); err != nil {
		return err
	}
	if foreign != nil {
		return foreign
	}
	if s.o.Clients != nil {
		if err := s.checkTransport(r); err != nil {
			return err
		}
	}
	if s.limiter != nil {
		if wait := s.limiter.take(t.address, s.o.Now()); wait > 0 {
			return tooMany("this address sends too many requests", wait)
		}
	}
	return nil
}

// authorize reads a request and decides what its token may contain.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request, route tokenRoute, t *tokenRequest) error {
	want, err := route.read(w, r)
	// Other requests of the address may have failed while the body arrived.
	if slow := s.checkFailures(t); slow != nil {
		return slow
	}
	if err != nil {
		return err
	}
	t.expired, t.request = want.expired, want.anonymous
	if s.o.Clients != nil {
		if t.request, err = s.grantClient(r, want, t); err != nil {
			return err
		}
	}
	t.request.Issuer = s.o.Ring.Policy().Issuer
	t.request.ID = rand.Text()
	if id, generated := requestID(w, r); generated { // a client may send the same id twice, but a jti must be unique
		t.request.ID = id
	}
	return nil
}

// grantClient authenticates the client and returns what its entry in the list grants.
func (s *Server) grantClient(r *http.Request, want wanted, t *tokenRequest) (token.Request, error) {
	c, method, err := s.authenticate(r.Context(), want.credentials, t)
	t.event.Method = string(method)
	if refusal, ok := errors.AsType[*client.Refusal](err); ok {
		t.event.Client, t.event.Method, t.event.Reason = refusal.ClientID, string(refusal.Method), refusal.Reason
		return token.Request{}, invalidClient(r, "the client is not authenticated: the log of this server has the reason under request id "+t.event.RequestID)
	}
	if err != nil {
		return token.Request{}, err
	}
	t.client, t.event.Client = c, c.ID
	if wait := s.clientLimiter.take(c, s.o.Now()); wait > 0 {
		return token.Request{}, tooMany("this client asks for too many tokens", wait)
	}
	if want.expired && !c.ExpiredTokens {
		return token.Request{}, &problem{
			status: http.StatusForbidden, code: "unauthorized_client",
			detail: "this client gets no expired tokens: set expired_tokens in its entry of the list of clients",
		}
	}
	want.grant.Longest = s.o.Ring.Policy().TokenTTL
	request, err := c.Grant(want.grant)
	if refused, ok := errors.AsType[*client.GrantError](err); ok {
		return token.Request{}, &problem{status: http.StatusBadRequest, code: refused.Code, detail: refused.Description}
	}
	return request, err
}

// authenticate finds the client of a request. It bounds how many assertions wait for
// keys that have to be fetched, and how many are verified at the same time.
func (s *Server) authenticate(ctx context.Context, c client.Credentials, t *tokenRequest) (*client.Client, client.Method, error) {
	if c.Assertion == "" {
		return s.o.Clients.Authenticate(ctx, c)
	}
	c.Fetch = func() (end func(), err error) {
		if end = s.checks.begin(t.address); end == nil {
			return nil, errChecksFull
		}
		return end, nil
	}
	c.Turn = func(ctx context.Context, check func()) error {
		err := s.checkQueue.do(ctx, func() error {
			if slow := s.checkFailures(t); slow != nil { // others may have failed meanwhile
				return slow
			}
			check()
			return nil
		})
		if errors.Is(err, errQueueFull) {
			return errChecksFull
		}
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, signTimeout)
	defer cancel()
	found, method, err := s.o.Clients.Authenticate(ctx, c)
	if errors.Is(err, token.ErrKeysUnavailable) && !errors.Is(err, errChecksFull) {
		s.keysUnavailable.Do(func() {
			s.o.Log.WarnContext(ctx, "keys of a client cannot be fetched", "error", err.Error())
		})
	}
	return found, method, err
}

// mint waits until a signature may run, and then makes the token.
func (s *Server) mint(ctx context.Context, request token.Request, expired bool) (minted token.Token, err error) {
	var signer token.Signer = s.o.Ring
	if expired {
		if longest := s.o.Ring.Policy().TokenTTL; request.TTL > longest {
			return minted, &token.TTLError{Asked: request.TTL, Longest: longest}
		}
		signer = s.o.Ring.Specimen(request.TTL)
		// After the first start, it takes a while until the specimen exists. The request
		// waits for it here, because in the queue it would delay other requests.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, signTimeout)
		defer cancel()
		if _, _, _, err := signer.SigningKey(ctx); err != nil {
			return minted, err
		}
	}
	err = s.queue.do(ctx, func() error {
		minted, err = token.Mint(ctx, signer, request)
		return err
	})
	return minted, err
}

// lifetime is how long a token is valid from now on, in seconds.
func (t *tokenRequest) lifetime() int64 {
	if t.expired {
		return 0
	}
	return int64(t.minted.ExpiresAt.Sub(t.minted.IssuedAt) / time.Second)
}
