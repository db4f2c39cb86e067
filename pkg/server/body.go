package server

import (
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

// parseBody reads the body of /auth, as the package comment has it.
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
		members, err := token.ParseClaims(body)
		if err != nil {
			return token.Request{}, badRequest("the body is not one sound JSON object: %v", err)
		}
		return parseMembers(members)
	case "application/x-www-form-urlencoded":
		fields, err := url.ParseQuery(string(body))
		if err != nil {
			return token.Request{}, badRequest("the body is not a sound form")
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

// formMembers are the fields of a form as the members of a JSON object would
// be, without those that mean nothing here.
func formMembers(fields url.Values) (map[string]any, error) {
	members := make(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		values := fields[name]
		switch name {
		case "aud":
			all := make([]any, len(values))
			for i, v := range values {
				all[i] = v
			}
			members[name] = all
		case "username", "password", "sub", "scope", "ttl":
			if len(values) > 1 {
				return nil, badRequest("%s is given more than once", name)
			}
			members[name] = values[0]
		case "claims":
			return nil, badRequest("claims can be sent as JSON only")
		}
	}
	return members, nil
}

func parseMembers(members map[string]any) (request token.Request, err error) {
	_, named := members["username"]
	_, secret := members["password"]
	for _, name := range slices.Sorted(maps.Keys(members)) {
		value := members[name]
		if value == nil {
			continue
		}
		ok := true
		switch name {
		case "password": // whoever asks gets a token
		case "sub":
			request.Subject, ok = value.(string)
		case "username": // comes after sub, and yields to it
			var user string
			if user, ok = value.(string); request.Subject == "" {
				request.Subject = user
			}
		case "scope":
			request.Scope, ok = value.(string)
		case "aud":
			request.Audience, ok = texts(value)
		case "claims":
			request.Claims, ok = value.(map[string]any)
		case "ttl":
			request.TTL, ok = lifetime(value)
		default:
			if !named && !secret {
				return token.Request{}, badRequest("%q is unknown; known are username, password, sub, aud, scope, ttl, claims", name)
			}
		}
		if !ok {
			return token.Request{}, badRequest("%s must be %s", name, shape(name))
		}
	}
	return request, nil
}

// shape tells what a member must be.
func shape(name string) string {
	switch name {
	case "aud":
		return "a string or an array of strings"
	case "claims":
		return "an object"
	case "ttl":
		return `a number of seconds or a duration such as "5m", of 1s or more`
	default:
		return "a string"
	}
}

func texts(value any) ([]string, bool) {
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

// lifetime reads a ttl, rounded down to whole seconds, as iat and exp are.
func lifetime(value any) (time.Duration, bool) {
	var text string
	switch value := value.(type) {
	case json.Number:
		text = value.String()
	case string:
		text = value
	}
	d, err := time.ParseDuration(text)
	if err != nil { // a bare number counts seconds
		d, err = time.ParseDuration(text + "s")
	}
	return d.Truncate(time.Second), err == nil && d >= time.Second
}
