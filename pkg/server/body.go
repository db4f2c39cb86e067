package server

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/token"
)

// parseBody parses the body of /auth. The package comment lists its members.
func parseBody(h http.Header, body []byte) (token.Request, error) {
	if coding := h.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return token.Request{}, &problem{status: http.StatusUnsupportedMediaType, detail: "the body must not be compressed"}
	}
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		media = ""
	}
	switch media {
	case "application/json":
		members, err := token.ParseObject(body)
		if err != nil {
			return token.Request{}, badRequest("the body must be one JSON object without duplicate names: %v", err)
		}
		return parseMembers(members)
	case "application/x-www-form-urlencoded":
		if start := strings.ToLower(string(bytes.TrimSpace(body))); strings.HasPrefix(start, "{") || strings.HasPrefix(start, "%7b") {
			return token.Request{}, badRequest("the body is JSON, but its Content-Type says that it is a form: send Content-Type: application/json")
		}
		fields, err := url.ParseQuery(string(body))
		if err != nil {
			return token.Request{}, badRequest("the body is not a valid form")
		}
		members, err := formMembers(fields)
		if err != nil {
			return token.Request{}, err
		}
		return parseMembers(members)
	default:
		return token.Request{}, &problem{
			status: http.StatusUnsupportedMediaType,
			detail: "the body must be empty, application/json or application/x-www-form-urlencoded, and its Content-Type must say so",
		}
	}
}

// isMember reports whether the body may have a member of this name, or whether it has a
// meaning that parseMembers refuses.
func isMember(name string) bool {
	switch name {
	case "sub", "username", "client_id", "password", "client_secret", "grant_type", "scope", "ttl", "claims",
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
			all := make([]any, len(values))
			for i, v := range values {
				all[i] = v
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

func parseMembers(members map[string]any) (request token.Request, err error) {
	// A login or a request of an OAuth client may have any other members.
	ignoreUnknown := false
	for _, name := range []string{"username", "password", "client_id", "client_secret", "grant_type"} {
		_, given := members[name]
		ignoreUnknown = ignoreUnknown || given
	}
	var username, clientID string
	for _, name := range slices.Sorted(maps.Keys(members)) {
		value := members[name]
		if value == nil {
			continue
		}
		ok := true
		switch name {
		case "password", "client_secret": // are ignored
		case "sub":
			request.Subject, ok = value.(string)
		case "username":
			username, ok = value.(string)
		case "client_id":
			clientID, ok = value.(string)
		case "grant_type":
			var grantType string
			if grantType, ok = value.(string); ok && grantType != "client_credentials" && grantType != "password" {
				return token.Request{}, badRequest("grant_type is %q: use client_credentials or password, or leave it out", grantType)
			}
		case "scope":
			request.Scope, ok = value.(string)
		case "aud", "audience", "resource":
			var all []string
			all, ok = stringList(value)
			for _, audience := range all {
				if !slices.Contains(request.Audience, audience) { // clients may send the same audience and resource
					request.Audience = append(request.Audience, audience)
				}
			}
		case "claims":
			request.Claims, ok = value.(map[string]any)
		case "ttl":
			request.TTL, ok = parseTTL(value)
		case "expired":
			return token.Request{}, badRequest("expired belongs in the query: POST /auth?expired=true")
		case "exp", "iat", "iss", "jti", "nbf":
			return token.Request{}, badRequest("%s is set by the server: leave it out; ttl sets the lifetime", name)
		default:
			if !ignoreUnknown {
				return token.Request{}, badRequest("unknown member %q: use username, password, sub, aud, scope, ttl or claims", name)
			}
		}
		if !ok {
			return token.Request{}, badRequest("%s must be %s", name, expectedType(name))
		}
	}
	request.Subject = cmp.Or(request.Subject, username, clientID)
	return request, nil
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
