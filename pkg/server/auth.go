package server

import (
	"cmp"
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
)

const (
	authRoute = "/auth"
	maxBody   = 32 << 10 // bytes: the token of the largest claims is shorter than what verifiers accept
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

// readAuth reads a request to /auth.
func (s *Server) readAuth(w http.ResponseWriter, r *http.Request) (wanted, error) {
	expired, err := wantsExpired(r.URL.RawQuery)
	if err != nil {
		return wanted{}, err
	}
	data, err := s.readBody(w, r)
	if err != nil {
		return wanted{}, err
	}
	var body authBody
	if len(data) > 0 {
		if body, err = parseBody(r.Header, data, s.o.Clients != nil); err != nil {
			return wanted{}, err
		}
	}
	if s.o.Clients != nil {
		credentials, err := readCredentials(r, body.credentials)
		return wanted{credentials: credentials, grant: body.grant(), expired: expired}, err
	}
	request := body.request
	request.Subject = cmp.Or(request.Subject, body.username, body.credentials.clientID)
	if user, _, ok := r.BasicAuth(); ok && request.Subject == "" {
		request.Subject = user
	}
	if len(request.Audience) == 0 {
		request.Audience = s.o.Audience
	}
	return wanted{anonymous: request, expired: expired}, nil
}

// writeAuth answers with a token.
func writeAuth(w http.ResponseWriter, r *http.Request, t *tokenRequest) {
	compact := t.minted.Compact
	if prefersJWT(r.Header["Accept"]) {
		w.Header().Set("Content-Type", "application/jwt")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = io.WriteString(w, compact) // if it fails, the client is gone
		return
	}
	writeJSON(w, http.StatusOK, "application/json", grant{compact, compact, "Bearer", t.lifetime(), t.minted.KeyID})
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

func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	switch {
	case err == nil:
		if answer, ok := w.(*response); ok {
			answer.bodyComplete()
		}
		return body, nil
	case is[*http.MaxBytesError](err):
		return nil, &problem{status: http.StatusRequestEntityTooLarge, detail: "the body is larger than " + strconv.Itoa(maxBody) + " bytes"}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &problem{status: http.StatusRequestTimeout, detail: "the body did not arrive in time"}
	default:
		return nil, badRequest("the body is incomplete")
	}
}
