package server

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/token"
)

const (
	authRoute = "/auth"
	maxBody   = 64 << 10 // bytes; no token that it could ask for would be taken by a verifier
)

// grant appends the answer of /auth to b: token and access_token are the same,
// since some read the one and some the other. What is in it is base64url, dots and
// digits, so nothing needs escaping, and encoding/json would take a tenth of the
// time of an Ed25519 signature.
func grant(b, compact []byte, t token.Token, expired bool) []byte {
	seconds := int64(t.ExpiresAt.Sub(t.IssuedAt) / time.Second)
	if expired {
		seconds = 0
	}
	b = append(append(b, `{"token":"`...), compact...)
	b = append(append(b, `","access_token":"`...), compact...)
	b = append(b, `","token_type":"Bearer","expires_in":`...)
	b = strconv.AppendInt(b, seconds, 10)
	b = append(append(b, `,"kid":"`...), t.KeyID...)
	return append(b, "\"}\n"...)
}

// auth gives out a token to whoever asks.
func (s *Server) auth(w *response, r *http.Request) error {
	w.requestID()
	if s.limiter != nil {
		if wait := s.limiter.take(clientAddress(r), s.o.Now()); wait > 0 {
			return &problem{http.StatusTooManyRequests, "this address asks too often", int((wait + time.Second - 1) / time.Second)}
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
	minted, err := s.mint(r.Context(), w, request, expired)
	if err != nil {
		return err
	}
	h := w.Header()
	h["Cache-Control"] = s.noStore
	if prefersJWT(r.Header["Accept"]) {
		h["Content-Type"], w.body = s.typeJWT, append(w.body[:0], w.compact...)
	} else {
		h["Content-Type"], w.body = s.typeJSON, grant(w.body[:0], w.compact, minted, expired)
	}
	w.WriteHeader(http.StatusOK)
	// The next response may use the body as soon as this returns: net/http copies
	// it. If it fails, whoever asked is gone, and nobody is left to tell.
	_, _ = w.Write(w.body)
	return nil
}

// mint has the token signed, in its turn, and leaves it in w.compact.
func (s *Server) mint(ctx context.Context, w *response, request token.Request, expired bool) (token.Token, error) {
	m, kind := &w.minting, kindValid
	*m = minting{ctx: ctx, signer: s.o.Ring, request: request, compact: w.compact[:0]}
	defer func() { w.compact, *m = m.compact, minting{} }() // until the next, it holds on to no request
	if expired {
		if longest := s.o.Ring.Policy().TokenTTL; request.TTL > longest {
			return token.Token{}, &token.TTLError{Asked: request.TTL, Longest: longest}
		}
		m.signer, kind = s.o.Ring.Specimen(request.TTL), kindExpired
		// Right after a first start the specimen is still being made. It is
		// waited for here and not in the queue, where others would wait too.
		var cancel context.CancelFunc
		m.ctx, cancel = context.WithTimeout(ctx, signTimeout)
		defer cancel()
		if _, _, _, err := m.signer.SigningKey(m.ctx); err != nil {
			return token.Token{}, err
		}
	}
	if err := s.crew.do(m.ctx, m); err != nil {
		return token.Token{}, err
	}
	if m.err == nil {
		s.metrics.tokens[tokenLabels{m.minted.Algorithm, kind}].Inc()
	}
	return m.minted, m.err
}

// minting is the job of making one token.
type minting struct {
	ctx     context.Context //nolint:containedctx // of the request, which waits for the job
	signer  token.Signer
	request token.Request

	compact []byte // the token
	minted  token.Token
	err     error
}

func (m *minting) run() {
	m.minted, m.err = token.Mint(m.ctx, m.signer, m.request)
	m.compact = append(m.compact, m.minted.Compact...)
}

// wantsExpired reads the query: expired is true, false, 1, 0 or stands bare.
func wantsExpired(query string) (bool, error) {
	if query == "" {
		return false, nil
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return false, badRequest("the query cannot be read")
	}
	given, ok := values["expired"]
	if !ok {
		return false, nil
	}
	if len(given) == 1 {
		switch given[0] {
		case "true", "1", "":
			return true, nil
		case "false", "0":
			return false, nil
		}
	}
	return false, badRequest("expired is true, false, 1 or 0, once, or stands bare")
}

// prefersJWT tells whether Accept names application/jwt, and application/json
// not at least as high. Wildcards mean JSON.
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

// readRequest puts together what the caller asks for and what goes without
// saying.
func (s *Server) readRequest(w *response, r *http.Request) (token.Request, error) {
	body, err := readBody(w, r)
	if err != nil {
		return token.Request{}, err
	}
	var request token.Request
	if len(body) > 0 {
		if request, err = parseBody(r.Header, body); err != nil {
			return token.Request{}, err
		}
	}
	request.Issuer, request.ID = s.o.Ring.Policy().Issuer, w.id
	if user, _, ok := r.BasicAuth(); ok && request.Subject == "" {
		request.Subject = user
	}
	if len(request.Audience) == 0 {
		request.Audience = s.o.Audience
	}
	return request, nil
}

func readBody(w *response, r *http.Request) ([]byte, error) {
	if r.Body == http.NoBody {
		return nil, nil
	}
	// The writer itself, not our wrapper: MaxBytesReader asks it to close the connection.
	body, err := io.ReadAll(http.MaxBytesReader(w.ResponseWriter, r.Body, maxBody))
	switch {
	case err == nil:
		return body, nil
	case as[*http.MaxBytesError](err):
		return nil, &problem{status: http.StatusRequestEntityTooLarge, detail: "the body is larger than " + strconv.Itoa(maxBody) + " bytes"}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &problem{status: http.StatusRequestTimeout, detail: "the body did not arrive in time"}
	default:
		return nil, badRequest("the body did not arrive whole")
	}
}
