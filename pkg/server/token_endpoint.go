package server

import (
	"mime"
	"net/http"
	"strings"

	"github.com/jwksctl/jwksctl/pkg/client"
)

const (
	tokenEndpoint     = "/oauth2/token" //nolint:gosec // a path, no credential
	clientCredentials = "client_credentials"
	formType          = "application/x-www-form-urlencoded"
)

// readTokenRequest reads a request of the token endpoint (RFC 6749, section 4.4.2).
func (s *Server) readTokenRequest(w http.ResponseWriter, r *http.Request) (wanted, error) {
	if r.URL.RawQuery != "" {
		return wanted{}, badRequest("the query must be empty, because URLs are logged: send every parameter in the body, as a form")
	}
	body, err := s.readBody(w, r)
	if err != nil {
		return wanted{}, err
	}
	var fields tokenFields
	if len(body) > 0 {
		if fields, err = parseTokenFields(r.Header, body); err != nil {
			return wanted{}, err
		}
	}
	switch fields.grantType {
	case clientCredentials:
	case "":
		return wanted{}, badRequest("grant_type is missing: send grant_type=client_credentials in a form")
	default:
		return wanted{}, &problem{
			status: http.StatusBadRequest, code: "unsupported_grant_type",
			detail: "grant_type must be client_credentials: this server supports no other",
		}
	}
	credentials, err := readCredentials(r, fields.credentials)
	return wanted{credentials: credentials, grant: client.Request{Audience: fields.resources, Scope: fields.scope}}, err
}

// tokenFields are the parameters of the token endpoint. An empty one counts as absent, and
// others are ignored (RFC 6749, section 3.2).
type tokenFields struct {
	grantType   string
	credentials credentialFields
	scope       string
	resources   []string // resource (RFC 8707) and audience, which some clients send instead
}

func parseTokenFields(h http.Header, body []byte) (out tokenFields, err error) {
	media, err := bodyType(h)
	if err != nil {
		return out, err
	}
	_, params, _ := mime.ParseMediaType(h.Get("Content-Type")) // bodyType has parsed it
	if charset := params["charset"]; media != formType || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return out, unsupportedBody("the body must be a form in UTF-8: send Content-Type: " + formType)
	}
	form, err := parseForm(body)
	if err != nil {
		return out, err
	}
	for name, field := range map[string]*string{
		"grant_type":            &out.grantType,
		"client_id":             &out.credentials.clientID,
		"client_secret":         &out.credentials.secret,
		"client_assertion":      &out.credentials.assertion,
		"client_assertion_type": &out.credentials.assertionType,
		"scope":                 &out.scope,
	} {
		if len(form[name]) > 1 {
			return out, badRequest("%s is given more than once", name)
		}
		*field = form.Get(name)
	}
	for _, name := range []string{"resource", "audience"} {
		for _, value := range form[name] {
			if value != "" {
				out.resources = appendNew(out.resources, value)
			}
		}
	}
	return out, nil
}

// writeTokenResponse answers as in RFC 6749, section 5.1.
func writeTokenResponse(w http.ResponseWriter, _ *http.Request, t *tokenRequest) {
	w.Header().Set("Pragma", "no-cache")
	writeJSON(w, http.StatusOK, "application/json", struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int64  `json:"expires_in"` // seconds
		Scope       string `json:"scope,omitempty"`
	}{t.minted.Compact, "Bearer", t.lifetime(), t.request.Scope})
}

// writeTokenError answers as in RFC 6749, section 5.2.
func writeTokenError(w http.ResponseWriter, p problem) {
	w.Header().Set("Pragma", "no-cache")
	writeJSON(w, p.status, "application/json", struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{p.errorCode(), errorDescription(p.detail)})
}

// errorDescription keeps the characters that RFC 6749 allows in error_description:
// printable ASCII without quotation marks and backslashes.
func errorDescription(text string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '"' || c == '\\':
			return '\''
		case c < ' ' || c > '~':
			return '?'
		}
		return c
	}, text)
}
