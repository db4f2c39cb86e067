package server

import (
	"context"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/token"
)

const (
	authRoute = "/auth"
	maxBody   = 64 << 10 // bytes: verifiers refuse a token that holds the claims of a larger body
)

// grant is the answer of /auth. token and access_token are the same string, because
// some clients read token and others access_token.
type grant struct {
	Token       string `json:"token"`
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"` // seconds
	KeyID       string `json:"kid"`
}

// auth answers POST /auth with a token.
func (s *Server) auth(w http.ResponseWriter, r *http.Request) error {
	if err := s.checkBrowser(r); err != nil {
		return err
	}
	if err := s.checkForwarded(r); err != nil {
		return err
	}
	if s.limiter != nil {
		if wait := s.limiter.take(s.clientAddress(r), s.o.Now()); wait > 0 {
			seconds := int((wait + time.Second - 1) / time.Second)
			return &problem{status: http.StatusTooManyRequests, detail: "this address sends too many requests", retry: seconds}
		}
	}
	expired, err := wantsExpired(r.URL.RawQuery)
	if err != nil {
		return err
	}
	request, err := s.readRequest(w, r)
	if err != nil {
		return err
	}
	minted, err := s.mint(r.Context(), request, expired)
	if err != nil {
		return err
	}
	if prefersJWT(r.Header["Accept"]) {
		w.Header().Set("Content-Type", "application/jwt")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = io.WriteString(w, minted.Compact) // if it fails, the client is gone
		return nil
	}
	answer := grant{minted.Compact, minted.Compact, "Bearer", int64(minted.ExpiresAt.Sub(minted.IssuedAt).Seconds()), minted.KeyID}
	if expired {
		answer.ExpiresIn = 0
	}
	writeJSON(w, http.StatusOK, "application/json", answer)
	return nil
}

// mint waits until a signature may run, and then makes the token.
func (s *Server) mint(ctx context.Context, request token.Request, expired bool) (minted token.Token, err error) {
	var signer token.Signer = s.o.Ring
	kind := kindValid
	if expired {
		if longest := s.o.Ring.Policy().TokenTTL; request.TTL > longest {
			return minted, &token.TTLError{Asked: request.TTL, Longest: longest}
		}
		signer, kind = s.o.Ring.Specimen(request.TTL), kindExpired
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
	if err == nil {
		s.metrics.tokens.WithLabelValues(minted.Algorithm.String(), kind).Inc()
	}
	return minted, err
}

// wantsExpired reads the query: expired is true or false in upper or lower case, 1, 0 or
// has no value. It refuses the members of the body, so that they are not ignored.
func wantsExpired(query string) (bool, error) {
	if query == "" {
		return false, nil
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return false, badRequest("the query cannot be read")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if name != "expired" && isMember(name) {
			return false, badRequest("%s is in the query: send it in the body", name)
		}
	}
	given, ok := values["expired"]
	if !ok {
		return false, nil
	}
	if len(given) == 1 {
		switch strings.ToLower(given[0]) {
		case "true", "1", "":
			return true, nil
		case "false", "0":
			return false, nil
		}
	}
	return false, badRequest("expired must be true, false, 1, 0 or without a value, and given once")
}

// prefersJWT reports whether Accept gives application/jwt a higher weight than
// application/json. Wildcards mean JSON.
func prefersJWT(accept []string) bool {
	if len(accept) == 0 {
		return false
	}
	var jwt, json float64
	for media := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		name, params, err := mime.ParseMediaType(media)
		if err != nil {
			continue
		}
		weight := 1.0
		if q, ok := params["q"]; ok {
			if weight, err = strconv.ParseFloat(q, 64); err != nil {
				continue
			}
		}
		switch name {
		case "application/jwt":
			jwt = max(jwt, weight)
		case "application/json":
			json = max(json, weight)
		}
	}
	return jwt > json
}

// readRequest combines what the client asks for with the defaults.
func (s *Server) readRequest(w http.ResponseWriter, r *http.Request) (token.Request, error) {
	body, err := readBody(w, r)
	if err != nil {
		return token.Request{}, err
	}
	s.connections.bodyComplete(r)
	var request token.Request
	if len(body) > 0 {
		if request, err = parseBody(r.Header, body); err != nil {
			return token.Request{}, err
		}
	}
	request.Issuer = s.o.Ring.Policy().Issuer
	if id, generated := requestID(w, r); generated { // a client may send the same id twice, but a jti must be unique
		request.ID = id
	}
	if user, _, ok := r.BasicAuth(); ok && request.Subject == "" {
		request.Subject = user
	}
	if len(request.Audience) == 0 {
		request.Audience = s.o.Audience
	}
	return request, nil
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	switch {
	case err == nil:
		return body, nil
	case is[*http.MaxBytesError](err):
		return nil, &problem{status: http.StatusRequestEntityTooLarge, detail: "the body is larger than " + strconv.Itoa(maxBody) + " bytes"}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &problem{status: http.StatusRequestTimeout, detail: "the body did not arrive in time"}
	default:
		return nil, badRequest("the body is incomplete")
	}
}
