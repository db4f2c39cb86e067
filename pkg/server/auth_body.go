package server

import (
	"bytes"
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/client"
	"github.com/jwksctl/jwksctl/pkg/token"
)

// authBody is what the body of a request to /auth says.
type authBody struct {
	request     token.Request
	credentials credentialFields
	username    string
}

// grant is what the body of a client asks for.
func (b *authBody) grant() client.Request {
	return client.Request{Audience: b.request.Audience, Scope: b.request.Scope, TTL: b.request.TTL}
}

// parseBody parses the body of /auth. The package comment lists its members. clients says
// whether the token is for a client of the list, which sets more of the token itself.
func parseBody(h http.Header, body []byte, clients bool) (authBody, error) {
	media, err := bodyType(h)
	if err != nil {
		return authBody{}, err
	}
	var members map[string]any
	switch media {
	case "application/json":
		if members, err = token.ParseObject(body); err != nil {
			err = badRequest("the body must be one JSON object without duplicate names: %v", err)
		}
	case formType:
		var fields url.Values
		if fields, err = parseForm(body); err == nil {
			members, err = formMembers(fields)
		}
	default:
		err = unsupportedBody("the body must be empty, application/json or application/x-www-form-urlencoded, and its Content-Type must say so")
	}
	if err == nil && clients {
		err = checkClientMembers(members)
	}
	if err != nil {
		return authBody{}, err
	}
	return parseMembers(members, clients)
}

// bodyType returns the media type of a body, "" if there is not exactly one. It refuses a
// compressed body.
func bodyType(h http.Header) (string, error) {
	if coding := strings.Join(h.Values("Content-Encoding"), ","); coding != "" && !strings.EqualFold(coding, "identity") {
		return "", unsupportedBody("the body must not be compressed")
	}
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || len(h.Values("Content-Type")) > 1 { // a proxy may read another one than this server
		return "", nil
	}
	return media, nil
}

func unsupportedBody(detail string) error {
	return &problem{status: http.StatusUnsupportedMediaType, detail: detail}
}

func parseForm(body []byte) (url.Values, error) {
	if start := strings.ToLower(string(bytes.TrimSpace(body))); strings.HasPrefix(start, "{") || strings.HasPrefix(start, "%7b") {
		return nil, badRequest("the body is JSON, but its Content-Type says that it is a form: send Content-Type: application/json, which /auth accepts")
	}
	fields, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, badRequest("the body is not a valid form")
	}
	return fields, nil
}

// checkClientMembers refuses what a client cannot choose, so that it is not ignored.
func checkClientMembers(members map[string]any) error {
	for _, name := range []string{"sub", "username", "password", "claims"} {
		if members[name] != nil {
			return badRequest("%s cannot be chosen: the token is for the client that asks, and the list of clients sets its claims", name)
		}
	}
	if grant := members["grant_type"]; grant != nil && grant != clientCredentials {
		return badRequest("grant_type must be client_credentials, or left out")
	}
	return nil
}

// isMember reports whether the body may have a member of this name, or whether it has a
// meaning that parseMembers refuses.
func isMember(name string) bool {
	switch name {
	case "sub", "username", "client_id", "password", "client_secret", "client_assertion", "client_assertion_type",
		"grant_type", "scope", "ttl", "claims",
		"expired", "exp", "iat", "iss", "jti", "nbf":
		return true
	}
	return isList(name)
}

// isList reports whether a member becomes the aud of the token and may have several
// values.
func isList(name string) bool { return name == "aud" || name == "audience" || name == "resource" }

// formMembers converts the fields of a form to the members of a JSON object. It leaves
// out unknown fields.
func formMembers(fields url.Values) (map[string]any, error) {
	members := make(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		values := fields[name]
		switch {
		case isList(name):
			var all []any
			for _, v := range values {
				if v != "" { // an empty one counts as absent (RFC 6749, section 3.2)
					all = append(all, v)
				}
			}
			members[name] = all
		case name == "claims":
			return nil, badRequest("claims can be sent as JSON only")
		case isMember(name):
			if len(values) > 1 {
				return nil, badRequest("%s is given more than once", name)
			}
			members[name] = values[0]
		}
	}
	return members, nil
}

func parseMembers(members map[string]any, clients bool) (out authBody, err error) {
	// A login or a request of an OAuth client may have any other members.
	ignoreUnknown := false
	for _, name := range []string{"username", "password", "client_id", "client_secret", "grant_type"} {
		_, given := members[name]
		ignoreUnknown = ignoreUnknown || given
	}
	request, credentials := &out.request, &out.credentials
	for _, name := range slices.Sorted(maps.Keys(members)) {
		value := members[name]
		if value == nil {
			continue
		}
		ok := true
		switch name {
		case "password": // is ignored
		case "sub":
			request.Subject, ok = value.(string)
		case "username":
			out.username, ok = value.(string)
		case "client_id":
			credentials.clientID, ok = value.(string)
		case "client_secret":
			credentials.secret, ok = value.(string)
		case "client_assertion":
			credentials.assertion, ok = value.(string)
		case "client_assertion_type":
			credentials.assertionType, ok = value.(string)
		case "grant_type":
			var grantType string
			if grantType, ok = value.(string); ok && grantType != "client_credentials" && grantType != "password" {
				return authBody{}, badRequest("grant_type is %q: use client_credentials or password, or leave it out", grantType)
			}
		case "scope":
			request.Scope, ok = value.(string)
		case "aud", "audience", "resource":
			var all []string
			all, ok = stringList(value)
			for _, audience := range all {
				request.Audience = appendNew(request.Audience, audience)
			}
		case "claims":
			request.Claims, ok = value.(map[string]any)
		case "ttl":
			request.TTL, ok = parseTTL(value)
		case "expired":
			return authBody{}, badRequest("expired belongs in the query: POST /auth?expired=true")
		case "exp", "iat", "iss", "jti", "nbf":
			return authBody{}, badRequest("%s is set by the server: leave it out; ttl sets the lifetime", name)
		default:
			if !ignoreUnknown {
				return authBody{}, badRequest("unknown member %q: use %s", name, knownMembers(clients))
			}
		}
		if !ok {
			return authBody{}, badRequest("%s must be %s", name, expectedType(name))
		}
	}
	return out, nil
}

// knownMembers are what a body may have besides what authenticates its client.
func knownMembers(clients bool) string {
	if clients {
		return "aud, scope or ttl"
	}
	return "username, password, sub, aud, scope, ttl or claims"
}

// appendNew appends a value that the list does not have, because clients may send the same
// audience and resource.
func appendNew(list []string, value string) []string {
	if slices.Contains(list, value) {
		return list
	}
	return append(list, value)
}

// expectedType says what a member must be, for the error message.
func expectedType(name string) string {
	switch name {
	case "aud", "audience", "resource":
		return "a string or an array of strings"
	case "claims":
		return "an object"
	case "ttl":
		return `a number of seconds or a duration such as "5m", of 1s or more`
	default:
		return "a string"
	}
}

// stringList reads a string or an array of strings.
func stringList(value any) ([]string, bool) {
	switch value := value.(type) {
	case string:
		return []string{value}, true
	case []any:
		all := make([]string, len(value))
		for i, v := range value {
			text, ok := v.(string)
			if !ok {
				return nil, false
			}
			all[i] = text
		}
		return all, true
	default:
		return nil, false
	}
}

// parseTTL reads seconds or a duration and rounds it down to whole seconds.
func parseTTL(value any) (time.Duration, bool) {
	var text string
	switch value := value.(type) {
	case json.Number:
		text = value.String()
	case string:
		text = value
	}
	d, err := time.ParseDuration(text)
	if err != nil { // a number without a unit is in seconds
		d, err = time.ParseDuration(text + "s")
	}
	return d.Truncate(time.Second), err == nil && d >= time.Second
}
